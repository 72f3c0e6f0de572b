package hwaccel

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

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
