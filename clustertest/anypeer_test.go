package clustertest

import (
	"context"
	"testing"

	"millrace/job"
	"millrace/systemtest/rig"
)

func TestEveryPeerTakesJobsAndShowsTheLeadersProgress(t *testing.T) {
	for name, voters := range map[string]struct {
		flags  []string
		voters int
	}{
		"followers with the log":  {nil, 3},
		"workers without the log": {[]string{"--max-voters", "1"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ffmpeg := rig.NewStandIn(t)
			c := newTeam(t, 3, append(ffmpeg.Flags(), voters.flags...)...)
			c.peers[0].launch()
			c.wellWith(1)
			for _, p := range c.peers[1:] {
				p.flags = append(c.joins(), p.flags...)
				p.launch()
			}
			c.wellWith(voters.voters)
			leader := c.leader()
			others := c.others(leader)
			first := ffmpeg.Hold(rig.EncodeFrom(0))
			created, err := others[0].client().CreateJob(t.Context(), c.request("out", 10, "240p"))
			if err != nil {
				t.Fatalf("%s doesn't take a job: %v", others[0].name, err)
			}
			first.Reached()
			// All chunks but the first go on.
			for _, p := range []*peer{others[1], leader, others[0]} {
				rig.Eventually(t, p.name+" shows progress", func() bool { return p.progress(created.ID) > 50 })
			}
			if !<-others[1].streams(created.ID) {
				t.Errorf("the event stream of %s told no progress", others[1].name)
			}
			first.Open()
			c.completes(created.ID, c.output("out"), 10, "240p")
		})
	}
}

func (p *peer) progress(id job.ID) float64 {
	ctx, cancel := context.WithTimeout(p.team.t.Context(), answerTime)
	defer cancel()
	view, err := p.client().Job(ctx, id)
	if err != nil {
		p.team.t.Logf("%s: %v", p.name, err)
		return 0
	}
	return view.Progress
}

// streams says whether the peer's stream of a running job tells its progress,
// once it has or has ended.
func (p *peer) streams(id job.ID) <-chan bool {
	told := make(chan bool, 1)
	api := p.client()
	ctx, cancel := context.WithCancel(p.team.t.Context())
	go func() {
		defer cancel()
		progressed := false
		_ = api.Watch(ctx, id, func(view job.View) {
			if progressed = view.Progress > 50 && view.Status == job.Transcoding; progressed {
				cancel()
			}
		})
		told <- progressed
	}()
	return told
}
