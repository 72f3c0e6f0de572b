//go:build cgo

package hwaccel

import (
	"fmt"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// look describes one GPU, or its instances if it is cut up. Only what a device
// can't be used without is an error; what else the driver doesn't tell stays out.
func (d *nvmlDriver) look(index int) ([]Sighting, nvml.Return) {
	gpu, ret := d.lib.DeviceGetHandleByIndex(index)
	if ret != nvml.SUCCESS {
		return nil, ret
	}
	device, ret := d.describe(gpu, index)
	if ret != nvml.SUCCESS {
		return nil, ret
	}
	whole := Sighting{Device: device, Room: Room{MemoryBytes: device.MemoryBytes}, Health: d.health(gpu, device.UUID), Usage: d.usage(gpu)}
	if whole.Health.Lost != "" {
		if known := d.known[index]; len(known) > 0 {
			var lost []Sighting
			for _, part := range known {
				lost = append(lost, Sighting{Device: part, Health: whole.Health})
			}
			return lost, nvml.SUCCESS
		}
	}
	found := []Sighting{whole}
	if current, _, ret := gpu.GetMigMode(); ret == nvml.SUCCESS && current == nvml.DEVICE_MIG_ENABLE {
		found = d.instances(gpu, whole)
	}
	d.known[index] = nil
	for _, sighting := range found {
		d.known[index] = append(d.known[index], sighting.Device)
	}
	return found, nvml.SUCCESS
}

// describe is what doesn't change while the driver is loaded.
func (d *nvmlDriver) describe(gpu nvml.Device, index int) (Device, nvml.Return) {
	uuid, ret := gpu.GetUUID()
	if ret != nvml.SUCCESS {
		return Device{}, ret
	}
	device := Device{
		ID: uuid, UUID: uuid, Kind: NVIDIA, Vendor: VendorNVIDIA, Index: index,
		Driver: "NVIDIA " + d.driver, DriverVersion: d.driver, CUDAVersion: d.cuda,
	}
	if device.Name, ret = gpu.GetName(); ret != nvml.SUCCESS {
		return Device{}, ret
	}
	if memory, ret := gpu.GetMemoryInfo(); ret == nvml.SUCCESS {
		device.MemoryBytes = int64(memory.Total)
	} else if fatal(ret) {
		return Device{}, ret
	}
	if pci, ret := gpu.GetPciInfo(); ret == nvml.SUCCESS {
		device.PCI = fmt.Sprintf("%04x:%02x:%02x.0", pci.Domain, pci.Bus, pci.Device)
	} else if fatal(ret) {
		return Device{}, ret
	}
	minor, ret := gpu.GetMinorNumber()
	if ret != nvml.SUCCESS {
		minor = index
	}
	device.Paths = []string{"/dev/nvidiactl", fmt.Sprintf("/dev/nvidia%d", minor), "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"}
	return device, nvml.SUCCESS
}

// instances are the parts of a GPU in MIG mode, which is no device by itself:
// what opens it gets one of its instances, or nothing.
func (d *nvmlDriver) instances(gpu nvml.Device, whole Sighting) []Sighting {
	var found []Sighting
	most, ret := gpu.GetMaxMigDeviceCount()
	if ret != nvml.SUCCESS {
		most = 0
	}
	for i := range most {
		part, ret := gpu.GetMigDeviceHandleByIndex(i)
		if ret != nvml.SUCCESS {
			continue // no instance has this number
		}
		uuid, ret := part.GetUUID()
		if ret != nvml.SUCCESS {
			continue
		}
		device := whole.Device
		device.ID, device.UUID = uuid, uuid
		device.MIG = &MIG{Parent: whole.Device.UUID}
		device.MIG.GPUInstance, _ = part.GetGpuInstanceId()
		device.MIG.ComputeInstance, _ = part.GetComputeInstanceId()
		device.Paths = append(device.Paths[:len(device.Paths):len(device.Paths)], "/dev/nvidia-caps")
		if name, ret := part.GetName(); ret == nvml.SUCCESS {
			device.Name = name
		}
		usage := Usage{}
		if memory, ret := part.GetMemoryInfo(); ret == nvml.SUCCESS {
			device.MemoryBytes = int64(memory.Total)
			used := int64(memory.Used)
			usage.MemoryUsedBytes = &used
		}
		// Temperature and power are the whole GPU's; its energy is not the part's.
		health := whole.Health
		health.EnergyJoules, health.PowerWatts = nil, nil
		found = append(found, Sighting{Device: device, Room: Room{MemoryBytes: device.MemoryBytes}, Health: health, Usage: usage})
	}
	if len(found) == 0 {
		whole.Device.Unusable = "MIG mode is on, but the GPU has no instances: make some (nvidia-smi mig -cgi … -C), or turn MIG off"
		return []Sighting{whole}
	}
	return found
}

// fatal says whether an error means that the GPU can't be used, rather than that
// it lacks what was asked for.
func fatal(ret nvml.Return) bool {
	switch ret {
	case nvml.ERROR_GPU_IS_LOST, nvml.ERROR_RESET_REQUIRED, nvml.ERROR_UNINITIALIZED, nvml.ERROR_DRIVER_NOT_LOADED,
		nvml.ERROR_LIB_RM_VERSION_MISMATCH, nvml.ERROR_GPU_NOT_FOUND, nvml.ERROR_IRQ_ISSUE:
		return true
	}
	return false
}
