package hwaccel

import (
	"fmt"
	"io/fs"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Affinity is how many CPUs this process may run on: what taskset, a cpuset
// or the machine itself leave it.
func Affinity() int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return runtime.NumCPU()
	}
	return set.Count()
}

// DiscoverCPU describes the CPU of the machine whose file system is root, for a
// process that may run on affinity of its CPUs. A container's quota is its
// capacity, not the host's cores: a quota of less than one CPU counts as one
// thread, one of 2.5 CPUs as two.
func DiscoverCPU(root fs.FS, affinity int) (Device, Room) {
	room := Room{Threads: max(affinity, 1), MemoryBytes: memoryTotal(root)}
	limits := readCgroup(root)
	driver := fmt.Sprintf("%s, %d threads", runtime.GOARCH, room.Threads)
	if limits.cpus > 0 && limits.cpus < float64(room.Threads) {
		room.Threads = max(1, int(limits.cpus))
		driver = fmt.Sprintf("%s, quota of %s CPUs", runtime.GOARCH, decimal(math.Round(limits.cpus*100)/100))
	}
	if limits.memory > 0 && (room.MemoryBytes == 0 || limits.memory < room.MemoryBytes) {
		room.MemoryBytes = limits.memory
	}
	info := readCPUInfo(root)
	return Device{ID: "cpu", Kind: CPU, Name: info.name(), Driver: driver, Cores: info.cores, SIMD: info.simd()}, room
}

// cpuInfo is what /proc/cpuinfo says.
type cpuInfo struct {
	fields map[string]string // of the first CPU that has one
	cores  int               // whole ones, whatever number of threads each has
}

func readCPUInfo(root fs.FS) cpuInfo {
	info := cpuInfo{fields: make(map[string]string)}
	text, err := fs.ReadFile(root, "proc/cpuinfo")
	if err != nil {
		return info
	}
	cores, threads := make(map[[2]string]bool), 0
	var socket, core string
	for line := range strings.Lines(string(text)) {
		key, value, found := strings.Cut(line, ":")
		if key = strings.TrimSpace(key); !found {
			continue
		}
		value = strings.Join(strings.Fields(value), " ")
		if info.fields[key] == "" {
			info.fields[key] = value
		}
		switch key {
		case "processor":
			threads++
		case "physical id":
			socket = value
		case "core id":
			core = value
			cores[[2]string{socket, core}] = true
		}
	}
	if info.cores = len(cores); info.cores == 0 {
		info.cores = threads // ARM doesn't say, and has one thread a core
	}
	return info
}

// name is the model; machines with ARM CPUs call it by the board or not at all.
func (c cpuInfo) name() string {
	for _, key := range []string{"model name", "Model", "Hardware", "cpu model"} {
		if c.fields[key] != "" {
			return c.fields[key]
		}
	}
	if part := c.fields["CPU part"]; part != "" {
		return fmt.Sprintf("ARM CPU (implementer %s, part %s)", c.fields["CPU implementer"], part)
	}
	return "CPU"
}

// simdLevels are the kernel's flags for vector instructions, the widest first:
// encoders have code for each of these.
var simdLevels = []struct{ flag, name string }{
	{"avx512bw", "AVX-512"}, // the part of it that works on bytes, which pixels are
	{"avx2", "AVX2"}, {"avx", "AVX"}, {"sse4_2", "SSE4.2"}, {"ssse3", "SSSE3"},
	{"sve2", "SVE2"}, {"sve", "SVE"}, {"asimd", "NEON"}, {"neon", "NEON"},
}

// simd is the widest vector instructions, empty if none are known.
func (c cpuInfo) simd() string {
	flags := strings.Fields(c.fields["flags"] + " " + c.fields["Features"])
	for _, level := range simdLevels {
		if slices.Contains(flags, level.flag) {
			return level.name
		}
	}
	return ""
}

// memoryTotal is the machine's memory in bytes, 0 if it doesn't say.
func memoryTotal(root fs.FS) int64 {
	text, _ := fs.ReadFile(root, "proc/meminfo")
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "MemTotal:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}
