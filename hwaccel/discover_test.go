package hwaccel

import (
	"os"
	"strings"
	"testing"
)

func TestCapacityIsTheContainersNotTheHosts(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		tree    string
		threads int
		memory  int64
		driver  string
	}{
		{"bare", 16, 65843012 << 10, "16 threads"},
		{"unlimited", 16, 65843012 << 10, "16 threads"},
		{"v2-container", 2, 8 * gib, "quota of 2.5 CPUs"},
		{"v2-nested", 1, 65843012 << 10, "quota of 0.5 CPUs"},
		{"v1-container", 3, 4 * gib, "quota of 3 CPUs"},
		{"v1-hostpath", 1, 65843012 << 10, "quota of 1.5 CPUs"},
		{"garbage", 16, 0, "16 threads"},
		{"nothing at all", 16, 0, "16 threads"},
	} {
		t.Run(c.tree, func(t *testing.T) {
			device, room := DiscoverCPU(os.DirFS("testdata/"+c.tree), 16)
			if room.Threads != c.threads || room.MemoryBytes != c.memory || !strings.Contains(device.Driver, c.driver) {
				t.Errorf("got %d threads, %d bytes, driver %q", room.Threads, room.MemoryBytes, device.Driver)
			}
			if device.ID != "cpu" || device.Kind != CPU || device.Name == "" {
				t.Errorf("got %+v", device)
			}
		})
	}
}

func TestAffinityBelowTheQuotaIsTheCapacity(t *testing.T) {
	if _, room := DiscoverCPU(os.DirFS("testdata/v1-container"), 2); room.Threads != 2 {
		t.Errorf("got %d threads", room.Threads)
	}
}

func TestCPUIsCalledByItsModel(t *testing.T) {
	for tree, want := range map[string]string{
		"bare": "AMD EPYC 7543 32-Core Processor", "arm": "ARM CPU (implementer 0x41, part 0xd0c)", "garbage": "CPU", "none": "CPU",
	} {
		if device, _ := DiscoverCPU(os.DirFS("testdata/"+tree), 1); device.Name != want {
			t.Errorf("%s: got %q, want %q", tree, device.Name, want)
		}
	}
}

func TestThisMachineIsDiscovered(t *testing.T) {
	device, room := DiscoverCPU(os.DirFS("/"), Affinity())
	if room.Threads < 1 || room.MemoryBytes < 1<<20 || device.Name == "" {
		t.Errorf("got %+v, %+v", device, room)
	}
}
