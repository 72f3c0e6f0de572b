package rig

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

// StandIn takes the place of ffmpeg and ffprobe: two shell scripts that first
// do what the test has planned, and then become the real program.
//
// ffmpeg runs in a sandbox that lets it read its own program and the folder lib
// beside the program's; the plan lies there.
type StandIn struct {
	t   testing.TB
	dir string
	n   int // of the plan's gates
}

// NewStandIn makes the scripts; they do nothing special yet.
func NewStandIn(t testing.TB) *StandIn {
	t.Helper()
	s := &StandIn{t: t, dir: t.TempDir()}
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
	s.Do("")
	return s
}

func (s *StandIn) program(name string) string { return filepath.Join(s.dir, "bin", name) }
func (s *StandIn) plan() string               { return filepath.Join(s.dir, "lib", "plan.sh") }

// Flags make a peer use the stand-in.
func (s *StandIn) Flags() []string {
	return []string{"--ffmpeg", s.program("ffmpeg"), "--ffprobe", s.program("ffprobe")}
}

// Do sets what runs do from now on: lines of shell, "" for nothing special.
func (s *StandIn) Do(lines string) {
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
	AnyEncode = "*libx264*"
	AnyProbe  = "ffprobe *http*"
)

// EncodeFrom is the pattern of the encode of the chunk that starts at a frame.
func EncodeFrom(frame int) string { return fmt.Sprintf("*trim=start_pts=%d:*", frame) }

// On is the shell for doing something in runs whose command line, with the
// program's name before it, matches a pattern.
func On(pattern, do string) string {
	// Blanks in the pattern are literal.
	return fmt.Sprintf("case \"$self $*\" in %s) %s ;; esac", strings.ReplaceAll(pattern, " ", `\ `), do)
}

// Door is where runs stop until they are let go.
type Door struct {
	standIn *StandIn
	file    string
	writer  *os.File
}

// Hold makes runs whose command line matches stop before they begin.
func (s *StandIn) Hold(pattern string) *Door {
	s.t.Helper()
	s.n++
	d := &Door{standIn: s, file: filepath.Join(s.dir, "lib", fmt.Sprintf("door%d", s.n))}
	if err := syscall.Mkfifo(d.file, 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.Do(On(pattern, fmt.Sprintf("read -r word < %q", d.file)))
	return d
}

// Reached waits until a run stands at the door.
func (d *Door) Reached() {
	d.standIn.t.Helper()
	Eventually(d.standIn.t, "a run of ffmpeg stands at the door", func() bool {
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

// Open lets those who stand at the door go on, and holds nobody any more.
func (d *Door) Open() {
	d.standIn.t.Helper()
	d.standIn.Do("")
	_ = d.writer.Close()
}
