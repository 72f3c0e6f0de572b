package rig

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

var binary, shared string

// Binary is the program under test.
func Binary() string { return binary }

// Shared is a folder for what all tests of a run use: clips, and the
// measurements of this machine that only the first peer makes.
func Shared() string { return shared }

// Main runs the tests of a package with the program built, so many at once
// unless -parallel says otherwise, and returns the exit code. MILLRACE_BINARY
// names a program that is built already.
func Main(m *testing.M, atOnce int) int {
	err := runAtOnce(atOnce)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if shared, err = os.MkdirTemp("", "millrace-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(shared) }()
	if binary = os.Getenv("MILLRACE_BINARY"); binary == "" {
		binary = filepath.Join(shared, "millrace")
		if err := Build(context.Background(), binary); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	// Looked at here, go knows that what it remembers of these tests is of this program.
	if _, err := os.Stat(binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// runAtOnce sets how many tests run at once where the command line doesn't.
func runAtOnce(tests int) error {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return nil
	}
	return flag.Set("test.parallel", strconv.Itoa(tests))
}

// buildTime is for a build with an empty cache.
const buildTime = 10 * time.Minute

// Build builds the program into a file, with build tags, and with the race
// detector if the tests have it: a peer that finds a race exits with 66.
func Build(ctx context.Context, file string, tags ...string) error {
	ctx, cancel := context.WithTimeout(ctx, buildTime)
	defer cancel()
	args := []string{"build", "-o", file}
	if RaceDetector {
		args = append(args, "-race")
	}
	for _, tag := range tags {
		args = append(args, "-tags", tag)
	}
	build := exec.CommandContext(ctx, "go", append(args, "millrace/cmd/millrace")...)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build millrace: %w", err)
	}
	return nil
}
