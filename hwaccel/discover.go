package hwaccel

import (
	"fmt"
	"io/fs"
	"math"
	"path"
	"runtime"
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
	return Device{ID: "cpu", Kind: CPU, Name: cpuName(root), Driver: driver}, room
}

// cpuName is the model by /proc/cpuinfo; machines with ARM CPUs call it by the
// board or not at all.
func cpuName(root fs.FS) string {
	text, err := fs.ReadFile(root, "proc/cpuinfo")
	if err != nil {
		return "CPU"
	}
	fields := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		key, value, found := strings.Cut(line, ":")
		if key = strings.TrimSpace(key); found && fields[key] == "" {
			fields[key] = strings.Join(strings.Fields(value), " ")
		}
	}
	for _, key := range []string{"model name", "Model", "Hardware", "cpu model"} {
		if fields[key] != "" {
			return fields[key]
		}
	}
	if part := fields["CPU part"]; part != "" {
		return fmt.Sprintf("ARM CPU (implementer %s, part %s)", fields["CPU implementer"], part)
	}
	return "CPU"
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

// cgroupLimits are the tightest limits of a process's control groups; 0 is none.
type cgroupLimits struct {
	cpus   float64
	memory int64 // bytes
}

// readCgroup finds the limits in both versions of control groups. Each ancestor
// counts: the tightest limit on the way to the root holds.
func readCgroup(root fs.FS) cgroupLimits {
	var l cgroupLimits
	text, _ := fs.ReadFile(root, "proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		// "0::/system.slice/x" (version 2) or "4:cpu,cpuacct:/docker/x" (version 1).
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		group := strings.TrimPrefix(path.Clean("/"+parts[2]), "/")
		if parts[1] == "" {
			for _, mount := range []string{"sys/fs/cgroup", "sys/fs/cgroup/unified"} {
				l.ancestors(root, mount, group, "cpu.max", "memory.max")
			}
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			for _, mount := range []string{"sys/fs/cgroup/" + parts[1], "sys/fs/cgroup/" + controller} {
				switch controller {
				case "cpu":
					l.ancestors(root, mount, group, "cpu.cfs_quota_us", "")
				case "memory":
					l.ancestors(root, mount, group, "", "memory.limit_in_bytes")
				}
			}
		}
	}
	return l
}

// ancestors reads the limits of a group and of all above it. In a container the
// group may have the host's path, which isn't there: then the mount's root is
// the container's own group.
func (l *cgroupLimits) ancestors(root fs.FS, mount, group, cpuFile, memoryFile string) {
	for {
		folder := path.Join(mount, group)
		if cpuFile != "" {
			l.tightenCPU(quota(root, folder, cpuFile))
		}
		if memoryFile != "" {
			l.tightenMemory(readNumber(root, path.Join(folder, memoryFile)))
		}
		if group == "" || group == "." {
			return
		}
		group = path.Dir(group)
	}
}

// quota is a group's CPUs: time per period, 0 if it isn't limited.
func quota(root fs.FS, folder, file string) float64 {
	if file == "cpu.max" {
		text, _ := fs.ReadFile(root, path.Join(folder, file))
		fields := strings.Fields(string(text)) // "150000 100000" or "max 100000"
		if len(fields) != 2 {
			return 0
		}
		return ratio(fields[0], fields[1])
	}
	time, _ := fs.ReadFile(root, path.Join(folder, file)) // -1 is no limit
	period, _ := fs.ReadFile(root, path.Join(folder, "cpu.cfs_period_us"))
	return ratio(strings.TrimSpace(string(time)), strings.TrimSpace(string(period)))
}

func ratio(num, den string) float64 {
	n, errN := strconv.ParseInt(num, 10, 64)
	d, errD := strconv.ParseInt(den, 10, 64)
	if errN != nil || errD != nil || n <= 0 || d <= 0 {
		return 0
	}
	return float64(n) / float64(d)
}

// noMemoryLimit is above any machine: version 1 writes "no limit" as the
// largest number of whole pages.
const noMemoryLimit = 1 << 60

func (l *cgroupLimits) tightenCPU(cpus float64) {
	if cpus > 0 && (l.cpus == 0 || cpus < l.cpus) {
		l.cpus = cpus
	}
}

func (l *cgroupLimits) tightenMemory(bytes int64) {
	if bytes > 0 && bytes < noMemoryLimit && (l.memory == 0 || bytes < l.memory) {
		l.memory = bytes
	}
}

// readNumber is a file's only number, 0 if it has none ("max").
func readNumber(root fs.FS, name string) int64 {
	text, _ := fs.ReadFile(root, name)
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n
}
