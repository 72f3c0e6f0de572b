package clustertest

import "testing"

func TestThreePeersCompleteAJob(t *testing.T) {
	t.Parallel()
	c := newTeam(t, 3)
	c.form()
	c.subscribe()
	id := c.submit(c.request("out", 10, "240p", "360p"))
	done := c.completes(id, c.output("out"), 10, "240p", "360p")
	nodes := map[string]bool{}
	for _, k := range done.Tasks {
		nodes[k.Last().Node] = true
	}
	t.Logf("%d nodes took part", len(nodes))
}
