package clustertest

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"millrace/api/client"
	"millrace/clustertest/netlab"
	"millrace/job"
	"millrace/systemtest/rig"
)

func hosts(peers ...*peer) []*netlab.Host {
	var all []*netlab.Host
	for _, p := range peers {
		all = append(all, p.host)
	}
	return all
}

// refuses waits until a peer refuses a job for want of a leader, and says when
// to ask again. Until then it may not know that it is cut off, but can't take a
// job either: what it acknowledged would be lost.
func (p *peer) refuses(request client.CreateRequest) {
	t := p.team.t
	t.Helper()
	rig.Eventually(t, p.name+" refuses jobs", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), answerTime)
		defer cancel()
		created, err := p.client().CreateJob(ctx, request)
		if err == nil {
			t.Fatalf("%s is cut off from the others, and has taken job %s", p.name, created.ID)
		}
		var refused *client.Problem
		if !errors.As(err, &refused) {
			return false
		}
		if refused.Status != http.StatusServiceUnavailable && refused.Status != http.StatusGatewayTimeout {
			t.Fatalf("%s refuses a job with %d %s: %v", p.name, refused.Status, refused.Code, err)
		}
		return refused.Code == "no_leader" && refused.RetryAfter > 0
	})
}

// through calls the API by some of the peers only.
func (c *team) through(peers ...*peer) *team {
	part := *c
	part.peers = peers
	return &part
}

func TestALeaderWithoutAMajorityRefusesAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	c, ffmpeg := steered(t)
	running, door := c.holdEncode(ffmpeg, c.request("running", 10, "240p"))

	old := c.leader()
	majority := c.others(old)
	c.lab.Split(hosts(old), hosts(majority...))
	old.refuses(c.request("refused", 4, "240p"))
	if _, err := old.client().Job(t.Context(), running); err == nil {
		t.Error("a leader that can't know whether it leads still answers reads")
	}
	if err := old.get("/api/v1/default/transcoding_jobs/"+string(running)+"/?consistency=stale", nil); err != nil {
		t.Errorf("what the minority has itself can't be read: %v", err)
	}
	during := c.through(majority...).submit(c.request("during", 4, "240p"))
	door.Open()
	c.through(majority...).await(during, job.Completed)

	c.lab.Heal()
	c.well()
	c.completes(running, c.output("running"), 10, "240p")
	c.completes(during, c.output("during"), 4, "240p")
	for _, p := range c.peers {
		if found, err := p.client().Job(t.Context(), during); err != nil || found.Status != job.Completed {
			t.Errorf("%s has the job of the majority as %s: %v", p.name, found.Status, err)
		}
	}
}

func TestJobsCompleteWhenALeaderIsCutOffOneWay(t *testing.T) {
	for name, cut := range map[string]func(c *team, leader *peer){
		"the leader is not heard": func(c *team, leader *peer) { c.lab.Cut(leader.host, hosts(c.others(leader)...)...) },
		"the leader doesn't hear": func(c *team, leader *peer) {
			for _, other := range c.others(leader) {
				c.lab.Cut(other.host, leader.host)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := formed(t)
			before := c.submit(c.request("before", 10, "240p"))
			old := c.leader()
			majority := c.through(c.others(old)...)
			cut(c, old)
			old.refuses(c.request("refused", 4, "240p"))
			during := majority.submit(c.request("during", 4, "240p"))
			majority.await(during, job.Completed)
			c.lab.Heal()
			c.well()
			c.completes(before, c.output("before"), 10, "240p")
			c.completes(during, c.output("during"), 4, "240p")
		})
	}
}

func TestAMinoritysWorkerFinishesItsEncodeAndReportsItWhenTheLinkIsHealed(t *testing.T) {
	t.Parallel()
	c, ffmpeg := steered(t)
	leader := c.leader()
	c.drain(leader)
	id, door := c.holdEncode(ffmpeg, c.request("out", 4, "240p"))
	worker := c.holder(id, job.EncodeTask)
	c.lab.Split(hosts(worker), hosts(c.others(worker)...))
	door.Open()
	rig.Eventually(t, "the worker that is cut off has finished its encode", worker.idle)
	c.lab.Heal()
	completed := c.completes(id, c.output("out"), 4, "240p")
	encode := task(t, completed, job.EncodeTaskID(0))
	t.Logf("the encode took %d attempts", len(encode.Attempts))
	for _, attempt := range encode.Attempts {
		if attempt.Outcome == job.OutcomeFailed {
			t.Errorf("an attempt failed: %s", text(attempt))
		}
	}
}

func TestJobsCompleteOverAFlappingLink(t *testing.T) {
	t.Parallel()
	const flaps, flap = 6, 1500 * time.Millisecond
	c := formed(t)
	ids := make(map[string]job.ID)
	for n := range flaps {
		// In turn the leader alone, and one link between two others.
		all := c.living()
		one, rest := all[n%3], c.others(all[n%3])
		if n%2 == 0 {
			c.lab.Split(hosts(one), hosts(rest...))
		} else {
			c.lab.Split(hosts(one), hosts(rest[0]))
		}
		name := string(rune('a' + n))
		ids[name] = c.submit(c.request(name, 4, "240p"))
		rig.Pass(t, flap)
		c.lab.Heal()
		rig.Pass(t, flap)
	}
	c.well()
	for name, id := range ids {
		c.completes(id, c.output(name), 4, "240p")
	}
}

func TestJobsCompleteOverLinksThatLoseAThirdOfTheirPackets(t *testing.T) {
	t.Parallel()
	c := formed(t)
	c.lab.Lose(30, hosts(c.peers...)...)
	first := c.submit(c.request("first", 10, "240p"))
	second := c.submit(c.request("second", 4, "240p"))
	c.await(first, job.Completed)
	c.await(second, job.Completed)
	c.lab.Heal()
	c.well()
	c.completes(first, c.output("first"), 10, "240p")
	c.completes(second, c.output("second"), 4, "240p")
}

func TestJobsCompleteOverSlowLinks(t *testing.T) {
	for name, slow := range map[string]struct {
		delay   time.Duration // each way
		between func(c *team) []*peer
	}{
		"between the leader and one other": {500 * time.Millisecond, func(c *team) []*peer { return []*peer{c.leader(), c.others(c.leader())[0]} }},
		"between all":                      {100 * time.Millisecond, func(c *team) []*peer { return c.peers }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := formed(t)
			c.lab.Delay(slow.delay, hosts(slow.between(c)...)...)
			id := c.submit(c.request("out", 10, "240p"))
			c.await(id, job.Completed)
			c.lab.Heal()
			c.well()
			c.completes(id, c.output("out"), 10, "240p")
		})
	}
}

// A second from a question to its answer is more than a leader may be silent by
// default: there can be none then. What was acknowledged must not suffer.
func TestJobsOutliveLinksThatAreTooSlowForAnyLeader(t *testing.T) {
	t.Parallel()
	c, ffmpeg := steered(t)
	id, door := c.holdEncode(ffmpeg, c.request("out", 10, "240p"))
	c.lab.Delay(500*time.Millisecond, hosts(c.peers...)...)
	rig.Eventually(t, "a peer says that it knows no leader", func() bool {
		s, err := c.peers[0].status()
		return err == nil && s.Leader == nil
	})
	door.Open()
	c.lab.Heal()
	c.well()
	c.completes(id, c.output("out"), 10, "240p")
}
