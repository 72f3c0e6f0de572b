//go:build cgo

package hwaccel

import (
	"fmt"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// fatalXids are the faults after which a GPU is of no use until it is reset or
// its driver loaded anew, by the driver's numbers. Others end one program, which
// its attempt notices by itself.
var fatalXids = map[uint64]string{
	48:  "the GPU's memory has an error that can't be corrected (Xid 48): it has to be reset",
	62:  "the GPU's own controller has halted (Xid 62)",
	79:  "the GPU has fallen off the bus (Xid 79)",
	95:  "the GPU has an uncontained memory error (Xid 95): it has to be reset",
	119: "the GPU's system processor doesn't answer (Xid 119)",
	120: "the GPU's system processor has failed (Xid 120)",
}

// watchFaults asks for word of Xids, where GPU and driver have it.
func (d *nvmlDriver) watchFaults() {
	set, ret := d.lib.EventSetCreate()
	if ret != nvml.SUCCESS {
		return
	}
	count, _ := d.lib.DeviceGetCount()
	watched := 0
	for index := range count {
		gpu, ret := d.lib.DeviceGetHandleByIndex(index)
		if ret != nvml.SUCCESS {
			continue
		}
		types, ret := gpu.GetSupportedEventTypes()
		if ret == nvml.SUCCESS && types&nvml.EventTypeXidCriticalError != 0 &&
			gpu.RegisterEvents(nvml.EventTypeXidCriticalError, set) == nvml.SUCCESS {
			watched++
		}
	}
	if watched == 0 {
		_ = set.Free()
		return
	}
	d.faults = set
}

// mostFaults bounds the events of one scan: a broken GPU has them by the second.
const mostFaults = 64

// faultRest is how long a GPU is left alone after a fatal fault, for the operator
// or the driver to reset it. Then a trial tells whether it works again.
const faultRest = time.Minute

// takeFaults notes the events since the last scan, without waiting for more.
func (d *nvmlDriver) takeFaults() {
	if d.faults == nil {
		return
	}
	for range mostFaults {
		event, ret := d.faults.Wait(0)
		if ret != nvml.SUCCESS || event.Device == nil {
			return
		}
		uuid, ret := event.Device.GetUUID()
		if ret != nvml.SUCCESS {
			uuid = d.bySlot(event.Device)
		}
		if event.EventType != nvml.EventTypeXidCriticalError {
			continue
		}
		_, fatal := fatalXids[event.EventData]
		if at, faulted := d.faulted[uuid]; !fatal && faulted && time.Since(at) < faultRest {
			continue // what follows from a fatal one must not hide it
		}
		d.xids[uuid] = event.EventData
		if fatal {
			d.faulted[uuid] = time.Now()
		}
	}
}

// bySlot is the UUID of a GPU that is too far gone to tell it.
func (d *nvmlDriver) bySlot(gpu nvml.Device) string {
	index, ret := gpu.GetIndex()
	if ret != nvml.SUCCESS || len(d.known[index]) == 0 {
		return fmt.Sprintf("nvidia-%d", index)
	}
	return d.known[index][0].UUID
}
