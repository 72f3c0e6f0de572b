package systemtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"millrace/job"
	"millrace/systemtest/rig"
)

// stopMidway sends a signal to the ffmpeg of the first chunk once it has
// written a segment. Later runs do as they should.
func (p *peer) stopMidway(ffmpeg *rig.StandIn, signal syscall.Signal) {
	p.t.Helper()
	rig.Eventually(p.t, "the first segment is written", func() bool {
		_, err := os.Stat(filepath.Join(p.outputs, "out", "240p", "00001.m4s"))
		return err == nil
	})
	ffmpeg.Do("")
	running := slices.DeleteFunc(p.encoders(), func(e rig.Process) bool { return !strings.Contains(e.Command, "trim=start_pts=0:") })
	if len(running) != 1 {
		p.t.Fatalf("the chunk's ffmpeg is not running: %v", p.encoders())
	}
	if err := syscall.Kill(running[0].PID, signal); err != nil {
		p.t.Fatal(err)
	}
}

func TestAChunkWhoseFFmpegIsKilledIsTriedAgain(t *testing.T) {
	t.Parallel()
	ffmpeg := rig.NewStandIn(t)
	p := newPeer(t, ffmpeg.Flags()...)
	p.start()
	// A chunk of 8 s that takes 8 s is under way for long enough to be killed.
	ffmpeg.Do(rig.On(rig.EncodeFrom(0), `exec "$real" -re "$@"`))
	created := p.submit(request(p, p.put(rig.Numbered(t, longSeconds), "clip.mp4"), "240p"))
	p.stopMidway(ffmpeg, syscall.SIGKILL)
	completed := p.await(created.ID, job.Completed)
	first := task(t, completed, "encode-00000")
	if len(first.Attempts) != 2 {
		t.Fatalf("the chunk's attempts are %s, want two", text(first.Attempts))
	}
	killed := first.Attempts[0]
	if killed.Outcome != job.OutcomeFailed || killed.Failure == nil || killed.Failure.Code != job.EncoderFailed || !strings.Contains(killed.Failure.Message, "kill") {
		t.Errorf("the killed attempt is kept as %s", text(killed))
	}
	rig.CheckLadder(t, filepath.Join(p.outputs, "out"), rig.NumberedLadder(longSeconds, "240p"))
}

func TestAChunkWhoseFFmpegStandsStillIsTriedAgain(t *testing.T) {
	t.Parallel()
	ffmpeg := rig.NewStandIn(t)
	p := newPeer(t, append(ffmpeg.Flags(), "--stall-timeout", "10s")...)
	p.start()
	ffmpeg.Do(rig.On(rig.EncodeFrom(0), `exec "$real" -re "$@"`))
	created := p.submit(request(p, p.put(rig.Numbered(t, longSeconds), "clip.mp4"), "240p"))
	p.stopMidway(ffmpeg, syscall.SIGSTOP)
	completed := p.await(created.ID, job.Completed)
	first := task(t, completed, "encode-00000")
	if len(first.Attempts) != 2 || first.Attempts[0].Failure == nil || first.Attempts[0].Failure.Code != job.EncoderStalled {
		t.Fatalf("the chunk's attempts are %s, want one that stalled and one more", text(first.Attempts))
	}
	rig.CheckLadder(t, filepath.Join(p.outputs, "out"), rig.NumberedLadder(longSeconds, "240p"))
}

func TestAnFFmpegThatAlwaysFailsEndsTheJobInItsNamedError(t *testing.T) {
	for _, test := range []struct {
		name, plan string
		code       job.Code
		lastWords  string
	}{
		{"dies", rig.On(rig.AnyEncode, `echo "[error] the stand-in has had enough" >&2; exit 1`), job.EncoderFailed, "had enough"},
		{"is killed", rig.On(rig.AnyEncode, `kill -KILL $$`), job.EncoderFailed, ""},
		{"hangs", rig.On(rig.AnyEncode, `exec sleep 1000`), job.EncoderStalled, ""},
		{"makes too few frames", rig.On(rig.AnyEncode, `set -- "${@/end_pts=100/end_pts=90}"`), job.EncoderOutputMismatch, ""},
		{"makes nothing", rig.On(rig.AnyEncode, `exit 0`), job.EncoderOutputMismatch, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ffmpeg := rig.NewStandIn(t)
			p := newPeer(t, append(ffmpeg.Flags(), "--first-frame-timeout", "5s", "--stall-timeout", "5s")...)
			p.start()
			ffmpeg.Do(test.plan)
			created := p.submit(request(p, p.put(rig.Numbered(t, 4), "clip.mp4"), "240p"))
			failed := p.awaitFailure(created.ID, test.code)
			tried := 0
			for _, k := range failed.Tasks {
				for _, attempt := range k.Attempts {
					if k.Kind != job.EncodeTask || attempt.Outcome != job.OutcomeFailed {
						continue
					}
					tried = max(tried, attempt.Number)
					if attempt.Failure == nil || attempt.Failure.Code != test.code || !strings.Contains(attempt.LastWords, test.lastWords) {
						t.Errorf("the attempt is kept as %s", text(attempt))
					}
				}
			}
			if tried != 3 {
				t.Errorf("a chunk was tried %d times, want 3", tried)
			}
			p.noProcessLeft()
			if _, err := os.Stat(filepath.Join(p.outputs, "out", "video.m3u8")); err == nil {
				t.Error("a failed job has published a master")
			}
		})
	}
}
