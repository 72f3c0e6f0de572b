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
	w.command = exec.CommandContext(p.t.Context(), binary, args...)
	w.command.Stdout, w.command.Stderr = w, w
	if err := w.command.Start(); err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, "submit --wait shows that the job runs", func() bool { return strings.Contains(w.says(), "Transcoding") })
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
	ffmpeg := newStandIn(t)
	p := newPeer(t, ffmpeg.flags()...)
	p.start()
	door := ffmpeg.hold(anyEncode)
	waiting, id := p.submitAndWait(p.put(numbered(t, 4), "clip.mp4"))
	door.reached()
	if err := waiting.command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	waiting.ends(t, 130, "goes on")
	door.open()
	p.await(id, job.Completed)
}

func TestASubmitWhoseJobIsCancelledEndsWithItsOwnExitCode(t *testing.T) {
	t.Parallel()
	ffmpeg := newStandIn(t)
	p := newPeer(t, ffmpeg.flags()...)
	p.start()
	door := ffmpeg.hold(anyEncode)
	waiting, id := p.submitAndWait(p.put(numbered(t, 4), "clip.mp4"))
	door.reached()
	if code, out, complaints := p.cli(append([]string{"cancel", string(id)}, p.remote()...)...); code != 0 {
		t.Errorf("cancel ended with %d:\n%s%s", code, out, complaints)
	}
	waiting.ends(t, 3, "cancelled")
}

func TestASubmitThatWaitsFindsThePeerAgainAfterItsRestart(t *testing.T) {
	t.Parallel()
	ffmpeg := newStandIn(t)
	p := newPeer(t, ffmpeg.flags()...)
	p.start()
	door := ffmpeg.hold(anyEncode)
	waiting, id := p.submitAndWait(p.put(numbered(t, 4), "clip.mp4"))
	door.reached()
	p.kill()
	door.open()
	p.start()
	waiting.ends(t, 0, "completed")
	p.await(id, job.Completed)
}

func TestAPeerThatWasFrozenForLongerThanItsLeaseCompletesItsJob(t *testing.T) {
	t.Parallel()
	ffmpeg := newStandIn(t)
	p := newPeer(t, append(ffmpeg.flags(), allowHooks...)...)
	p.start()
	receiver := newHook(t)
	receiver.subscribe(p)
	door := ffmpeg.hold(encodeFrom(lastChunkStart))
	created := p.submit(request(p, p.put(numbered(t, longSeconds), "clip.mp4"), "240p"))
	door.reached()
	before := p.read(created.ID)
	if err := p.command.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	pass(t, longerThanLease)
	if err := p.command.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	door.open()
	completed := p.await(created.ID, job.Completed)
	for _, id := range finished(before) {
		if attempts := task(t, completed, id).Attempts; len(attempts) != 1 {
			t.Errorf("%s was finished before, and done again: %s", id, text(attempts))
		}
	}
	receiver.expect(created.ID, job.Transcoding, job.Completed)
	checkLadder(t, p.outputs+"/out", numberedLadder(longSeconds, "240p"))
}
