package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"millrace/job"
)

// collect is an output handler that keeps what it reads.
func collect(into *bytes.Buffer) func(io.Reader) error {
	return func(r io.Reader) error {
		_, err := io.Copy(into, r)
		return err
	}
}

func discard(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func wantFailure(t *testing.T, err error, code job.Code, words string) {
	t.Helper()
	var failure *job.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("got error %v, want a failure %s", err, code)
	}
	if failure.Code != code || !strings.Contains(failure.Message, words) {
		t.Fatalf("got %v, want %s with %q", failure, code, words)
	}
}

func TestEachOutputComesThroughItsOwnPipe(t *testing.T) {
	var first, second bytes.Buffer
	var reports []Progress
	args := append(picturesArgs(30), toPipe(0)...)
	args = append(args, "-frames:v", "10", "-f", "rawvideo", "-pix_fmt", "gray", "-s", "32x18", PipeURL(1))
	report, err := tools(t).Run(t.Context(), Command{
		Args: args, Outputs: []func(io.Reader) error{collect(&first), collect(&second)},
		Progress: func(p Progress) { reports = append(reports, p) },
		Dir:      t.TempDir(), FirstFrameTimeout: time.Minute, StallTimeout: time.Minute,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, report.LastWords)
	}
	if !bytes.Equal(first.Bytes()[4:8], []byte("ftyp")) {
		t.Errorf("output 0 starts with %q", first.Bytes()[:8])
	}
	if second.Len() != 10*32*18 {
		t.Errorf("output 1 has %d bytes, want 10 frames of 32×18", second.Len())
	}
	if report.Frames != 30 || report.ExitCode != 0 || report.CPUTime <= 0 || report.MaxRSS < 1<<20 {
		t.Errorf("report is %+v", report)
	}
	if report.PipeBytes != int64(first.Len()+second.Len()) {
		t.Errorf("%d bytes reported, %d came", report.PipeBytes, first.Len()+second.Len())
	}
	if len(reports) == 0 || !reports[len(reports)-1].Done || reports[len(reports)-1].Frame != 30 {
		t.Errorf("progress was %+v", reports)
	}
}

// TestInputIsReadFromAPipe, whole or only in part.
func TestInputIsReadFromAPipe(t *testing.T) {
	samples := bytes.Repeat([]byte("abcd"), 1<<20) // more than a pipe holds
	for name, part := range map[string]int{"all": len(samples), "a part": 4 * 48000} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			report, err := tools(t).Run(t.Context(), Command{
				Args:  []string{"-f", "s16le", "-ar", "48000", "-ac", "2", "-i", "pipe:0", "-t", strconv.FormatFloat(float64(part)/4/48000, 'f', 6, 64), "-f", "s16le", PipeURL(0)},
				Input: bytes.NewReader(samples), Outputs: []func(io.Reader) error{collect(&got)},
				Dir: t.TempDir(), FirstFrameTimeout: time.Minute, StallTimeout: time.Minute,
			})
			if err != nil {
				t.Fatalf("%v\n%s", err, report.LastWords)
			}
			if !bytes.Equal(got.Bytes(), samples[:part]) {
				t.Errorf("%d bytes came out of %d that went in", got.Len(), part)
			}
		})
	}
}

func TestHandlerThatHasSeenEnoughDoesNotBlockFFmpeg(t *testing.T) {
	report, err := tools(t).Run(t.Context(), Command{
		Args:    []string{"-f", "lavfi", "-i", "testsrc2=s=320x180:r=30", "-frames:v", "30", "-f", "rawvideo", PipeURL(0)},
		Outputs: []func(io.Reader) error{func(io.Reader) error { return nil }}, Dir: t.TempDir(),
	})
	if err != nil || report.Frames != 30 {
		t.Fatalf("%d frames, %v", report.Frames, err)
	}
}

func TestHandlersErrorKillsFFmpegAndIsReturned(t *testing.T) {
	full := errors.New("the store is full")
	report, err := tools(t).Run(t.Context(), Command{
		Args: []string{"-f", "lavfi", "-i", "testsrc2=s=320x180:r=30", "-f", "rawvideo", PipeURL(0)}, // endless
		Outputs: []func(io.Reader) error{func(r io.Reader) error {
			_, _ = io.ReadFull(r, make([]byte, 1000))
			return full
		}},
		Dir: t.TempDir(),
	})
	if !errors.Is(err, full) || report.Signal != syscall.SIGKILL {
		t.Fatalf("got %v, signal %v", err, report.Signal)
	}
}

func TestHandlersErrorAfterTheEndIsReturned(t *testing.T) {
	full := errors.New("the store is full")
	_, err := tools(t).Run(t.Context(), Command{
		Args: append(picturesArgs(5), toPipe(0)...), Dir: t.TempDir(),
		Outputs: []func(io.Reader) error{func(r io.Reader) error {
			if err := discard(r); err != nil {
				return err
			}
			return full
		}},
	})
	if !errors.Is(err, full) {
		t.Fatalf("got %v", err)
	}
}

