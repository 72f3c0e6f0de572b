package clustertest

import (
	"flag"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"millrace/job"
	"millrace/storage/storagetest"
	"millrace/systemtest/rig"
)

var bounds = flag.Bool("bounds", false, "hold the product to its times; for a machine that does nothing else")

// elsewhereWithin is how soon after a node's SIGKILL its attempts run elsewhere.
const elsewhereWithin = 5 * time.Second

// moment is a step of a job's life that a test can stop at.
type moment struct {
	name string
	kind job.TaskKind // of the task that is under way; "" for none
	// hold makes the next job stop there; reached waits until it has, and open
	// lets it go on.
	hold func() (reached, open func())
}

// moments are the steps of a job's life, in order.
func moments(ffmpeg *rig.StandIn, gate *rig.Gate) []moment {
	door := func(pattern string) func() (reached, open func()) {
		return func() (reached, open func()) {
			d := ffmpeg.Hold(pattern)
			return d.Reached, d.Open
		}
	}
	write := func(hold func(method, suffix string), name string) func() (reached, open func()) {
		return func() (reached, open func()) {
			hold(http.MethodPut, name)
			return gate.Reached, gate.Open
		}
	}
	const anySound = "*-c:a aac*"
	return []moment{
		{"just acknowledged", "", func() (reached, open func()) { return func() {}, func() {} }},
		{"inspected", job.InspectTask, door(rig.AnyProbe)},
		{"encoded", job.EncodeTask, door(rig.EncodeFrom(0))},
		{"sound encoded", job.AudioTask, door(anySound)},
		{"packaged, before the manifest", job.PackageTask, write(gate.Hold, "/video.mpd")},
		{"packaged, before the master", job.PackageTask, write(gate.Hold, "/video.m3u8")},
		{"packaged, after the master", job.PackageTask, write(gate.HoldAnswer, "/video.m3u8")},
	}
}

// leaderDies, followerDies and workerDies choose whom to kill. The worker is the
// peer that holds the task, whatever else it is; the follower is not.
func leaderDies(c *team, _ *peer) *peer { return c.leader() }

func workerDies(c *team, holder *peer) *peer {
	if holder == nil {
		return c.others(c.leader())[0]
	}
	return holder
}

func followerDies(c *team, holder *peer) *peer {
	leader := c.leader()
	return c.others(leader, holder)[0]
}

func TestAcknowledgedJobsCompleteOnceWhoeverIsKilledAtWhicheverStep(t *testing.T) {
	for name, choose := range map[string]func(c *team, holder *peer) *peer{
		"the leader": leaderDies, "a follower": followerDies, "the worker": workerDies,
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
			for _, step := range moments(ffmpeg, gate) {
				t.Log("a job is ", step.name)
				asked := c.request("", 10, "240p")
				asked.OutputPath = gate.URL("videos", step.name+"/")
				reached, open := step.hold()
				id := c.submit(asked)
				reached()
				var holder *peer
				if step.kind != "" {
					holder = c.holder(id, step.kind)
				}
				victim := choose(c, holder)
				killed := time.Now()
				victim.kill()
				open()
				completed := c.completes(id, filepath.Join(gateway.Dir, "videos", step.name), 10, "240p")
				c.survived(completed, victim, killed)
				victim.launch()
				c.well()
			}
		})
	}
}

// survived checks that a kill cost the killed peer's attempts and no others, and
// logs how soon each was begun elsewhere.
func (c *team) survived(completed job.View, victim *peer, killed time.Time) {
	c.t.Helper()
	for _, k := range completed.Tasks {
		for i, attempt := range k.Attempts {
			if attempt.Outcome != job.OutcomeLost {
				continue
			}
			if attempt.Node != victim.id() {
				c.t.Errorf("%s was killed, and attempt %d of %s on %s was lost: %s", victim.name, attempt.Number, k.ID, c.named(attempt.Node).name, text(k))
			}
			later := k.Attempts[i+1:]
			if next := slices.IndexFunc(later, func(a job.Attempt) bool { return a.Node != victim.id() }); next >= 0 {
				took := later[next].Started.Sub(killed)
				c.t.Logf("%s went on elsewhere %.1f s after the kill", k.ID, took.Seconds())
				if *bounds && took > elsewhereWithin {
					c.t.Errorf("%s went on elsewhere after %s, want within %s", k.ID, took, elsewhereWithin)
				}
			}
		}
	}
}
