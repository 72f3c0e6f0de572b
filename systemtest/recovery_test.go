package systemtest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"millrace/job"
	"millrace/storage/storagetest"
	"millrace/systemtest/rig"
)

// The long clip is cut into two chunks or more, by how fast the machine is, and
// where it has two rungs a chunk's may be made by two tasks.
const longSeconds = 12

// lastEncode is the pattern of the run that makes 240p of the long clip's last
// chunk.
var lastEncode = fmt.Sprintf("*trim=*:end_pts=%d,*scale=w=426:*", longSeconds*rig.ClipRate)

func TestAJobGoesOnAfterThePeerIsKilledBeforeTheInspectionEnds(t *testing.T) {
	t.Parallel()
	ffmpeg := rig.NewStandIn(t)
	p := newPeer(t, append(ffmpeg.Flags(), allowHooks...)...)
	p.start()
	receiver := rig.NewHook(t, "127.0.0.1:0")
	receiver.Subscribe(p.api)
	door := ffmpeg.Hold(rig.AnyProbe)
	created := p.submit(request(p, p.put(rig.Numbered(t, 10), "clip.mp4"), "240p"))
	door.Reached()
	p.kill()
	door.Open()
	p.start()
	completed := p.await(created.ID, job.Completed)
	inspect := task(t, completed, "inspect")
	if n := len(inspect.Attempts); n != 2 || inspect.Attempts[0].Outcome != job.OutcomeLost || inspect.Failures != 0 {
		t.Errorf("the inspection's attempts are %s, want one lost and one finished", text(inspect))
	}
	receiver.Expect(created.ID, job.Transcoding, job.Completed)
	rig.CheckLadder(t, filepath.Join(p.outputs, "out"), rig.NumberedLadder(10, "240p"))
}

func TestFinishedChunksAreNotEncodedAgainAfterThePeerIsKilled(t *testing.T) {
	t.Parallel()
	ffmpeg := rig.NewStandIn(t)
	p := newPeer(t, append(ffmpeg.Flags(), allowHooks...)...)
	p.start()
	receiver := rig.NewHook(t, "127.0.0.1:0")
	receiver.Subscribe(p.api)
	door := ffmpeg.Hold(lastEncode)
	created := p.submit(request(p, p.put(rig.Numbered(t, longSeconds), "clip.mp4"), "240p", "360p"))
	door.Reached()
	before, held := p.awaitAllBut(created.ID)
	files := rig.FilesIn(t, filepath.Join(p.outputs, "out"))
	p.kill()
	door.Open()
	p.start()

	completed := p.await(created.ID, job.Completed)
	for _, id := range finished(before) {
		if attempts := task(t, completed, id).Attempts; len(attempts) != 1 {
			t.Errorf("%s was finished before the kill, and tried again: %s", id, text(attempts))
		}
	}
	last := task(t, completed, held.ID)
	if n := len(last.Attempts); n != 2 || last.Attempts[0].Outcome != job.OutcomeLost || last.Attempts[1].Outcome != job.OutcomeFinished {
		t.Errorf("the last chunk's attempts are %s, want one lost and one finished", text(last.Attempts))
	}
	after := rig.FilesIn(t, filepath.Join(p.outputs, "out"))
	kept := 0
	for name, modified := range files {
		if strings.HasSuffix(name, ".m4s") && strings.HasPrefix(name, "240p") {
			kept++
			if after[name] != modified {
				t.Errorf("%s was written again", name)
			}
		}
	}
	if want := held.Chunk.Frames.Start / (2 * rig.ClipRate); kept != int(want) {
		t.Errorf("%d segments of 240p were there before the kill, want %d: %v", kept, want, files)
	}
	receiver.Expect(created.ID, job.Transcoding, job.Completed)
	rig.CheckLadder(t, filepath.Join(p.outputs, "out"), rig.NumberedLadder(longSeconds, "240p", "360p"))
}

func TestAJobIsPublishedOnceWhenThePeerIsKilledWhilePackaging(t *testing.T) {
	t.Parallel()
	gateway := storagetest.Start(t)
	gateway.CreateBucket(t, "videos")
	gate := rig.NewGate(t, gateway, "127.0.0.1:0")
	p := newPeer(t, append([]string{"--allow-source-network", "127.0.0.0/8"}, allowHooks...)...)
	p.start()
	receiver := rig.NewHook(t, "127.0.0.1:0")
	receiver.Subscribe(p.api)
	gate.Hold("PUT", "/video.mpd")
	asked := request(p, p.put(rig.Numbered(t, 10), "clip.mp4"), "240p")
	asked.OutputPath = gate.URL("videos", "out/")
	created := p.submit(asked)
	gate.Reached()
	p.kill()
	if files := rig.FilesIn(t, filepath.Join(gateway.Dir, "videos", "out")); files["video.m3u8"] != 0 {
		t.Error("the master is there before the manifest")
	}
	gate.Open()
	p.start()
	completed := p.await(created.ID, job.Completed)
	for _, k := range completed.Tasks {
		if k.Kind == job.EncodeTask && len(k.Attempts) != 1 {
			t.Errorf("%s was encoded again: %s", k.ID, text(k.Attempts))
		}
	}
	receiver.Expect(created.ID, job.Transcoding, job.Completed)
	rig.CheckLadder(t, filepath.Join(gateway.Dir, "videos", "out"), rig.NumberedLadder(10, "240p"))
}

