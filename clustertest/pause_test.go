package clustertest

import (
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"millrace/job"
	"millrace/storage/storagetest"
	"millrace/systemtest/rig"
)

// frozen is how long a process stands still: far longer than any lease.
const frozen = time.Minute

func TestJobsOutliveALeaderThatIsFrozenForAMinute(t *testing.T) {
	t.Parallel()
	c, ffmpeg := steered(t)
	running, door := c.holdEncode(ffmpeg, c.request("running", 10, "240p"))
	old := c.leader()
	rest := c.through(c.others(old)...)
	old.pause()
	door.Open()
	during := rest.submit(c.request("during", 4, "240p"))
	rest.await(during, job.Completed)
	rest.await(running, job.Completed)
	rig.Pass(t, frozen)
	old.resume()
	// It wakes up believing that it leads. What it says must be true.
	if found, err := old.client().Job(t.Context(), during); err == nil && found.Status != job.Completed {
		t.Errorf("the frozen leader wakes up and finds the completed job %s", found.Status)
	}
	c.well()
	c.completes(running, c.output("running"), 10, "240p")
	c.completes(during, c.output("during"), 4, "240p")
}

func TestAWorkerThatWasFrozenForAMinutePublishesNothingTwice(t *testing.T) {
	for name, hold := range map[string]struct {
		kind job.TaskKind
		at   func(ffmpeg *rig.StandIn, gate *rig.Gate) (reached, open func())
	}{
		"in an encode": {job.EncodeTask, func(ffmpeg *rig.StandIn, _ *rig.Gate) (reached, open func()) {
			door := ffmpeg.Hold(rig.EncodeFrom(0))
			return door.Reached, door.Open
		}},
		"before the master": {job.PackageTask, func(_ *rig.StandIn, gate *rig.Gate) (reached, open func()) {
			gate.Hold(http.MethodPut, "/video.mpd")
			return gate.Reached, gate.Open
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gateway := storagetest.Start(t)
			gateway.CreateBucket(t, "videos")
			ffmpeg := rig.NewStandIn(t)
			c := newTeam(t, 3, ffmpeg.Flags()...)
			gate := rig.NewGate(t, gateway, c.lab.Hub()+":0")
			c.form()
			c.subscribe()
			leader := c.leader()
			c.drain(leader) // so that the worker is another peer
			reached, open := hold.at(ffmpeg, gate)
			asked := c.request("", 10, "240p")
			asked.OutputPath = gate.URL("videos", "out/")
			id := c.submit(asked)
			reached()
			worker := c.holder(id, hold.kind)
			worker.pause()
			begun := time.Now()
			open()
			rest := c.through(c.others(worker)...)
			rest.await(id, job.Completed)
			dir := filepath.Join(gateway.Dir, "videos", "out")
			before := rig.FilesIn(t, dir)
			rig.Pass(t, frozen-time.Since(begun))
			worker.resume()
			c.well()
			rig.Eventually(t, "the worker that was frozen has nothing left to do", worker.idle)
			after := rig.FilesIn(t, dir)
			for _, master := range []string{"video.m3u8", "video.mpd"} {
				if before[master] == 0 || before[master] != after[master] {
					t.Errorf("%s was written again by the worker that was frozen", master)
				}
			}
			c.completes(id, dir, 10, "240p")
		})
	}
}
