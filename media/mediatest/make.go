package mediatest

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Make runs ffmpeg with args and the path of a new file of the given name in the
// test's own folder, and gives the path.
func Make(t testing.TB, name string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	MakeAt(t, path, args...)
	return path
}

// MakeAt is Make with the whole path.
func MakeAt(t testing.TB, path string, args ...string) {
	t.Helper()
	line := append([]string{"-nostdin", "-hide_banner", "-y", "-loglevel", "error"}, args...)
	run(t, "ffmpeg", append(line, "file:"+path)...)
}

// Ask runs ffmpeg, or ffprobe, and gives what it writes to standard output.
func Ask(t testing.TB, program string, args ...string) string {
	t.Helper()
	return run(t, program, args...)
}

func run(t testing.TB, program string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, args...)
	var out, log strings.Builder
	command.Stdout, command.Stderr = &out, &log
	if err := command.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, log.String())
	}
	return out.String()
}
