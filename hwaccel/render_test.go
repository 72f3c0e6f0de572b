package hwaccel

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"
)

// machine is one whose files are root, with an NVIDIA driver that isn't there.
func machine(root fs.FS, open func(string) error) *Machine {
	return &Machine{Root: root, Affinity: 4, Open: open, PID: 100, nvidia: noDriver("no NVIDIA driver: libnvidia-ml.so.1 isn't there")}
}

// noDriver is why there is no NVIDIA driver.
type noDriver string

func (n noDriver) scan(context.Context) ([]Sighting, string) { return nil, string(n) }
func (noDriver) close()                                      {}

func works(string) error { return nil }

func gpusOf(scan Scan) []Sighting { return scan.Devices[1:] }

func missing(scan Scan, kind DeviceKind) string {
	for _, m := range scan.Missing {
		if m.Kind == kind {
			return m.Reason
		}
	}
	return ""
}

func TestIntelAndAMDGPUsAreFoundByTheirRenderNodes(t *testing.T) {
	scan := machine(os.DirFS("testdata/gpu-arc-radeon"), works).Scan(t.Context())
	found := gpusOf(scan)
	if len(found) != 2 || missing(scan, RenderNode) != "" {
		t.Fatalf("got %+v", scan)
	}
	arc, radeon := found[0], found[1]
	if d := arc.Device; d.ID != "0000:03:00.0" || d.PCI != d.ID || d.Kind != RenderNode || d.Vendor != VendorIntel || d.Name != "Intel Arc A380" ||
		d.RenderNode != "/dev/dri/renderD128" || len(d.Paths) != 1 || d.Unusable != "" ||
		!strings.HasPrefix(d.Driver, "i915, Linux 6.1.0-25-amd64, iHD_drv_video.so of ") {
		t.Errorf("got %+v", d)
	}
	if joules := arc.Health.EnergyJoules; joules == nil || *joules != 51234.56789 {
		t.Errorf("the Arc's energy is %v", joules)
	}
	if d := radeon.Device; d.Vendor != VendorAMD || d.Name != "AMD Radeon RX 6800/6900" || d.MemoryBytes != 17163091968 || d.Driver != "amdgpu, Linux 6.1.0-25-amd64" {
		t.Errorf("got %+v", d)
	}
	h, u := radeon.Health, radeon.Usage
	if *h.TemperatureCelsius != 54 || *h.PowerWatts != 87 || *u.GPUPercent != 37 || *u.MemoryUsedBytes != 1<<30 || h.EnergyJoules != nil {
		t.Errorf("got %+v, %+v", h, u)
	}
}

func TestGPUsThatDoNotCountSayWhy(t *testing.T) {
	for tree, want := range map[string]string{
		"gpu-virtual": `no Intel or AMD GPU has a render node; /dev/dri/renderD128 has the driver "virtio_gpu", which is for neither`,
		"bare":        "the kernel shows no GPU (there is no /sys/class/drm)",
	} {
		scan := machine(os.DirFS("testdata/"+tree), works).Scan(t.Context())
		if got := missing(scan, RenderNode); got != want || len(gpusOf(scan)) != 0 {
			t.Errorf("%s: got %q", tree, got)
		}
	}
	unknown := gpusOf(machine(os.DirFS("testdata/gpu-unknown"), works).Scan(t.Context()))
	if len(unknown) != 1 || unknown[0].Device.Name != "Intel GPU 0000:0000" {
		t.Errorf("got %+v", unknown)
	}
	integrated := gpusOf(machine(os.DirFS("testdata/gpu-integrated"), works).Scan(t.Context()))
	if len(integrated) != 1 || integrated[0].Device.Name != "Intel Iris Xe (Alder Lake)" || integrated[0].Device.MemoryBytes != 0 {
		t.Errorf("got %+v", integrated)
	}
}

