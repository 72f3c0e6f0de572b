package hwaccel

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"millrace/media/ffmpeg"
)

func TestMain(m *testing.M) {
	ffmpeg.MaybeRunSandbox()
	goleak.VerifyTestMain(m)
}

var found = sync.OnceValues(func() (*ffmpeg.Tools, error) { return ffmpeg.Find(context.Background(), "", "") })

// tools is this machine's ffmpeg, which the tests need.
func tools(t *testing.T) *ffmpeg.Tools {
	t.Helper()
	shared, err := found()
	if err != nil {
		t.Fatal(err)
	}
	return shared
}

// wrapped is an ffmpeg that runs body, a shell script, for encodes, and is this
// machine's for all questions. Its script finds the real one as $REAL.
func wrapped(t *testing.T, body string) *ffmpeg.Tools {
	t.Helper()
	machines := tools(t)
	path := filepath.Join(t.TempDir(), "ffmpeg")
	text := "#!/bin/sh\nREAL=" + machines.FFmpeg + "\ncase \" $* \" in\n*' -progress '*) ;;\n*) exec $REAL \"$@\" ;;\nesac\n" + body + "\n"
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	own, err := ffmpeg.Find(t.Context(), path, machines.FFprobe)
	if err != nil {
		t.Fatal(err)
	}
	return own
}
