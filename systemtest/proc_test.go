package systemtest

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// process is a process of this machine as /proc shows it.
type process struct {
	pid     int
	parent  int
	command string // with blanks between the arguments
	dir     string // its working directory
}

// processes lists the processes that can be looked at. Zombies are left out:
// nothing of them runs.
func processes(t testing.TB) []process {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var found []process
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
		found = append(found, process{
			pid: pid, parent: parent, dir: dir,
			command: strings.TrimSpace(strings.ReplaceAll(string(command), "\x00", " ")),
		})
	}
	return found
}

// residentBytes is how much memory a process has in RAM.
func residentBytes(t testing.TB, pid int) int64 {
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

// killProcess kills a process by SIGKILL.
func killProcess(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }

// openFiles counts the files and connections that a process has open.
func openFiles(t testing.TB, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