func TestRenderNodeThatCannotBeOpenedSaysWhatToDo(t *testing.T) {
	tree := func() fstest.MapFS {
		return fstest.MapFS{
			"sys/class/drm/renderD128/device/uevent": {Data: []byte("DRIVER=i915\nPCI_SLOT_NAME=0000:00:02.0\n")},
			"dev/dri/renderD128":                     {Mode: fs.ModeDevice | 0o660, Sys: &syscall.Stat_t{Gid: 105}},
			"etc/group":                              {Data: []byte("root:x:0:\nrender:x:105:someone\n")},
		}
	}
	without := tree()
	delete(without, "etc/group")
	closed := tree()
	closed["dev/dri/renderD128"].Mode = fs.ModeDevice | 0o600
	for name, c := range map[string]struct {
		root fstest.MapFS
		err  error
		want string
	}{
		"not in the group":       {tree(), &fs.PathError{Op: "open", Err: syscall.EACCES}, "/dev/dri/renderD128 can't be opened: the user is not in group render"},
		"a group without a name": {without, syscall.EPERM, "/dev/dri/renderD128 can't be opened: the user is not in group 105"},
		"root only":              {closed, syscall.EACCES, "/dev/dri/renderD128 can't be opened: this user has no permission"},
		"not in the container":   {tree(), fs.ErrNotExist, "/dev/dri/renderD128 isn't there: give the container the device (--device /dev/dri)"},
		"anything else":          {tree(), errors.New("input/output error"), "/dev/dri/renderD128 can't be opened: input/output error"},
	} {
		found := gpusOf(machine(c.root, func(string) error { return c.err }).Scan(t.Context()))
		if len(found) != 1 || found[0].Device.Unusable != c.want {
			t.Errorf("%s: got %+v", name, found)
		}
	}
}

func TestUserSpaceDriverIsPartOfTheDriver(t *testing.T) {
	tree := fstest.MapFS{
		"sys/class/drm/renderD128/device/uevent":           {Data: []byte("DRIVER=i915\nPCI_SLOT_NAME=0000:00:02.0\n")},
		"proc/sys/kernel/osrelease":                        {Data: []byte("6.1.0\n")},
		"usr/lib/x86_64-linux-gnu/dri/iHD_drv_video.so":    {ModTime: time.Date(2024, 5, 3, 0, 0, 0, 0, time.UTC)},
		"usr/lib/x86_64-linux-gnu/dri/radeonsi_drv_xxx.so": {},
	}
	found := gpusOf(machine(tree, works).Scan(t.Context()))
	if want := "i915, Linux 6.1.0, iHD_drv_video.so of 2024-05-03"; len(found) != 1 || found[0].Device.Driver != want {
		t.Errorf("got %+v, want %q", found, want)
	}
}

func TestNVIDIACardWithoutItsDriverIsTold(t *testing.T) {
	card := func(driver string) fstest.MapFS {
		return fstest.MapFS{
			"sys/bus/pci/devices/0000:00:1f.3/vendor": {Data: []byte("0x8086\n")},
			"sys/bus/pci/devices/0000:65:00.1/vendor": {Data: []byte("0x10de\n")}, // its sound
			"sys/bus/pci/devices/0000:65:00.1/class":  {Data: []byte("0x040300\n")},
			"sys/bus/pci/devices/0000:65:00.0/vendor": {Data: []byte("0x10de\n")},
			"sys/bus/pci/devices/0000:65:00.0/class":  {Data: []byte("0x030000\n")},
			"sys/bus/pci/devices/0000:65:00.0/uevent": {Data: []byte(driver)},
		}
	}
	for driver, want := range map[string]string{
		"DRIVER=nouveau\n": "isn't there, and the GPU at 0000:65:00.0 is driven by nouveau, which doesn't encode",
		"":                 "isn't there, though there is a GPU at 0000:65:00.0: install the driver",
		"DRIVER=nvidia\n":  "isn't there, though there is a GPU at 0000:65:00.0: give the container the driver",
	} {
		if got := missing(machine(card(driver), works).Scan(t.Context()), NVIDIA); !strings.Contains(got, want) {
			t.Errorf("%q: got %q", driver, got)
		}
	}
}

// This machine may have any devices; each must be described or its lack explained.
func TestThisMachineIsScanned(t *testing.T) {
	var m Machine
	defer m.Close()
	scan := m.Scan(t.Context())
	for _, kind := range []DeviceKind{CPU, NVIDIA, RenderNode} {
		found := false
		for _, sighting := range scan.Devices {
			found = found || sighting.Device.Kind == kind
		}
		if found == (missing(scan, kind) != "") {
			t.Errorf("%s: found %v, and missing because %q", kind, found, missing(scan, kind))
		}
	}
	t.Logf("%+v", scan)
}
