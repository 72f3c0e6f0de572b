package ffmpeg

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	MaybeRunSandbox()
	if os.Getenv(parentRole) != "" {
		actAsParent()
	}
	goleak.VerifyTestMain(m)
}

var found = sync.OnceValues(func() (*Tools, error) { return Find(context.Background(), "", "") })

// tools is this machine's ffmpeg, which the tests need. Each caller gets its own.
func tools(t *testing.T) *Tools {
	t.Helper()
	shared, err := found()
	if err != nil {
		t.Fatal(err)
	}
	return &Tools{FFmpeg: shared.FFmpeg, FFprobe: shared.FFprobe, Version: shared.Version, Build: shared.Build}
}

// script is Tools whose ffmpeg is a shell script with this body.
func script(t *testing.T, body string) *Tools {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ffmpeg")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	own := tools(t)
	own.FFmpeg = path
	return own
}

// picturesArgs are arguments that make frames of moving pictures without any input file.
func picturesArgs(frames int) []string {
	return []string{"-f", "lavfi", "-i", "testsrc2=s=320x180:r=30", "-frames:v", fmt.Sprint(frames), "-c:v", "libx264", "-preset", "ultrafast"}
}

// toPipe are arguments that write fragmented MP4 to output i.
func toPipe(i int) []string {
	return []string{"-f", "mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof", PipeURL(i)}
}

// makeVideo makes a file with ffmpeg, by hand.
func makeVideo(t *testing.T, name string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	args = append([]string{"-nostdin", "-v", "error", "-y"}, append(args, path)...)
	if out, err := exec.CommandContext(t.Context(), tools(t).FFmpeg, args...).CombinedOutput(); err != nil {
		t.Fatalf("make %s: %v\n%s", name, err, out)
	}
	return path
}

func clip(t *testing.T) string {
	t.Helper()
	return makeVideo(t, "clip.mp4", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=30:d=1", "-f", "lavfi", "-i", "sine=d=1",
		"-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-metadata:s:a", "language=deu")
}
