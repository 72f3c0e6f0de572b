package rig

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Process is a process of this machine as /proc shows it.
type Process struct {
	PID     int
	Parent  int
	Command string // with blanks between the arguments
	Dir     string // its working directory
}

// Processes lists the processes that can be looked at. Zombies are left out:
// nothing of them runs.
func Processes(t testing.TB) []Process {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var found []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		folder := filepath.Join("/proc", entry.Name())
		dir, err := os.Readlink(filepath.Join(folder, "cwd"))
		if err != nil {
			continue // gone, a zombie, or not ours
		}
		command, _ := os.ReadFile(filepath.Join(folder, "cmdline"))
		stat, _ := os.ReadFile(filepath.Join(folder, "stat"))
		_, rest, _ := bytes.Cut(stat, []byte(") "))
		fields := bytes.Fields(rest)
		if len(fields) < 2 || fields[0][0] == 'Z' {
			continue
		}
		parent, _ := strconv.Atoi(string(fields[1]))
		found = append(found, Process{
			PID: pid, Parent: parent, Dir: dir,
			Command: strings.TrimSpace(strings.ReplaceAll(string(command), "\x00", " ")),
		})
	}
	return found
}

// ResidentBytes is how much memory a process has in RAM.
func ResidentBytes(t testing.TB, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kilobytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// OpenFiles counts the files and connections that a process has open.
func OpenFiles(t testing.TB, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// ProcessesIn lists those that work in a folder or below it, also when it was
// removed under them.
func ProcessesIn(t testing.TB, dir string) []Process {
	t.Helper()
	return slices.DeleteFunc(Processes(t), func(found Process) bool {
		return found.Dir != dir && !strings.HasPrefix(found.Dir, dir+"/") && !strings.HasPrefix(found.Dir, dir+" (deleted)")
	})
}
