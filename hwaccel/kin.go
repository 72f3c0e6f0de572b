package hwaccel

import (
	"io/fs"
	"strconv"
	"strings"
)

// maxKin bounds the walk from a process up to its ancestors.
const maxKin = 32

// ours says whether a process is this peer or was started for it. In a container
// with process numbers of its own, the driver's numbers mean nothing: then
// nothing seems ours, which the count of our own sessions corrects.
func (m *Machine) ours(pid int) bool {
	for range maxKin {
		if pid == m.PID {
			return true
		}
		if pid = parent(m.Root, pid); pid <= 1 {
			return false
		}
	}
	return false
}

// parent is the parent of a process, 0 if there is no such process. In
// "4711 (a name) S 42 …" the name may hold anything, so it is skipped from behind.
func parent(root fs.FS, pid int) int {
	text, err := fs.ReadFile(root, "proc/"+strconv.Itoa(pid)+"/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(fields[1])
	return n
}
