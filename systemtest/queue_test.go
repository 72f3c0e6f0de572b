package systemtest

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing"

	"millrace/api/client"
	"millrace/job"
	"millrace/systemtest/rig"
)

func TestTheSameRequestAtOnceMakesOneJob(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.start()
	asked := request(p, p.put(rig.Numbered(t, 4), "clip.mp4"), "240p")
	asked.IdempotencyKey = "the same for all"
	ids := make([]job.ID, 20)
	var posting sync.WaitGroup
	for i := range ids {
		posting.Go(func() {
			created, err := p.api.CreateJob(t.Context(), asked)
			if err != nil {
				t.Error(err)
			}
			ids[i] = created.ID
		})
	}
	posting.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("several jobs were made: %v", ids)
		}
	}
	jobs := 0
	for _, err := range p.api.Jobs(t.Context(), client.JobFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		jobs++
	}
	if jobs != 1 {
		t.Errorf("%d jobs are listed, want 1", jobs)
	}
	other := asked
	other.Resolutions = []string{"360p"}
	var refused *client.Problem
	if _, err := p.api.CreateJob(t.Context(), other); !errors.As(err, &refused) || refused.Status != http.StatusConflict {
		t.Errorf("the same key with another body: %v, want 409", err)
	}
	p.await(ids[0], job.Completed)
	if again := p.submit(asked); again.ID != ids[0] {
		t.Errorf("the same request after the end made another job: %s", again.ID)
	}
}

func TestTwoJobsCannotWriteToOnePath(t *testing.T) {
	t.Parallel()
	ffmpeg := rig.NewStandIn(t)
	p := newPeer(t, ffmpeg.Flags()...)
	p.start()
	door := ffmpeg.Hold(rig.AnyEncode)
	asked := request(p, p.put(rig.Numbered(t, 4), "clip.mp4"), "240p")
	first := p.submit(asked)
	door.Reached()
	for _, path := range []string{p.output("out"), "file://" + p.outputs + "/out", "file://" + p.outputs + "/./out/"} {
		second := asked
		second.OutputPath = path
		created, err := p.api.CreateJob(t.Context(), second)
		var refused *client.Problem
		if !errors.As(err, &refused) || refused.Status != http.StatusConflict && refused.Status != http.StatusBadRequest {
			t.Errorf("a second job to %s: %q, %v, want 409", path, created.ID, err)
		}
	}
	door.Open()
	p.await(first.ID, job.Completed)
	p.await(p.submit(asked).ID, job.Completed) // the path is free again
	rig.CheckLadder(t, filepath.Join(p.outputs, "out"), rig.NumberedLadder(4, "240p"))
}

// manyJobs are queued at once, and mostMemory is what the peer may take then.
const (
	manyJobs   = 50
	mostMemory = 300 << 20
	// fewFiles is room for connections that are kept and files of the log.
	fewFiles = 10
)

func TestManyQueuedJobsAllCompleteInBoundedMemory(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.start()
	tiny := p.put(rig.Clip(t, "tiny.mp4", "-f", "lavfi", "-i", "testsrc2=s=160x90:r=10:d=0.5", "-c:v", "libx264", "-preset", "ultrafast"), "tiny.mp4")
	openBefore := rig.OpenFiles(t, p.pid())
	var ids []job.ID
	for i := range manyJobs {
		asked := request(p, tiny, "240p")
		asked.OutputPath = p.output(fmt.Sprint(i))
		ids = append(ids, p.submit(asked).ID)
	}
	var most int64
	for i, id := range ids {
		p.await(id, job.Completed)
		most = max(most, rig.ResidentBytes(t, p.pid()))
		if _, has := rig.FilesIn(t, filepath.Join(p.outputs, fmt.Sprint(i)))["video.m3u8"]; !has {
			t.Errorf("job %d is completed and has no master", i)
		}
	}
	if most > mostMemory && !rig.RaceDetector { // which takes many times as much
		t.Errorf("the peer took %d MiB, want at most %d", most>>20, mostMemory>>20)
	}
	rig.Eventually(t, "the peer has closed what it opened for the jobs", func() bool { return rig.OpenFiles(t, p.pid()) <= openBefore+fewFiles })
	t.Logf("the peer took %d MiB at most", most>>20)
}