func TestOutputOfAFailedRunNeverReadsAsComplete(t *testing.T) {
	var end error
	report, err := script(t, `printf half >&3; echo '[error] out of luck' >&2; exit 3`).Run(t.Context(), Command{
		Outputs: []func(io.Reader) error{func(r io.Reader) error {
			_, end = io.ReadAll(r)
			return end
		}},
		Dir: t.TempDir(),
	})
	if !errors.Is(end, ErrIncomplete) {
		t.Errorf("the handler read to %v", end)
	}
	wantFailure(t, err, job.EncoderFailed, "exited with status 3: out of luck")
	if report.ExitCode != 3 || report.Errors != 1 {
		t.Errorf("report is %+v", report)
	}
}

func TestKilledFFmpegSaysSo(t *testing.T) {
	report, err := script(t, `echo '[error] Invalid data found when processing input' >&2; kill -9 $$`).Run(t.Context(), Command{Dir: t.TempDir()})
	wantFailure(t, err, job.EncoderFailed, "killed by SIGKILL (out of memory?)")
	if report.Signal != syscall.SIGKILL || report.ExitCode != -1 {
		t.Errorf("report is %+v", report)
	}
}

func TestCrashedFFmpegSaysSo(t *testing.T) {
	_, err := script(t, `kill -SEGV $$`).Run(t.Context(), Command{Dir: t.TempDir()})
	wantFailure(t, err, job.EncoderFailed, "killed by SIGSEGV (it crashed)")
}

func TestStalledFFmpegIsKilled(t *testing.T) {
	t.Run("before the first frame", func(t *testing.T) {
		_, err := script(t, `exec sleep 1000`).Run(t.Context(), Command{Dir: t.TempDir(), FirstFrameTimeout: 50 * time.Millisecond})
		wantFailure(t, err, job.EncoderStalled, "no first frame in 50ms")
	})
	t.Run("in the middle, also when it ignores requests to end", func(t *testing.T) {
		_, err := script(t, `trap '' TERM INT; printf 'frame=7\nout_time_us=233333\nprogress=continue\n' >&3; while :; do sleep 1000; done`).
			Run(t.Context(), Command{Dir: t.TempDir(), FirstFrameTimeout: time.Minute, StallTimeout: 50 * time.Millisecond})
		wantFailure(t, err, job.EncoderStalled, "after frame 7 (at 233ms)")
	})
	t.Run("while it repeats itself", func(t *testing.T) {
		_, err := script(t, `while :; do printf 'frame=7\nprogress=continue\n' >&3; done`).
			Run(t.Context(), Command{Dir: t.TempDir(), StallTimeout: 50 * time.Millisecond, FirstFrameTimeout: time.Minute})
		wantFailure(t, err, job.EncoderStalled, "after frame 7")
	})
}

func TestSlowHandlerIsNotFFmpegsStall(t *testing.T) {
	release := make(chan struct{})
	stalls := 0
	dog := newWatchdog(0, time.Nanosecond, func() bool {
		if stalls++; stalls == 3 {
			close(release)
		}
		return stalls <= 3
	})
	dog.note(Progress{Frame: 1})
	ctx, kill := context.WithCancelCause(t.Context())
	dog.watch(ctx, kill)
	select {
	case <-release:
	default:
		t.Fatal("killed while a handler was busy")
	}
	wantFailure(t, context.Cause(ctx), job.EncoderStalled, "after frame 1")
}

func TestCancellingKillsTheWholeGroup(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var pidfd int
	_, err := script(t, `sh -c 'trap "" TERM; echo $$ >&3; while :; do sleep 1000; done' & wait`).Run(ctx, Command{
		Dir: dir,
		Outputs: []func(io.Reader) error{func(r io.Reader) error {
			line := make([]byte, 32)
			n, err := r.Read(line)
			if err != nil {
				return err
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
			if err != nil {
				return err
			}
			if pidfd, err = unix.PidfdOpen(pid, 0); err != nil {
				return err
			}
			cancel()
			return discard(r)
		}},
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the context's own error", err)
	}
	defer func() { _ = unix.Close(pidfd) }()
	awaitExit(t, pidfd)
}

func TestChildrenLeftBehindAreKilled(t *testing.T) {
	var line bytes.Buffer
	_, err := script(t, `sleep 1000 & echo $! >&3; exit 0`).Run(t.Context(), Command{
		Dir: t.TempDir(), Outputs: []func(io.Reader) error{collect(&line)},
	})
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line.String()))
	if err != nil {
		t.Fatal(err)
	}
	if pidfd, err := unix.PidfdOpen(pid, 0); err == nil {
		defer func() { _ = unix.Close(pidfd) }()
		awaitExit(t, pidfd)
	}
}

