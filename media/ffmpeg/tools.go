package ffmpeg

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Tools is an ffmpeg and its ffprobe, found and asked who they are. Its methods
// may be called from several goroutines.
type Tools struct {
	FFmpeg  string // absolute path
	FFprobe string // absolute path
	Version string // "5.1.9-0+deb12u1"
	// Configuration is the flags that ffmpeg was built with.
	Configuration string
	// Build names this build: a hash over the version, configuration and
	// library versions of both programs. What was measured with one build
	// doesn't hold for another.
	Build string
	// Sandbox confines the probes, and those runs whose Command has no sandbox
	// of its own. Nil runs them unconfined. Set it before the first use.
	Sandbox *Sandbox

	featuresMu sync.Mutex
	features   *Features
}

// askTimeout is far more than a healthy ffmpeg needs to print its version, also
// from a cold disk.
const askTimeout = 20 * time.Second

// maxAnswer bounds what ffmpeg may answer to a question about itself; the list
// of filters, the longest, is about 40 KiB.
const maxAnswer = 4 << 20

// Find looks up ffmpeg and ffprobe and asks both for their version. An empty
// path means: search PATH. The error says which program is missing or broken,
// and what to do.
func Find(ctx context.Context, ffmpegPath, ffprobePath string) (*Tools, error) {
	ffmpeg, err := lookUp("ffmpeg", ffmpegPath)
	if err != nil {
		return nil, err
	}
	ffprobe, err := lookUp("ffprobe", ffprobePath)
	if err != nil {
		return nil, err
	}
	t := &Tools{FFmpeg: ffmpeg, FFprobe: ffprobe}
	key := sha256.New()
	for i, program := range []string{ffmpeg, ffprobe} {
		want := []string{"ffmpeg", "ffprobe"}[i]
		answer, err := ask(ctx, program, "-version")
		if err != nil {
			return nil, fmt.Errorf("ask %s for its version: %w", program, err)
		}
		name, version, ok := parseVersion(answer)
		if !ok || name != want {
			return nil, fmt.Errorf("%s does not answer -version like ffmpeg: %q; name the right program with --ffmpeg and --ffprobe", program, cleanLine(firstLine(answer)))
		}
		if want == "ffmpeg" {
			t.Version, t.Configuration = version, parseConfiguration(answer)
		}
		_, _ = io.WriteString(key, answer)
	}
	if answer, err := ask(ctx, ffmpeg, "-buildconf"); err == nil {
		_, _ = io.WriteString(key, answer)
	}
	t.Build = hex.EncodeToString(key.Sum(nil)[:8])
	return t, nil
}

func lookUp(name, path string) (string, error) {
	if path == "" {
		path = name
	}
	found, err := exec.LookPath(path)
	if errors.Is(err, exec.ErrNotFound) || err != nil && path == name {
		return "", fmt.Errorf("%s is not in PATH: install ffmpeg (Debian and Ubuntu: apt install ffmpeg), or name it with --%s", name, name)
	}
	if err != nil {
		return "", fmt.Errorf("%s can't be run: %w; check --%s", path, err, name)
	}
	found, err = filepath.Abs(found)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", path, err)
	}
	return found, nil
}

// ask runs a program that answers on stdout and reads no input. It is for
// questions about the program itself: nothing of a user is in the arguments.
func ask(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var out bytes.Buffer
	logs := newLog()
	state, err := execute(ctx, process{
		Argv:   append([]string{program}, args...),
		Env:    environment("", nil),
		Stdout: func(r io.Reader) error { return readAtMost(&out, r, maxAnswer) },
		Stderr: logs,
	})
	if err != nil {
		return "", err
	}
	if !state.Success() {
		return "", fmt.Errorf("%s: %s", exitWords(state), logs.lastLine())
	}
	return out.String(), nil
}

// readAtMost copies r to out, and fails rather than copy more than limit bytes.
func readAtMost(out io.Writer, r io.Reader, limit int64) error {
	n, err := io.Copy(out, io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("more than %d bytes of output", limit)
	}
	return err
}

// parseVersion reads "ffmpeg version 5.1.9-0+deb12u1 Copyright …".
func parseVersion(answer string) (name, version string, ok bool) {
	words := strings.Fields(firstLine(answer))
	if len(words) < 3 || words[1] != "version" {
		return "", "", false
	}
	return words[0], words[2], true
}

func parseConfiguration(answer string) string {
	for line := range strings.Lines(answer) {
		if flags, found := strings.CutPrefix(strings.TrimSpace(line), "configuration:"); found {
			return strings.TrimSpace(flags)
		}
	}
	return ""
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
