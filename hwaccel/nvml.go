//go:build cgo

package hwaccel

import (
	"context"
	"fmt"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// nvmlDriver asks the NVIDIA driver's management library, which is loaded when it
// is first needed. It is not for concurrent use.
type nvmlDriver struct {
	lib  nvml.Interface
	ours func(pid int) bool

	ready bool
	// driver and cuda are the versions of the driver that answered Init.
	driver, cuda string
	// known are the GPUs by the driver's number, as they were when they last
	// answered: a lost one no longer tells its name.
	known map[int][]Device
	// faults waits for Xids, where the driver has them.
	faults nvml.EventSet
	xids   map[string]uint64 // by UUID, the last one
	// faulted is when a GPU had its last fatal Xid, by UUID.
	faulted map[string]time.Time
}

// needed are the library's functions that not every driver has had.
var needed = []string{
	"nvmlDeviceGetMigMode", "nvmlDeviceGetMigDeviceHandleByIndex", "nvmlDeviceGetTotalEnergyConsumption",
	"nvmlDeviceGetEncoderSessions", "nvmlDeviceGetProcessUtilization", "nvmlDeviceGetCurrentClocksThrottleReasons",
}

func newNVIDIA(ours func(pid int) bool) nvidiaDriver { return newNVML(nvml.New(), ours) }

func newNVML(lib nvml.Interface, ours func(pid int) bool) *nvmlDriver {
	return &nvmlDriver{lib: lib, ours: ours, xids: make(map[string]uint64), faulted: make(map[string]time.Time)}
}

// scan lists GPUs and MIG instances. A driver that was unloaded or replaced is
// let go of and loaded again at the next scan, so a new one is noticed.
func (d *nvmlDriver) scan(context.Context) ([]Sighting, string) {
	if !d.ready {
		if reason := d.load(); reason != "" {
			return nil, reason
		}
	}
	count, ret := d.lib.DeviceGetCount()
	if ret != nvml.SUCCESS {
		d.close()
		return nil, fmt.Sprintf("the NVIDIA driver %s doesn't list its GPUs: %s", d.driver, d.say(ret))
	}
	d.takeFaults()
	var found []Sighting
	gone := false
	for index := range count {
		devices, ret := d.look(index)
		if ret != nvml.SUCCESS {
			gone = true
			devices = d.lost(index, ret)
		}
		found = append(found, devices...)
	}
	if gone && len(found) > 0 && allLost(found) {
		d.close() // perhaps the driver itself was replaced
	}
	if count == 0 {
		return nil, fmt.Sprintf("the NVIDIA driver %s sees no GPU", d.driver)
	}
	return found, ""
}

// load opens the library; the answer says why it can't be, for people.
func (d *nvmlDriver) load() string {
	switch ret := d.lib.Init(); ret {
	case nvml.SUCCESS:
	case nvml.ERROR_LIBRARY_NOT_FOUND:
		return "no NVIDIA driver: libnvidia-ml.so.1 isn't there"
	case nvml.ERROR_DRIVER_NOT_LOADED:
		return "the NVIDIA driver's kernel module isn't loaded"
	case nvml.ERROR_NO_PERMISSION:
		return "the NVIDIA driver doesn't let this user in: /dev/nvidiactl can't be opened"
	case nvml.ERROR_LIB_RM_VERSION_MISMATCH:
		return "the NVIDIA driver was upgraded: its library and its kernel module have different versions; restart the machine, or reload the module"
	default:
		return "the NVIDIA driver can't be used: " + d.lib.ErrorString(ret)
	}
	d.ready = true
	d.known = make(map[int][]Device)
	d.driver, _ = d.lib.SystemGetDriverVersion()
	for _, symbol := range needed {
		// A call of what isn't there would end this process.
		if err := d.lib.Extensions().LookupSymbol(symbol); err != nil {
			d.close()
			return fmt.Sprintf("the NVIDIA driver %s is too old: it lacks %s, which came with driver 450", d.driver, symbol)
		}
	}
	if version, ret := d.lib.SystemGetCudaDriverVersion(); ret == nvml.SUCCESS {
		d.cuda = fmt.Sprintf("%d.%d", version/1000, version%1000/10)
	}
	d.watchFaults()
	return ""
}

// close lets go of the library, so that the next scan loads what is there then.
func (d *nvmlDriver) close() {
	if !d.ready {
		return
	}
	if d.faults != nil {
		_ = d.faults.Free()
		d.faults = nil
	}
	_ = d.lib.Shutdown()
	d.ready = false
}

// lost are the devices of a GPU that doesn't answer any more. One that never
// did is not known by name.
func (d *nvmlDriver) lost(index int, ret nvml.Return) []Sighting {
	devices := d.known[index]
	if len(devices) == 0 {
		devices = []Device{{
			ID: fmt.Sprintf("nvidia-%d", index), Kind: NVIDIA, Vendor: VendorNVIDIA, Index: index,
			Name: fmt.Sprintf("NVIDIA GPU %d", index), Driver: "NVIDIA " + d.driver, DriverVersion: d.driver,
		}}
	}
	var found []Sighting
	for _, device := range devices {
		found = append(found, Sighting{Device: device, Health: Health{Lost: d.say(ret), Xid: d.xids[device.UUID]}})
	}
	return found
}

// say is an error of the library as a sentence.
func (d *nvmlDriver) say(ret nvml.Return) string {
	switch ret {
	case nvml.ERROR_GPU_IS_LOST:
		return "the GPU has fallen off the bus, or can't be reached any more"
	case nvml.ERROR_RESET_REQUIRED:
		return "the GPU has to be reset before it can be used again"
	case nvml.ERROR_GPU_NOT_FOUND, nvml.ERROR_NOT_FOUND, nvml.ERROR_INVALID_ARGUMENT:
		return "the driver doesn't know the GPU any more"
	case nvml.ERROR_NO_PERMISSION:
		return "this user may not use the GPU"
	case nvml.ERROR_UNINITIALIZED, nvml.ERROR_DRIVER_NOT_LOADED:
		return "the driver was unloaded"
	case nvml.ERROR_LIB_RM_VERSION_MISMATCH:
		return "the driver was upgraded: its library and its kernel module have different versions"
	case nvml.ERROR_INSUFFICIENT_POWER:
		return "the GPU's power cables are not all plugged in"
	case nvml.ERROR_IRQ_ISSUE:
		return "the kernel gets no interrupts from the GPU"
	}
	return "the driver says: " + d.lib.ErrorString(ret)
}

func allLost(found []Sighting) bool {
	for _, sighting := range found {
		if sighting.Health.Lost == "" {
			return false
		}
	}
	return true
}
