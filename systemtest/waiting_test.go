package systemtest

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"millrace/api/client"
	"millrace/job"
	"millrace/systemtest/rig"
)

// waiter is a `millrace submit --wait` under way.
type waiter struct {
	command *exec.Cmd
	mu      sync.Mutex
	said    bytes.Buffer
}

func (w *waiter) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.Write(text)
}

func (w *waiter) says() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.String()
}

// submitAndWait starts the command and waits until it shows that the job runs.
func (p *peer) submitAndWait(source string) (*waiter, job.ID) {
	p.t.Helper()
	args := append([]string{"submit"}, p.remote()...)
	args = append(args, "--input", source, "--output", p.output("out"), "--resolutions", "240p", "--wait")
	w := &waiter{}
	w.command = exec.CommandContext(p.t.Context(), rig.Binary(), args...)
	w.command.Stdout, w.command.Stderr = w, w
	if err := w.command.Start(); err != nil {
		p.t.Fatal(err)
	}
	rig.Eventually(p.t, "submit --wait shows that the job runs", func() bool { return strings.Contains(w.says(), "Transcoding") })
	for found, err := range p.api.Jobs(p.t.Context(), client.JobFilter{}) {
		if err != nil {
			p.t.Fatal(err)
		}
		return w, found.ID
	}
	p.t.Fatal("no job is listed")
	return nil, ""
}

// ends waits for the command's end.
func (w *waiter) ends(t *testing.T, want int, says string) {
	t.Helper()
	_ = w.command.Wait() // its exit code tells
	if code := w.command.ProcessState.ExitCode(); code != want || !strings.Contains(w.says(), says) {
		t.Errorf("submit --wait ended with %d, want %d, and %q in:\n%s", code, want, says, w.says())
	}
}

func TestASubmitThatIsInterruptedLeavesItsJobRunning(t *testing.T) {
	t.Parallel()
	ffmpeg := rig.NewStandIn(t)
	p := newPeer(t, ffmpeg.Flags()...)
	p.start()
	door := ffmpeg.Hold(rig.AnyEncode)
	waiting, id := p.submitAndWait(p.put(rig.Numbered(t, 4), "clip.mp4"))
	door.Reached()
	if err := waiting.command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	waiting.ends(t, 130, "goes on")
	door.Open()
	p.await(id, job.Completed)
}

func TestASubmitWhoseJobIsCancelledEndsWithItsOwnExitCode(t *testing.T) {
	t.Parallel()
	ffmpeg := rig.NewStandIn(t)
	p := newPeer(t, ffmpeg.Flags()...)
	p.start()
	door := ffmpeg.Hold(rig.AnyEncode)
	waiting, id := p.submitAndWait(p.put(rig.Numbered(t, 4), "clip.mp4"))
	door.Reached()
	if code, out, complaints := p.cli(append([]string{"cancel", string(id)}, p.remote()...)...); code != 0 {
		t.Errorf("cancel ended with %d:\n%s%s", code, out, complaints)
	}
	waiting.ends(t, 3, "cancelled")
}

func TestASubmitThatWaitsFindsThePeerAgainAfterItsRestart(t *testing.T) {
	t.Parallel()
	ffmpeg := rig.NewStandIn(t)
	p := newPeer(t, ffmpeg.Flags()...)
	p.start()
	door := ffmpeg.Hold(rig.AnyEncode)
	waiting, id := p.submitAndWait(p.put(rig.Numbered(t, 4), "clip.mp4"))
	door.Reached()
	p.kill()
	door.Open()
	p.start()
	waiting.ends(t, 0, "completed")
	p.await(id, job.Completed)
}

func TestAPeerThatWasFrozenForLongerThanItsLeaseCompletesItsJob(t *testing.T) {
	t.Parallel()
	ffmpeg := rig.NewStandIn(t)
	p := newPeer(t, append(ffmpeg.Flags(), allowHooks...)...)
	p.start()
	receiver := rig.NewHook(t, "127.0.0.1:0")
	receiver.Subscribe(p.api)
	door := ffmpeg.Hold(lastEncode)
	created := p.submit(request(p, p.put(rig.Numbered(t, longSeconds), "clip.mp4"), "240p"))
	door.Reached()
	before := p.read(created.ID)
	if err := p.command.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	rig.Pass(t, longerThanLease)
	if err := p.command.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	door.Open()
	completed := p.await(created.ID, job.Completed)
	for _, id := range finished(before) {
		if attempts := task(t, completed, id).Attempts; len(attempts) != 1 {
			t.Errorf("%s was finished before, and done again: %s", id, text(attempts))
		}
	}
	receiver.Expect(created.ID, job.Transcoding, job.Completed)
	rig.CheckLadder(t, p.outputs+"/out", rig.NumberedLadder(longSeconds, "240p"))
}
