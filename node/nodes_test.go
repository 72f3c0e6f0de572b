package node

import (
	"testing"

	"millrace/api"
	"millrace/cluster"
)

// threePeers is a cluster of the voters a (leader), b, and c, which is away,
// with the follower d and the worker e, seen from b.
func threePeers() cluster.Status {
	identity := func(host string) cluster.Identity {
		return cluster.Identity{HTTPAddr: host + ":8080", RaftAddr: host + ":7947", Version: "1.2"}
	}
	return cluster.Status{
		ID: "b", Cluster: "cl", State: "follower", Term: 5, Leader: "a", LeaderAddr: "ha:7947", LeaderHTTPAddr: "ha:8080",
		Voters: []cluster.Voter{
			{ID: "a", Address: "ha:7947", HTTPAddr: "ha:8080", Healthy: true},
			{ID: "b", Address: "hb:7947", HTTPAddr: "hb:8080", Healthy: true},
			{ID: "c", Address: "hc:7947"},
		},
		Followers: []cluster.Voter{{ID: "d", Address: "hd:7947", HTTPAddr: "hd:8080", Healthy: true}},
		Members: []cluster.Member{
			{ID: "a", GossipAddr: "ha:7946", Identity: identity("ha")}, {ID: "b", GossipAddr: "hb:7946", Identity: identity("hb")},
			{ID: "d", GossipAddr: "hd:7946", Identity: identity("hd")}, {ID: "e", GossipAddr: "he:7946", Identity: identity("he")},
		},
	}
}

func TestStatusNamesTheAddressesOfTheAPI(t *testing.T) {
	status := showStatus(threePeers())
	if status.Leader == nil || *status.Leader != (api.Member{ID: "a", Address: "ha:8080"}) {
		t.Errorf("the leader is %+v", status.Leader)
	}
	if !status.Healthy || len(status.Voters) != 3 || status.Voters[1].Address != "hb:8080" || status.Voters[2].Healthy {
		t.Errorf("got %+v", status)
	}
	if status.Peer.Address != "hb:8080" || status.Peer.State != "follower" || status.Peer.CertificateExpires != nil {
		t.Errorf("the peer is %+v", status.Peer)
	}
	if len(status.Workers) != 1 || status.Workers[0].ID != "e" || len(status.Followers) != 1 {
		t.Errorf("workers %+v, followers %+v", status.Workers, status.Followers)
	}
}

func TestClusterIsHealthyWithALeaderAndAMajority(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*cluster.Status)
		want   bool
	}{
		"as it is":           {func(*cluster.Status) {}, true},
		"no leader":          {func(s *cluster.Status) { s.Leader = "" }, false},
		"two of three away":  {func(s *cluster.Status) { s.Voters[0].Healthy = false }, false},
		"this one halted":    {func(s *cluster.Status) { s.Halted = "an unknown command" }, false},
		"no voters known":    {func(s *cluster.Status) { s.Voters = nil }, false},
		"half of two":        {func(s *cluster.Status) { s.Voters = s.Voters[1:] }, false},
		"a follower is away": {func(s *cluster.Status) { s.Followers[0].Healthy = false }, true},
	} {
		status := threePeers()
		c.change(&status)
		if got := showStatus(status).Healthy; got != c.want {
			t.Errorf("%s: healthy is %v", name, got)
		}
	}
}

func TestNodesAreAllThatRaftOrGossipName(t *testing.T) {
	want := []struct {
		id    string
		role  api.NodeRole
		alive bool
	}{
		{"a", api.NodeLeader, true}, {"b", api.NodeVoter, true}, {"c", api.NodeVoter, false},
		{"d", api.NodeFollower, true}, {"e", api.NodeWorker, true},
	}
	nodes := showNodes(threePeers())
	if len(nodes) != len(want) {
		t.Fatalf("got %+v", nodes)
	}
	for i, node := range nodes {
		if node.ID != want[i].id || node.Role != want[i].role || node.Alive != want[i].alive {
			t.Errorf("got %+v, want %+v", node, want[i])
		}
	}
	if nodes[2].RaftAddress != "hc:7947" || nodes[4].GossipAddress != "he:7946" || nodes[0].Version != "1.2" {
		t.Errorf("got %+v", nodes)
	}
}