func TestSIGTERMLetsARunningTaskFinish(t *testing.T) {
	t.Parallel()
	ffmpeg := rig.NewStandIn(t)
	p := newPeer(t, append(ffmpeg.Flags(), "--drain-timeout", "2m")...)
	p.start()
	door := ffmpeg.Hold(rig.EncodeFrom(0))
	created := p.submit(request(p, p.put(rig.Numbered(t, longSeconds), "clip.mp4"), "240p"))
	door.Reached()
	p.signal()
	rig.Eventually(t, "the peer drains", func() bool { return strings.Contains(p.log(), "draining") })
	door.Open()
	if code := p.wait(); code != 0 {
		t.Errorf("the drained peer ended with exit code %d, want 0", code)
	}
	p.noProcessLeft()
	p.start()
	completed := p.await(created.ID, job.Completed)
	if attempts := task(t, completed, "encode-00000").Attempts; len(attempts) != 1 {
		t.Errorf("the task that was let finish was done again: %s", text(attempts))
	}
	rig.CheckLadder(t, filepath.Join(p.outputs, "out"), rig.NumberedLadder(longSeconds, "240p"))
}

func TestSIGTERMGivesBackWhatDoesNotFinishInTime(t *testing.T) {
	t.Parallel()
	ffmpeg := rig.NewStandIn(t)
	p := newPeer(t, append(ffmpeg.Flags(), "--drain-timeout", "1s")...)
	p.start()
	door := ffmpeg.Hold(rig.EncodeFrom(0))
	created := p.submit(request(p, p.put(rig.Numbered(t, longSeconds), "clip.mp4"), "240p"))
	door.Reached()
	if code := p.terminate(); code != 0 {
		t.Errorf("the drained peer ended with exit code %d, want 0", code)
	}
	p.noProcessLeft()
	door.Open()
	p.start()
	completed := p.await(created.ID, job.Completed)
	first := task(t, completed, "encode-00000")
	if first.Failures != 0 || len(first.Attempts) != 2 || slices.ContainsFunc(first.Attempts, func(a job.Attempt) bool { return a.Outcome == job.OutcomeFailed }) {
		t.Errorf("the task that was given back counts as failed: %s", text(first))
	}
	rig.CheckLadder(t, filepath.Join(p.outputs, "out"), rig.NumberedLadder(longSeconds, "240p"))
}

func TestAPeerThatIsKilledAgainAndAgainCompletesItsJob(t *testing.T) {
	t.Parallel()
	p := newPeer(t, allowHooks...)
	p.start()
	receiver := rig.NewHook(t, "127.0.0.1:0")
	receiver.Subscribe(p.api)
	created := p.submit(request(p, p.put(rig.Numbered(t, longSeconds), "clip.mp4"), "240p", "360p"))
	// Each time after one more chunk, or at the end.
	for n := 1; n <= 3; n++ {
		rig.Eventually(t, "one more chunk is finished", func() bool {
			now := p.read(created.ID)
			return len(finished(now)) >= n || now.Status.Terminal()
		})
		p.restart()
	}
	p.await(created.ID, job.Completed)
	receiver.Expect(created.ID, job.Transcoding, job.Completed)
	rig.CheckLadder(t, filepath.Join(p.outputs, "out"), rig.NumberedLadder(longSeconds, "240p", "360p"))
}

func TestACopyOfARunningPeersDataFolderGoesOn(t *testing.T) {
	t.Parallel()
	ffmpeg := rig.NewStandIn(t)
	p := newPeer(t, ffmpeg.Flags()...)
	p.start()
	door := ffmpeg.Hold(lastEncode)
	created := p.submit(request(p, p.put(rig.Numbered(t, longSeconds), "clip.mp4"), "240p"))
	door.Reached()
	_, held := p.awaitAllBut(created.ID)
	// What a power cut leaves: what was on the disk at that moment.
	copied := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(copied, os.DirFS(p.data)); err != nil {
		t.Fatal(err)
	}
	p.kill()
	door.Open()
	p.data = copied
	p.start()
	completed := p.await(created.ID, job.Completed)
	for _, k := range completed.Tasks {
		if k.Kind == job.EncodeTask && k.ID != held.ID && len(k.Attempts) != 1 {
			t.Errorf("%s was finished before the power cut, and done again: %s", k.ID, text(k.Attempts))
		}
	}
	rig.CheckLadder(t, filepath.Join(p.outputs, "out"), rig.NumberedLadder(longSeconds, "240p"))
}

func TestASegmentThatSomebodyOverwroteIsMadeAgainBeforeItIsPublished(t *testing.T) {
	t.Parallel()
	ffmpeg := rig.NewStandIn(t)
	p := newPeer(t, ffmpeg.Flags()...)
	p.start()
	door := ffmpeg.Hold(lastEncode)
	created := p.submit(request(p, p.put(rig.Numbered(t, longSeconds), "clip.mp4"), "240p"))
	door.Reached()
	before, held := p.awaitAllBut(created.ID)
	for _, id := range finished(before) { // in each of them its first segment
		segment := task(t, before, id).Chunk.Frames.Start/(2*rig.ClipRate) + 1
		if err := os.WriteFile(filepath.Join(p.outputs, "out", "240p", fmt.Sprintf("%05d.m4s", segment)), []byte("a zombie was here"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	door.Open()
	completed := p.await(created.ID, job.Completed)
	for _, id := range finished(before) {
		if k := task(t, completed, id); len(k.Attempts) != 2 || k.Failures != 0 {
			t.Errorf("%s was not done again: %s", id, text(k))
		}
	}
	if k := task(t, completed, held.ID); len(k.Attempts) != 1 {
		t.Errorf("%s was good and is done again: %s", k.ID, text(k.Attempts))
	}
	rig.CheckLadder(t, filepath.Join(p.outputs, "out"), rig.NumberedLadder(longSeconds, "240p"))
}
