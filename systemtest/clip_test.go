package systemtest

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

// bits is how many gray blocks stand side by side in a numbered clip: the
// frame's number in binary, the lowest bit on the left.
const bits = 10

// Every numbered clip is of this size and rate.
const (
	clipWidth, clipHeight = 640, 360
	clipRate              = 25
)

var clips struct {
	sync.Mutex
	made map[string]string
}

// clip makes a source once for all tests with ffmpeg's arguments, and returns
// its path.
func clip(t testing.TB, name string, args ...string) string {
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
	file := filepath.Join(shared, fmt.Sprintf("%d-%s", len(clips.made), name))
	runTool(t, "ffmpeg", append(append([]string{"-nostdin", "-v", "error", "-y"}, args...), file)...)
	clips.made[key] = file
	return file
}

// numbered is a clip of so many seconds whose frames show their numbers, with
// B-frames and a keyframe every 2.4 s (so that few chunks start at
// one), and a tone as sound.
func numbered(t testing.TB, seconds int) string {
	t.Helper()
	length := fmt.Sprint(seconds)
	return clip(t, "numbered.mp4",
		"-f", "lavfi", "-i", fmt.Sprintf("color=black:s=%dx2:r=%d:d=%s,format=gray,geq=lum='if(mod(floor(N/pow(2,X)),2),235,16)',scale=%d:%d:flags=neighbor,setsar=1", bits, clipRate, length, clipWidth, clipHeight),
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:d="+length,
		"-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "60", "-pix_fmt", "yuv420p", "-crf", "18",
		"-c:a", "aac", "-b:a", "64k", "-movflags", "+faststart")
}

// runTool runs a program to its end and returns what it wrote to its output.
func runTool(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
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

// put places a source under the peer's source root, and returns its URL.
func (p *peer) put(file, name string) string {
	p.t.Helper()
	to := filepath.Join(p.sources, name)
	if err := os.Link(file, to); err != nil {
		copyFile(p.t, file, to)
	}
	return "file://" + to
}

// write places bytes under the peer's source root, and returns their URL.
func (p *peer) write(name, text string) string {
	p.t.Helper()
	to := filepath.Join(p.sources, name)
	if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return "file://" + to
}
