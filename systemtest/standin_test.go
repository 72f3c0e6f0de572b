package systemtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// standIn takes the place of ffmpeg and ffprobe: two shell scripts that first
// do what the test has planned, and then become the real program.
//
// ffmpeg runs in a sandbox that lets it read its own program and the folder lib
// beside the program's; the plan lies there.
type standIn struct {
	t   testing.TB
	dir string
	n   int // of the plan's gates
}

func newStandIn(t testing.TB) *standIn {
	t.Helper()
	s := &standIn{t: t, dir: t.TempDir()}
	for _, folder := range []string{"bin", "lib"} {
		if err := os.Mkdir(filepath.Join(s.dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"ffmpeg", "ffprobe"} {
		program, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		script := fmt.Sprintf("#!/bin/bash\nself=%s real=%q\n. %q\nexec \"$real\" \"$@\"\n", name, program, s.plan())
		if err := os.WriteFile(s.program(name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.do("")
	return s
}

func (s *standIn) program(name string) string { return filepath.Join(s.dir, "bin", name) }
func (s *standIn) plan() string               { return filepath.Join(s.dir, "lib", "plan.sh") }

// flags make a peer use the stand-in.
func (s *standIn) flags() []string {
	return []string{"--ffmpeg", s.program("ffmpeg"), "--ffprobe", s.program("ffprobe")}
}

// do sets what runs do from now on: lines of shell, "" for nothing special.
func (s *standIn) do(lines string) {
	s.t.Helper()
	next := s.plan() + ".new"
	if err := os.WriteFile(next, []byte(lines+"\n"), 0o644); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(next, s.plan()); err != nil {
		s.t.Fatal(err)
	}
}

// Patterns of command lines.
const (
	anyEncode = "*libx264*"
	anyProbe  = "ffprobe *http*"
)

// encodeFrom is the pattern of the encode of the chunk that starts at a frame.
func encodeFrom(frame int) string { return fmt.Sprintf("*trim=start_pts=%d:*", frame) }

// on is the shell for doing something in runs whose command line, with the
// program's name before it, matches a pattern.
func on(pattern, do string) string {
	// Blanks in the pattern are literal.
	return fmt.Sprintf("case \"$self $*\" in %s) %s ;; esac", strings.ReplaceAll(pattern, " ", `\ `), do)
}

// door is where runs stop until they are let go.
type door struct {
	standIn *standIn
	file    string
	writer  *os.File
}

// hold makes runs whose command line matches stop before they begin.
func (s *standIn) hold(pattern string) *door {
	s.t.Helper()
	s.n++
	d := &door{standIn: s, file: filepath.Join(s.dir, "lib", fmt.Sprintf("door%d", s.n))}
	if err := syscall.Mkfifo(d.file, 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.do(on(pattern, fmt.Sprintf("read -r word < %q", d.file)))
	return d
}

// reached waits until a run stands at the door.
func (d *door) reached() {
	d.standIn.t.Helper()
	eventually(d.standIn.t, "a run of ffmpeg stands at the door", func() bool {
		// Opening a pipe for writing succeeds only when somebody reads.
		writer, err := os.OpenFile(d.file, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if errors.Is(err, syscall.ENXIO) {
			return false
		}
		if err != nil {
			d.standIn.t.Fatal(err)
		}
		d.writer = writer
		return true
	})
	d.standIn.t.Cleanup(func() { _ = d.writer.Close() })
}

// open lets those who stand at the door go on, and holds nobody any more.
func (d *door) open() {
	d.standIn.t.Helper()
	d.standIn.do("")
	_ = d.writer.Close()
}
