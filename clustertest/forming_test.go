package clustertest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/api/client"
	"millrace/job"
	"millrace/systemtest/rig"
)

func TestPeersFormOneClusterInWhicheverOrderTheyStart(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			t.Parallel()
			c := newTeam(t, 3)
			for _, at := range order {
				p := c.peers[at]
				p.flags = append(c.joins(), "--expect", "3")
				p.launch()
				rig.Eventually(t, p.name+" answers", func() bool { return p.get("/healthz", nil) == nil })
			}
			c.well()
			c.oneCluster()
		})
	}
}

// oneCluster checks that the living peers are in the same cluster, founded once.
func (c *team) oneCluster() {
	c.t.Helper()
	ids := make(map[string]bool)
	for _, p := range c.living() {
		s, err := p.status()
		if err != nil {
			c.t.Fatal(err)
		}
		ids[s.ID] = true
	}
	if len(ids) != 1 || ids[""] {
		c.t.Errorf("the peers are in the clusters %v, want one", ids)
	}
	holders := 0
	for _, p := range c.peers {
		if _, err := os.Stat(filepath.Join(p.data, "admin.key")); err == nil {
			holders++
		}
	}
	if holders != 1 {
		c.t.Errorf("%d peers have an admin key, want one", holders)
	}
}

func TestAPeerJoinsLaterAndHasWhatWasAcknowledgedBefore(t *testing.T) {
	t.Parallel()
	c := formed(t)
	before := c.submit(c.request("before", 4, "240p"))
	c.completes(before, c.output("before"), 4, "240p")
	late := c.add()
	late.flags = []string{"--join", c.peers[1].host.At(gossipPort)}
	late.launch()
	rig.Eventually(t, "the late peer takes jobs", late.ready)
	found, err := late.client().Job(t.Context(), before)
	if err != nil || found.Status != job.Completed {
		t.Errorf("the late peer finds the earlier job as %s: %v", found.Status, err)
	}
	c.wellWith(4)
	after := c.request("after", 20, "240p", "360p")
	created, err := late.client().CreateJob(t.Context(), after)
	if err != nil {
		t.Fatal(err)
	}
	c.completes(created.ID, c.output("after"), 20, "240p", "360p")
	c.oneCluster()
}

func TestASinglePeerGrowsToAClusterThatOutlivesIt(t *testing.T) {
	t.Parallel()
	c := newTeam(t, 1)
	first := c.peers[0]
	first.launch()
	c.wellWith(1)
	c.subscribe()
	before := c.submit(c.request("before", 4, "240p"))
	c.completes(before, c.output("before"), 4, "240p")
	for range 2 {
		p := c.add()
		p.flags = []string{"--join", first.host.At(gossipPort)}
		p.launch()
	}
	c.wellWith(3)
	c.oneCluster()
	first.kill()
	if found := c.read(before); found.Status != job.Completed {
		t.Errorf("without the first peer, its job is %s", found.Status)
	}
	after := c.submit(c.request("after", 4, "240p"))
	c.completes(after, c.output("after"), 4, "240p")
	first.launch()
	c.wellWith(3)
}

func TestAllPeersComeBackUnderNewAddressesAfterAllWereKilledAtOnce(t *testing.T) {
	t.Parallel()
	c, ffmpeg := steered(t)
	done := c.submit(c.request("done", 4, "240p"))
	c.completes(done, c.output("done"), 4, "240p")
	running, door := c.holdEncode(ffmpeg, c.request("running", 10, "240p"))
	queued := c.submit(c.request("queued", 4, "240p"))
	for _, p := range c.peers {
		p.kill()
	}
	door.Open()
	for _, p := range c.peers {
		p.move()
	}
	for _, p := range c.peers {
		p.flags = append(c.joins(), c.flags...)
		p.launch()
	}
	c.well()
	c.oneCluster()
	if found := c.read(done); found.Status != job.Completed {
		t.Errorf("after the restart, the completed job is %s", found.Status)
	}
	c.completes(running, c.output("running"), 10, "240p")
	c.completes(queued, c.output("queued"), 4, "240p")
}

func TestPeersWithABundleKeepOutWhoHasNoneOrAnother(t *testing.T) {
	t.Parallel()
	bundle := func(name string) []string {
		folder := filepath.Join(t.TempDir(), name)
		rig.RunTool(t, rig.Binary(), "cluster", "init", folder)
		return []string{"--bundle", folder}
	}
	c := formed(t, bundle("ours")...)
	for _, flags := range [][]string{nil, bundle("another")} {
		stranger := c.stranger()
		stranger.flags = append([]string{"--join", c.peers[0].host.At(gossipPort)}, flags...)
		stranger.launch()
		rig.Eventually(t, "the stranger was refused", func() bool {
			return strings.Contains(stranger.log(), "no other peer is found by gossip")
		})
		id := c.submit(c.request(stranger.name, 4, "240p"))
		c.completes(id, c.output(stranger.name), 4, "240p")
		c.wellWith(3)
		var nodes struct {
			Results []member `json:"results"`
		}
		if err := c.leader().get("/api/v1/cluster/nodes/", &nodes); err != nil || len(nodes.Results) != 3 {
			t.Errorf("the cluster has the nodes %v, want 3: %v", nodes.Results, err)
		}
		if stranger.ready() {
			t.Error("the stranger takes jobs")
		}
		_, err := stranger.client().Job(t.Context(), id)
		var refused *client.Problem
		if !errors.As(err, &refused) {
			t.Errorf("the stranger answers for the cluster's job: %v", err)
		}
	}
}
