package hwaccel

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// drmFolder is where the kernel lists GPUs, by the device files they have.
const drmFolder = "sys/class/drm"

// renderDrivers are the kernel's drivers below which VAAPI and QSV work.
var renderDrivers = map[string]Vendor{"i915": VendorIntel, "xe": VendorIntel, "amdgpu": VendorAMD, "radeon": VendorAMD}

// renderNodes lists the Intel and AMD GPUs. With none, reason says why, for people.
func (m *Machine) renderNodes() (found []Sighting, reason string) {
	entries, err := fs.ReadDir(m.Root, drmFolder)
	if err != nil {
		return nil, "the kernel shows no GPU (there is no /sys/class/drm)"
	}
	others := ""
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), "renderD") {
			continue
		}
		device, known := m.renderNode(entry.Name())
		if !known {
			others = fmt.Sprintf("; %s has the driver %q, which is for neither", device.RenderNode, device.Driver)
			continue
		}
		found = append(found, m.sightRenderNode(device, path.Join(drmFolder, entry.Name(), "device")))
	}
	return found, "no Intel or AMD GPU has a render node" + others
}

// renderNode describes one; known is false for a driver of other GPUs.
func (m *Machine) renderNode(name string) (device Device, known bool) {
	folder := path.Join(drmFolder, name, "device")
	event := readFields(m.Root, path.Join(folder, "uevent"), "=") // DRIVER, PCI_ID, PCI_SLOT_NAME
	device = Device{
		Kind: RenderNode, RenderNode: "/dev/dri/" + name, PCI: event["PCI_SLOT_NAME"], Driver: event["DRIVER"],
	}
	device.Vendor, known = renderDrivers[device.Driver]
	if !known {
		return device, false
	}
	if device.ID = device.PCI; device.ID == "" {
		device.ID = name // not on a PCI bus
	}
	device.Paths = []string{device.RenderNode}
	vendorID, deviceID := readHex(m.Root, path.Join(folder, "vendor")), readHex(m.Root, path.Join(folder, "device"))
	device.Name = gpuName(device.Vendor, vendorID, deviceID)
	device.MemoryBytes = readNumber(m.Root, path.Join(folder, "mem_info_vram_total"))
	// Measurements hold for a kernel and a user-space driver, of which the latter
	// only has a date.
	device.DriverVersion = "Linux " + readLine(m.Root, "proc/sys/kernel/osrelease")
	device.Driver += ", " + device.DriverVersion + m.userDriver(device.Vendor)
	return device, true
}

// sightRenderNode says how the device is doing by what its folder in /sys shows.
func (m *Machine) sightRenderNode(device Device, folder string) Sighting {
	if err := m.Open(device.RenderNode); err != nil {
		device.Unusable = m.cannotOpen(device.RenderNode, err)
	}
	sighting := Sighting{Device: device, Room: Room{MemoryBytes: device.MemoryBytes}}
	if text := readLine(m.Root, path.Join(folder, "gpu_busy_percent")); text != "" {
		if percent, err := strconv.Atoi(text); err == nil {
			sighting.Usage.GPUPercent = &percent
		}
	}
	if used := readNumber(m.Root, path.Join(folder, "mem_info_vram_used")); used > 0 {
		sighting.Usage.MemoryUsedBytes = &used
	}
	monitors, _ := fs.Glob(m.Root, path.Join(folder, "hwmon/hwmon*"))
	for _, monitor := range monitors {
		if millidegrees, ok := readCounter(m.Root, path.Join(monitor, "temp1_input")); ok {
			celsius := int(millidegrees / 1e3)
			sighting.Health.TemperatureCelsius = &celsius
		}
		if microwatts, ok := readCounter(m.Root, path.Join(monitor, "power1_average")); ok {
			watts := microwatts / 1e6
			sighting.Health.PowerWatts = &watts
		}
		if microjoules, ok := readCounter(m.Root, path.Join(monitor, "energy1_input")); ok {
			joules := microjoules / 1e6
			sighting.Health.EnergyJoules = &joules
		}
	}
	return sighting
}

// cannotOpen says why a device file can't be used, and what to do.
func (m *Machine) cannotOpen(file string, err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return file + " isn't there: give the container the device (--device /dev/dri)"
	}
	if !errors.Is(err, fs.ErrPermission) {
		return fmt.Sprintf("%s can't be opened: %v", file, err)
	}
	info, statErr := fs.Stat(m.Root, strings.TrimPrefix(file, "/"))
	if statErr == nil {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode().Perm()&0o060 == 0o060 {
			return fmt.Sprintf("%s can't be opened: the user is not in group %s", file, groupName(m.Root, stat.Gid))
		}
	}
	return file + " can't be opened: this user has no permission"
}

// groupName is a group's name, or its number where it has none here: then
// a container must be given the number (--group-add).
func groupName(root fs.FS, gid uint32) string {
	id := strconv.FormatUint(uint64(gid), 10)
	text, _ := fs.ReadFile(root, "etc/group")
	for line := range strings.Lines(string(text)) {
		if fields := strings.Split(line, ":"); len(fields) >= 3 && fields[2] == id {
			return fields[0]
		}
	}
	return id
}

// userDrivers are the files of the VA drivers, and where distributions have them.
var userDrivers = map[Vendor][]string{
	VendorIntel: {"iHD_drv_video.so", "i965_drv_video.so"},
	VendorAMD:   {"radeonsi_drv_video.so"},
}

// userDriver names the user-space driver and its date (", iHD_drv_video.so of
// 2024-05-03"), empty if there is none.
func (m *Machine) userDriver(vendor Vendor) string {
	for _, name := range userDrivers[vendor] {
		for _, pattern := range []string{"usr/lib/*/dri/", "usr/lib64/dri/", "usr/lib/dri/", "opt/intel/mediasdk/lib64/"} {
			files, _ := fs.Glob(m.Root, pattern+name)
			for _, file := range files {
				if info, err := fs.Stat(m.Root, file); err == nil {
					return fmt.Sprintf(", %s of %s", name, info.ModTime().UTC().Format("2006-01-02"))
				}
			}
		}
	}
	return ""
}
