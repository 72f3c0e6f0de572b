package hwaccel

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// raplFolder is where the kernel shows the energy counters of Intel's and AMD's
// CPUs ("running average power limit").
const raplFolder = "sys/class/powercap"

// rapl adds up the counters of a machine's CPU packages and of the memory beside
// them. A counter wraps after some minutes of work, so it must be read at least
// that often.
type rapl struct {
	last map[string]float64 // microjoules by zone
	sum  float64            // joules since the first reading
}

// read is the joules since the first reading; nil where there are no counters, or
// only root may read them, which has been the kernel's default since 2020.
func (r *rapl) read(root fs.FS) *float64 {
	now := make(map[string]float64)
	for _, zone := range raplZones(root) {
		energy, ok := readCounter(root, path.Join(raplFolder, zone, "energy_uj"))
		if !ok {
			r.last = nil // half a sum says nothing
			return nil
		}
		now[zone] = energy
		before, known := r.last[zone]
		if !known {
			continue
		}
		if energy < before {
			limit, _ := readCounter(root, path.Join(raplFolder, zone, "max_energy_range_uj"))
			energy += limit
		}
		r.sum += max(0, energy-before) / 1e6
	}
	r.last = now
	if len(now) == 0 {
		return nil
	}
	sum := r.sum
	return &sum
}

// raplZones are the zones that together are the CPU once: packages, and the
// memory, which is not in them. Cores and graphics are parts of a package, psys
// is the whole board.
func raplZones(root fs.FS) []string {
	entries, err := fs.ReadDir(root, raplFolder)
	if err != nil {
		return nil
	}
	var zones []string
	for _, entry := range entries {
		zone := entry.Name()
		if !strings.HasPrefix(zone, "intel-rapl:") {
			continue // "intel-rapl-mmio:0" is package 0 once more
		}
		text, _ := fs.ReadFile(root, path.Join(raplFolder, zone, "name"))
		if name := strings.TrimSpace(string(text)); strings.HasPrefix(name, "package-") || name == "dram" {
			zones = append(zones, zone)
		}
	}
	return zones
}

// readCounter is a file's only number, false if it has none or can't be read.
func readCounter(root fs.FS, name string) (float64, bool) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return float64(n), err == nil
}
