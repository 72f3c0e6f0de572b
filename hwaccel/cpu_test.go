package hwaccel

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"
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
		{"v1-nested", 4, 2 * gib, "quota of 4.5 CPUs"},
		{"v2-memory", 16, 3 * gib, "16 threads"},
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

func TestCPUSaysItsCoresAndVectorInstructions(t *testing.T) {
	info := func(text string) fstest.MapFS { return fstest.MapFS{"proc/cpuinfo": {Data: []byte(text)}} }
	thread := func(socket, core int, flags string) string {
		return fmt.Sprintf("processor\t: 0\nphysical id\t: %d\ncore id\t: %d\nflags\t\t: %s\n\n", socket, core, flags)
	}
	for name, c := range map[string]struct {
		text  string
		cores int
		simd  string
	}{
		"two threads a core":       {thread(0, 0, "avx avx2") + thread(0, 0, "avx avx2") + thread(0, 1, "") + thread(0, 1, ""), 2, "AVX2"},
		"two sockets":              {thread(0, 0, "avx avx2 avx512f avx512bw") + thread(1, 0, ""), 2, "AVX-512"},
		"AVX-512 without bytes":    {thread(0, 0, "avx2 avx512f"), 1, "AVX2"},
		"an old one":               {thread(0, 0, "sse2 ssse3 sse4_2"), 1, "SSE4.2"},
		"ARM":                      {"processor\t: 0\nFeatures\t: fp asimd evtstrm\nprocessor\t: 1\nFeatures\t: fp asimd\n", 2, "NEON"},
		"ARM with scalable ones":   {"processor\t: 0\nFeatures\t: fp asimd sve sve2\n", 1, "SVE2"},
		"nothing that can be read": {"\x00\x01", 0, ""},
	} {
		device, _ := DiscoverCPU(info(c.text), 1)
		if device.Cores != c.cores || device.SIMD != c.simd {
			t.Errorf("%s: got %d cores with %q, want %d with %q", name, device.Cores, device.SIMD, c.cores, c.simd)
		}
	}
}
