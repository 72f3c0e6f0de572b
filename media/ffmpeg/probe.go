package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"millrace/job"
)

// probeTimeout is for reading headers and the first seconds, also from a source
// that comes slowly. What the source's server does not send is timed elsewhere.
const probeTimeout = 2 * time.Minute

// maxProbeOutput is some 2,000 streams' worth of JSON.
const maxProbeOutput = 16 << 20

// Probe runs ffprobe on url (one that InputArgs takes) under the allow-lists and
// in the sandbox, and reads its format and streams. Further arguments of ffprobe
// can be given: "-show_packets", "-read_intervals", "%+#1" fills Packets.
//
// The error is the context's or a *job.Failure: what Classify reads in the log,
// EncoderStalled when ffprobe does not come to an end, else MediaNotRecognised.
func (t *Tools) Probe(ctx context.Context, url string, extra ...string) (*ProbeResult, error) {
	argv := []string{t.FFprobe, "-hide_banner", "-loglevel", "level+warning", "-of", "json=compact=1", "-show_format", "-show_streams"}
	argv = append(argv, extra...)
	argv = append(argv, InputArgs(url)...)
	argv, err := t.Sandbox.ForInput(url).wrap(argv, "", 0, 0)
	if err != nil {
		return nil, fmt.Errorf("probe the source: %w", err)
	}
	parent := ctx
	late := job.Fail(job.EncoderStalled, "ffprobe did not finish reading the source's header in %s and was killed", probeTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, late)
	defer cancel()

	var out bytes.Buffer
	logs := newLog()
	state, err := execute(ctx, process{
		Argv: argv, Env: environment("", nil),
		Stdout: func(r io.Reader) error { return readAtMost(&out, r, maxProbeOutput) },
		Stderr: logs,
	})
	switch {
	case err != nil && parent.Err() != nil:
		return nil, parent.Err()
	case err != nil:
		return nil, fmt.Errorf("probe the source: %w", err)
	case !state.Success():
		return nil, fmt.Errorf("probe the source: %w", probeFailure(exitError(state, logs, 0), state, logs))
	}
	result, err := parseProbe(out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("probe the source: %w", err)
	}
	return result, nil
}

// probeFailure makes an unexplained exit status 1 of ffprobe the input's fault:
// nothing was encoded, and with good arguments it has no other reason.
func probeFailure(err error, state *os.ProcessState, logs *log) error {
	var failure *job.Failure
	if errors.As(err, &failure) && failure.Code == job.EncoderFailed && state.ExitCode() == 1 && logs.lastLine() != silent {
		return job.Fail(job.MediaNotRecognised, "ffprobe can't read the source: %s", logs.lastLine())
	}
	return err
}
