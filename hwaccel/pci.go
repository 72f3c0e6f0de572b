package hwaccel

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// nvidiaVendor is NVIDIA's number on the PCI bus.
const nvidiaVendor = 0x10de

// gpuNames are the Intel and AMD GPUs that are met most in machines that encode,
// by their numbers on the PCI bus. It is for people; nothing else rests on it.
var gpuNames = map[[2]uint64]string{
	{0x8086, 0x1912}: "HD Graphics 530", {0x8086, 0x5912}: "HD Graphics 630", {0x8086, 0x3e92}: "UHD Graphics 630",
	{0x8086, 0x9a49}: "Iris Xe (Tiger Lake)", {0x8086, 0x46a6}: "Iris Xe (Alder Lake)",
	{0x8086, 0x4680}: "UHD Graphics 770", {0x8086, 0xa780}: "UHD Graphics 770 (Raptor Lake)",
	{0x8086, 0x56a0}: "Arc A770", {0x8086, 0x56a1}: "Arc A750", {0x8086, 0x56a5}: "Arc A380", {0x8086, 0x56a6}: "Arc A310",
	{0x8086, 0x56c0}: "Flex 170", {0x8086, 0x56c1}: "Flex 140",
	{0x8086, 0xe20b}: "Arc B580", {0x8086, 0xe20c}: "Arc B570",
	{0x1002, 0x687f}: "Radeon RX Vega", {0x1002, 0x73bf}: "Radeon RX 6800/6900", {0x1002, 0x73df}: "Radeon RX 6700",
	{0x1002, 0x73ff}: "Radeon RX 6600", {0x1002, 0x744c}: "Radeon RX 7900", {0x1002, 0x747e}: "Radeon RX 7700/7800",
	{0x1002, 0x7480}: "Radeon RX 7600", {0x1002, 0x1638}: "Radeon Graphics (Cezanne)",
	{0x1002, 0x1681}: "Radeon 680M", {0x1002, 0x15bf}: "Radeon 780M", {0x1002, 0x164e}: "Radeon Graphics (Raphael)",
}

// gpuName is a GPU's name, or its numbers, which can be looked up.
func gpuName(vendor Vendor, vendorID, deviceID uint64) string {
	if name := gpuNames[[2]uint64{vendorID, deviceID}]; name != "" {
		return string(vendor) + " " + name
	}
	return fmt.Sprintf("%s GPU %04x:%04x", vendor, vendorID, deviceID)
}

// withCards adds to the reason why the NVIDIA driver lists no GPU that there is
// a card all the same, which makes it worth acting on.
func (m *Machine) withCards(reason string) string {
	const pciFolder = "sys/bus/pci/devices"
	entries, err := fs.ReadDir(m.Root, pciFolder)
	if err != nil {
		return reason
	}
	for _, entry := range entries {
		folder := path.Join(pciFolder, entry.Name())
		// Display controllers have classes 0x03….
		if readHex(m.Root, path.Join(folder, "vendor")) != nvidiaVendor || readHex(m.Root, path.Join(folder, "class"))>>16 != 0x03 {
			continue
		}
		switch driver := readFields(m.Root, path.Join(folder, "uevent"), "=")["DRIVER"]; driver {
		case "nvidia":
			return fmt.Sprintf("%s, though there is a GPU at %s: give the container the driver (--gpus all, and the capabilities compute, utility and video)", reason, entry.Name())
		case "":
			return fmt.Sprintf("%s, though there is a GPU at %s: install the driver", reason, entry.Name())
		default:
			return fmt.Sprintf("%s, and the GPU at %s is driven by %s, which doesn't encode", reason, entry.Name(), driver)
		}
	}
	return reason
}

// readFields reads lines of a key and a value.
func readFields(root fs.FS, name, separator string) map[string]string {
	fields := make(map[string]string)
	text, _ := fs.ReadFile(root, name)
	for line := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(line, separator); found {
			fields[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return fields
}

// readLine is a file's only line, empty if it can't be read.
func readLine(root fs.FS, name string) string {
	text, _ := fs.ReadFile(root, name)
	return strings.TrimSpace(string(text))
}

// readHex is a file's only number ("0x8086"), 0 if it has none.
func readHex(root fs.FS, name string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimPrefix(readLine(root, name), "0x"), 16, 64)
	return n
}
