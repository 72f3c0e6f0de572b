package rig

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Bits is how many gray blocks stand side by side in a numbered clip: the
// frame's number in binary, the lowest bit on the left.
const Bits = 10

// Every numbered clip is of this size and rate.
const (
	ClipWidth  = 640
	ClipHeight = 360
	ClipRate   = 25 // frames per second
)

var clips struct {
	sync.Mutex
	made map[string]string
}

// Clip makes a source once for all tests with ffmpeg's arguments, and returns
// its path.
func Clip(t testing.TB, name string, args ...string) string {
	t.Helper()
	clips.Lock()
	defer clips.Unlock()
	if clips.made == nil {
		clips.made = make(map[string]string)
	}
	key := name + " " + strings.Join(args, " ")
	if file := clips.made[key]; file != "" {
		return file
	}
	file := filepath.Join(Shared(), fmt.Sprintf("%d-%s", len(clips.made), name))
	RunTool(t, "ffmpeg", append(append([]string{"-nostdin", "-v", "error", "-y"}, args...), file)...)
	clips.made[key] = file
	return file
}

// Numbered is a clip of so many seconds whose frames show their numbers, with
// B-frames and a keyframe every 2.4 s (so that few chunks start at
// one), and a tone as sound.
func Numbered(t testing.TB, seconds int) string {
	t.Helper()
	length := fmt.Sprint(seconds)
	return Clip(t, "numbered.mp4",
		"-f", "lavfi", "-i", fmt.Sprintf("color=black:s=%dx2:r=%d:d=%s,format=gray,geq=lum='if(mod(floor(N/pow(2,X)),2),235,16)',scale=%d:%d:flags=neighbor,setsar=1", Bits, ClipRate, length, ClipWidth, ClipHeight),
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:d="+length,
		"-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "60", "-pix_fmt", "yuv420p", "-crf", "18",
		"-c:a", "aac", "-b:a", "64k", "-movflags", "+faststart")
}

// RunTool runs a program to its end and returns what it wrote to its output.
func RunTool(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	var complaints strings.Builder
	command := exec.CommandContext(ctx, name, args...)
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, complaints.String())
	}
	return out
}

// CopyFile copies a file that only its owner may read.
func CopyFile(t testing.TB, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
