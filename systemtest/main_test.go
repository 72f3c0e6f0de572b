package systemtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// patience is how long a test waits for anything that must happen: far more
// than it takes on a slow machine that does other things as well.
const patience = 2 * time.Minute

var (
	// binary is the program under test.
	binary string
	// shared is a folder for what all tests use: clips, and the measurements of
	// this machine that only the first peer makes.
	shared string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if shared, err = os.MkdirTemp("", "millrace-systemtest-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(shared) }()
	if binary = os.Getenv("MILLRACE_BINARY"); binary == "" {
		binary = filepath.Join(shared, "millrace")
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		args := []string{"build", "-o", binary}
		if raceDetector {
			args = append(args, "-race") // a peer that finds a race exits with 66
		}
		build := exec.CommandContext(ctx, "go", append(args, "../cmd/millrace")...)
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "build millrace:", err)
			return 1
		}
	}
	return m.Run()
}

// eventually waits until condition holds, and fails the test with what when it
// doesn't come to that.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !condition() {
		select {
		case <-look.C:
		case <-deadline.C:
			t.Fatalf("it never came to this: %s", what)
		case <-t.Context().Done():
			t.Fatalf("the test ended before this: %s", what)
		}
	}
}

// longerThanLease is longer than a worker may be silent (node.LeaseTime).
const longerThanLease = 12 * time.Second

// pass lets time pass, where time itself is the fault that is tested.
func pass(t testing.TB, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
