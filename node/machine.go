package node

import (
	"bufio"
	"fmt"
	"io/fs"
	"math"
	"math/bits"
	"strings"

	"golang.org/x/sys/unix"
)

// machineLoad reads from the machine (root is its "/") what it says of itself:
// the load for each of the threads that encodes may use, free memory, and free
// space where dataDir lies. What can't be read stays zero.
func machineLoad(root fs.FS, dataDir string, threads int) func(*toldLoad) {
	return func(load *toldLoad) {
		if text, err := fs.ReadFile(root, "proc/loadavg"); err == nil {
			var minute float64
			if _, err := fmt.Sscan(string(text), &minute); err == nil && threads > 0 {
				load.CPU = math.Round(100*minute/float64(threads)) / 100
			}
		}
		load.MemoryFree = memoryAvailable(root)
		var disk unix.Statfs_t
		if err := unix.Statfs(dataDir, &disk); err == nil {
			load.DiskFree = int64(disk.Bavail) * disk.Bsize
		}
	}
}

// scratchFor is how much of the free disk where dir lies attempts may fill
// together, in bytes: nine tenths, the rest is for the state, rounded down to a
// power of two so that machines which hardly differ are alike to the scheduler.
// 0 if it can't be read.
func scratchFor(dir string) int64 {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return 0
	}
	free := int64(disk.Bavail) * disk.Bsize / 10 * 9
	if free < 1 {
		return 1 // full is not the same as unknown
	}
	return 1 << (bits.Len64(uint64(free)) - 1)
}

// memoryAvailable is what the kernel says can be had without swapping, in bytes.
func memoryAvailable(root fs.FS) int64 {
	file, err := root.Open("proc/meminfo")
	if err != nil {
		return 0
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		var kibibytes int64
		if name == "MemAvailable" {
			if _, err := fmt.Sscan(value, &kibibytes); err == nil {
				return kibibytes << 10
			}
		}
	}
	return 0
}
