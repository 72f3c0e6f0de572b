package ffmpeg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"millrace/job"
)

// Command is one run of ffmpeg.
type Command struct {
	// Args are ffmpeg's arguments without the program and without the global
	// ones that Run adds (-nostdin, -loglevel, -progress, …).
	Args []string
	// Input, when not nil, is what ffmpeg reads from "pipe:0". It must not block.
	Input io.Reader
	// Outputs are called each on its own goroutine with the read end of a pipe;
	// Outputs[i] reads what ffmpeg writes to "pipe:3+i" (PipeURL). A handler
	// reads io.EOF only when ffmpeg has exited with status 0, else
	// ErrIncomplete. Its error kills ffmpeg and is what Run returns. A handler
	// may return early: the rest is read and thrown away. It must return soon
	// after its reader fails; the time it spends outside of Read is not held
	// against ffmpeg by the watchdogs.
	Outputs []func(io.Reader) error
	// Progress, when not nil, is called about twice a second from one goroutine
	// of the run; it must not block.
	Progress func(Progress)
	// FirstFrameTimeout is how long the first frame, or for sound the first
	// packet, may take; 0 is no limit.
	FirstFrameTimeout time.Duration
	// StallTimeout is how long ffmpeg may take from then on from one advance to
	// the next; 0 is no limit. It must have room for what ffmpeg does without a
	// report after the last frame, such as moving the index of an MP4 file to
	// its front.
	StallTimeout time.Duration
	// Dir is the scratch folder: working directory, HOME and TMPDIR.
	Dir string
	// MaxOutputBytes bounds what comes out of all pipes together, and each file
	// that ffmpeg writes; 0 is no limit. More is LimitExceeded.
	MaxOutputBytes int64
	// Env is added to the environment ("NAME=value"), which has nothing of ours
	// but what a driver needs. It is for choosing a device.
	Env []string
	// Sandbox confines the run; nil means Tools.Sandbox.
	Sandbox *Sandbox
	// Nice is added to the process's niceness: 0 … 19.
	Nice int
	// Logger gets one debug line per run; nil is silent.
	Logger *slog.Logger
}

// PipeURL is what ffmpeg calls the pipe that Command.Outputs[i] reads.
func PipeURL(i int) string { return "pipe:" + strconv.Itoa(firstPipe+i) }

// firstPipe is the first descriptor after stdin, stdout and stderr.
const firstPipe = 3

// Report is how a run went. It is filled as far as known also when Run fails.
type Report struct {
	ExitCode int            // -1 when a signal ended the run
	Signal   syscall.Signal // 0 when none did
	Frames   int64          // of the first video output, as ffmpeg counted them last
	OutTime  time.Duration  // how far the output came
	// FramesPerSecond is ffmpeg's own mean from its first frame to its last,
	// without the time that it took to start; 0 for less than a second of work.
	FramesPerSecond float64
	Elapsed         time.Duration
	CPUTime         time.Duration // user and system, of ffmpeg and the children it waited for
	MaxRSS          int64         // bytes
	// LastWords is the end of ffmpeg's log, cleaned for people: at most
	// shownLines lines.
	LastWords string
	Warnings  int // lines of that level in the whole log
	Errors    int // lines of level error and worse
	// SourceCutOff says that the log tells of a source that ends too early, which
	// ffmpeg does not call a failure: it is why frames are missing.
	SourceCutOff bool
	// PipeBytes is the bytes that came out of all pipes.
	PipeBytes int64
}

// Run runs ffmpeg and waits until it and everything started for it is gone.
//
// The error is the context's, when that ended the run; an output handler's; or
// a *job.Failure: EncoderStalled from the watchdogs, LimitExceeded, what
// Classify reads in the log, else EncoderFailed.
func (t *Tools) Run(ctx context.Context, c Command) (Report, error) {
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}
	for _, output := range c.Outputs {
		if output == nil {
			return Report{}, errors.New("run ffmpeg: an output has no handler")
		}
	}
	argv := append([]string{t.FFmpeg}, globalArgs(PipeURL(len(c.Outputs)))...)
	argv = append(argv, c.Args...)
	sandbox := c.Sandbox
	if sandbox == nil {
		sandbox = t.Sandbox
	}
	argv, err := sandbox.wrap(argv, c.Dir, c.Nice, c.MaxOutputBytes)
	if err != nil {
		return Report{}, fmt.Errorf("run ffmpeg: %w", err)
	}

	parent := ctx
	ctx, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	var (
		set     pipes
		logs    = newLog()
		dog     = newWatchdog(c.FirstFrameTimeout, c.StallTimeout, set.busy)
		total   atomic.Int64
		keeper  sync.WaitGroup
		started = time.Now()
	)
	watching, stopWatching := context.WithCancel(ctx)
	keeper.Go(func() { dog.watch(watching, kill) })

	state, err := execute(ctx, process{
		Argv: argv, Env: environment(c.Dir, c.Env), Dir: c.Dir,
		Nice: c.Nice, MaxFileBytes: c.MaxOutputBytes,
		Stdin: c.Input, Stderr: logs, Outputs: c.Outputs, Pipes: &set,
		Side: func(r io.Reader) {
			readProgress(r, func(p Progress) {
				dog.note(p)
				if c.Progress != nil {
					c.Progress(p)
				}
			})
		},
		OnRead: func(n int) {
			if sum := total.Add(int64(n)); c.MaxOutputBytes > 0 && sum > c.MaxOutputBytes {
				kill(tooMuch(c.MaxOutputBytes))
			}
		},
	})
	stopWatching()
	keeper.Wait()

	report := newReport(state, logs, dog.last(), time.Since(started))
	report.PipeBytes = total.Load()
	switch {
	case errors.Is(err, errNotStarted):
		err = job.Fail(job.EncoderFailed, "ffmpeg did not run on this node: %v", err)
	case err == nil:
		err = exitError(state, logs, c.MaxOutputBytes)
	}
	if err != nil && parent.Err() != nil && (state == nil || !state.Success()) {
		err = parent.Err()
	}
	if c.Logger != nil {
		c.Logger.Debug("ffmpeg ended", "exit", exitWords(state), "frames", report.Frames, "elapsed", report.Elapsed,
			"cpu", report.CPUTime, "max_rss", report.MaxRSS, "warnings", report.Warnings, "errors", report.Errors, "err", err)
	}
	return report, err
}

// globalArgs make ffmpeg quiet, unattended and talkative about its progress.
func globalArgs(progress string) []string {
	return []string{
		"-nostdin", "-hide_banner", "-y", // -y: files are written to a scratch folder only
		"-loglevel", "level+warning",
		"-nostats", "-stats_period", "0.5", "-progress", progress,
	}
}

func newReport(state *os.ProcessState, logs *log, last Progress, elapsed time.Duration) Report {
	r := Report{
		ExitCode: -1, Frames: last.Frame, OutTime: last.OutTime, FramesPerSecond: last.FramesPerSecond, Elapsed: elapsed,
		SourceCutOff: cutOff.MatchString(logs.text()),
		LastWords:    logs.lastWords(), Warnings: logs.warnings, Errors: logs.errors,
	}
	if state == nil {
		return r
	}
	r.ExitCode = state.ExitCode()
	r.Signal = exitSignal(state)
	r.CPUTime = state.UserTime() + state.SystemTime()
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		r.MaxRSS = usage.Maxrss << 10 // Linux counts KiB
	}
	return r
}

func tooMuch(limit int64) *job.Failure {
	return job.Fail(job.LimitExceeded, "ffmpeg wrote more than the %d bytes that this run may write, and was stopped", limit)
}