func TestDeadlineIsReturnedAsItself(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := script(t, `exec sleep 1000`).Run(ctx, Command{Dir: t.TempDir()})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

func TestFloodOfLogIsBoundedAndItsEndsKept(t *testing.T) {
	report, err := script(t, `
		echo '[mov @ 0x1] [error] first words' >&2
		head -c 200000000 /dev/zero | tr '\0' 'x' >&2
		printf '\n\033[31m[warning] \377 last \007words\033[0m\n' >&2
		exit 1`).Run(t.Context(), Command{Dir: t.TempDir()})
	wantFailure(t, err, job.EncoderFailed, "last words")
	if len(report.LastWords) > shownLines*(shownLineSize+8)*4 {
		t.Errorf("%d bytes of last words", len(report.LastWords))
	}
	if !utf8.ValidString(report.LastWords) || strings.ContainsAny(report.LastWords, "\x1b\x07") || !strings.Contains(report.LastWords, "\uFFFD last words") {
		t.Errorf("last words end in %q", report.LastWords[max(0, len(report.LastWords)-60):])
	}
	if report.Errors != 1 {
		t.Errorf("%d errors counted", report.Errors)
	}
}

func TestSourceThatIsCutOffIsToldFromAWholeOne(t *testing.T) {
	for _, container := range []string{"mp4", "mkv"} {
		film := makeVideo(t, "film."+container, "-f", "lavfi", "-i", "testsrc2=s=320x180:r=30:d=2", "-movflags", "faststart", "-c:v", "libx264", "-preset", "ultrafast")
		for _, half := range []bool{false, true} {
			if half {
				info, err := os.Stat(film)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(film, info.Size()/2); err != nil {
					t.Fatal(err)
				}
			}
			report, err := tools(t).Run(t.Context(), Command{Args: append(InputArgs(film), "-f", "null", "-"), Dir: t.TempDir()})
			if err != nil || report.SourceCutOff != half || (report.Frames < 60) != half {
				t.Errorf("%s, cut off %v: %d frames, %v, cut off %v\n%s", container, half, report.Frames, err, report.SourceCutOff, report.LastWords)
			}
		}
	}
}

func TestFFmpegThatVanishedIsThisNodesFailure(t *testing.T) {
	own := tools(t)
	own.FFmpeg = "/nowhere/ffmpeg"
	_, err := own.Run(t.Context(), Command{Dir: t.TempDir()})
	wantFailure(t, err, job.EncoderFailed, "no such file or directory")
}

func TestOutputIsBounded(t *testing.T) {
	t.Run("through pipes", func(t *testing.T) {
		_, err := tools(t).Run(t.Context(), Command{
			Args:    []string{"-f", "lavfi", "-i", "testsrc2=s=320x180:r=30", "-f", "rawvideo", PipeURL(0)}, // endless
			Outputs: []func(io.Reader) error{discard}, Dir: t.TempDir(), MaxOutputBytes: 1 << 20,
		})
		wantFailure(t, err, job.LimitExceeded, "1048576 bytes")
	})
	for _, sandbox := range []*Sandbox{nil, {}} {
		t.Run("in files", func(t *testing.T) {
			dir := t.TempDir()
			_, err := tools(t).Run(t.Context(), Command{
				Args: []string{"-f", "lavfi", "-i", "testsrc2=s=320x180:r=30", "-f", "rawvideo", "out.raw"},
				Dir:  dir, MaxOutputBytes: 1 << 20, Sandbox: sandbox,
			})
			wantFailure(t, err, job.LimitExceeded, "1048576 bytes")
			if info, err := os.Stat(filepath.Join(dir, "out.raw")); err != nil || info.Size() > 1<<20 {
				t.Errorf("the file: %v, %v", info, err)
			}
		})
	}
}

func TestSecretsOfTheEnvironmentStayHere(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hush")
	t.Setenv("http_proxy", "http://127.0.0.1:9")
	var env bytes.Buffer
	_, err := script(t, `env >&3`).Run(t.Context(), Command{Dir: t.TempDir(), Outputs: []func(io.Reader) error{collect(&env)}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(env.String(), "hush") || strings.Contains(env.String(), "proxy") {
		t.Errorf("ffmpeg sees %s", env.String())
	}
}

func TestMissingFFmpegSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Find(t.Context(), "", "")
	if err == nil || !strings.Contains(err.Error(), "install ffmpeg") {
		t.Fatalf("got %v", err)
	}
	_, err = Find(t.Context(), "/nowhere/ffmpeg", "")
	if err == nil || !strings.Contains(err.Error(), "/nowhere/ffmpeg can't be run") {
		t.Fatalf("got %v", err)
	}
}

func TestProgramThatIsNotFFmpegIsRefused(t *testing.T) {
	_, err := Find(t.Context(), "/bin/true", "")
	if err == nil || !strings.Contains(err.Error(), "does not answer -version like ffmpeg") {
		t.Fatalf("got %v", err)
	}
}
