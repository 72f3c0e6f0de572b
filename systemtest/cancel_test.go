package systemtest

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"millrace/job"
	"millrace/systemtest/rig"
)

// foreign puts files of somebody else where a job writes, and returns a check
// that they are all that is there.
func foreign(t *testing.T, dir string) (onlyThey func()) {
	t.Helper()
	for _, name := range []string{"notes.txt", "240p/poster.jpg", "holiday/00001.m4s"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("not Millrace's"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := rig.FilesIn(t, dir)
	return func() {
		t.Helper()
		rig.Eventually(t, "only the foreign files are left", func() bool { return text(rig.FilesIn(t, dir)) == text(before) })
	}
}

func TestCancellingAnEncodingJobStopsItAndRemovesWhatItWrote(t *testing.T) {
	t.Parallel()
	ffmpeg := rig.NewStandIn(t)
	p := newPeer(t, append(ffmpeg.Flags(), allowHooks...)...)
	p.start()
	receiver := rig.NewHook(t, "127.0.0.1:0")
	receiver.Subscribe(p.api)
	onlyForeign := foreign(t, filepath.Join(p.outputs, "out"))
	door := ffmpeg.Hold(lastEncode)
	created := p.submit(request(p, p.put(rig.Numbered(t, longSeconds), "clip.mp4"), "240p"))
	door.Reached()
	rig.Eventually(t, "some chunks are written", func() bool { return len(finished(p.read(created.ID))) > 0 })

	// Twice at once and once more: one outcome.
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if message, err := p.api.Cancel(t.Context(), created.ID); err != nil || message == "" {
				t.Errorf("cancel: %q, %v", message, err)
			}
		})
	}
	both.Wait()
	if message, err := p.api.Cancel(t.Context(), created.ID); err != nil || !strings.Contains(message, "already") {
		t.Errorf("cancel of a cancelled job: %q, %v", message, err)
	}
	p.await(created.ID, job.Cancelled)
	p.noProcessLeft()
	onlyForeign()
	receiver.Expect(created.ID, job.Transcoding, job.Cancelled)

	// What was cancelled can be run again.
	door.Open()
	rig.Eventually(t, "the retry is taken", func() bool {
		_, err := p.api.Retry(t.Context(), created.ID)
		return err == nil
	})
	p.await(created.ID, job.Completed)
	rig.CheckLadder(t, filepath.Join(p.outputs, "out"), rig.NumberedLadder(longSeconds, "240p"))
}

func TestCancellingAQueuedJobKeepsItFromStarting(t *testing.T) {
	t.Parallel()
	ffmpeg := rig.NewStandIn(t)
	p := newPeer(t, ffmpeg.Flags()...)
	p.start()
	door := ffmpeg.Hold(rig.AnyProbe)
	source := p.put(rig.Numbered(t, 4), "clip.mp4")
	var ids []job.ID
	for _, name := range []string{"a", "b", "c"} { // one more than there are slots
		asked := request(p, source, "240p")
		asked.OutputPath = p.output(name)
		ids = append(ids, p.submit(asked).ID)
	}
	door.Reached()
	waiting := p.read(ids[2])
	if waiting.Status != job.Queued {
		t.Fatalf("the third job is %s, want it queued", waiting.Status)
	}
	if _, err := p.api.Cancel(t.Context(), ids[2]); err != nil {
		t.Fatal(err)
	}
	door.Open()
	for _, id := range ids[:2] {
		p.await(id, job.Completed)
	}
	cancelled := p.await(ids[2], job.Cancelled)
	if cancelled.StartTime != nil || len(task(t, cancelled, "inspect").Attempts) != 0 {
		t.Errorf("a job that was cancelled while queued has started: %s", text(cancelled))
	}
	if files := rig.FilesIn(t, filepath.Join(p.outputs, "c")); len(files) != 0 {
		t.Errorf("a job that was cancelled while queued wrote %v", files)
	}
}

func TestCancellingACompletedJobChangesNothing(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.start()
	created := p.submit(request(p, p.put(rig.Numbered(t, 4), "clip.mp4"), "240p"))
	before := p.await(created.ID, job.Completed)
	files := rig.FilesIn(t, filepath.Join(p.outputs, "out"))
	if status, answer := p.call(http.MethodDelete, "transcoding_jobs/"+string(created.ID)+"/", nil); status != http.StatusOK || answer["message"] != "Job is already completed." {
		t.Errorf("DELETE answers %d %v", status, answer)
	}
	if after := p.read(created.ID); text(after) != text(before) {
		t.Errorf("the job changed:\n%s\n%s", text(before), text(after))
	}
	if after := rig.FilesIn(t, filepath.Join(p.outputs, "out")); text(after) != text(files) {
		t.Errorf("the output changed: %v, before %v", after, files)
	}
	if status, answer := p.call(http.MethodPost, "transcoding_jobs/"+string(created.ID)+"/retry/", struct{}{}); status != http.StatusConflict {
		t.Errorf("retry of a completed job answers %d %v, want 409", status, answer)
	}
}

func TestRetryOfAFailedJobKeepsTheGoodChunks(t *testing.T) {
	for _, test := range []struct {
		name        string
		resolutions []string
		want        []string
	}{
		{"all rungs", nil, []string{"240p", "360p"}},
		{"one rung", []string{"240p"}, []string{"240p"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ffmpeg := rig.NewStandIn(t)
			p := newPeer(t, ffmpeg.Flags()...)
			p.start()
			// The last chunk fails, but not before the others are done.
			door := ffmpeg.Hold(lastEncode)
			created := p.submit(request(p, p.put(rig.Numbered(t, longSeconds), "clip.mp4"), "240p", "360p"))
			door.Reached()
			_, held := p.awaitAllBut(created.ID)
			rig.Eventually(t, "the sound is finished", func() bool { return task(t, p.read(created.ID), "audio").State == job.TaskFinished })
			ffmpeg.Do(rig.On(lastEncode, "exit 1"))
			for _, e := range p.encoders() {
				_ = syscall.Kill(e.PID, syscall.SIGKILL)
			}
			p.awaitFailure(created.ID, job.EncoderFailed)
			ffmpeg.Do("")
			if _, err := p.api.Retry(t.Context(), created.ID, test.resolutions...); err != nil {
				t.Fatal(err)
			}
			completed := p.await(created.ID, job.Completed)
			for _, k := range completed.Tasks {
				switch {
				case k.ID == held.ID:
					if len(k.Attempts) != 4 {
						t.Errorf("the bad chunk's attempts are %s, want three that failed and one more", text(k.Attempts))
					}
				case k.Kind == job.EncodeTask || k.Kind == job.AudioTask:
					if len(k.Attempts) != 1 {
						t.Errorf("%s was good and is done again: %s", k.ID, text(k.Attempts))
					}
				}
			}
			rig.CheckLadder(t, filepath.Join(p.outputs, "out"), rig.NumberedLadder(longSeconds, test.want...))
		})
	}
}
