package cluster

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"millrace/job"
)

func TestALateJoinerCatchesUpBySnapshot(t *testing.T) {
	t.Parallel() // it mostly waits
	config := member(t, "a")
	config.TrailingLogs = 1
	first := launch(t, config)
	ready(t, first)
	propose[any](t, first, createOrg("default"))
	for n := range 20 {
		propose[*job.Job](t, first, createJob("default", job.ID(fmt.Sprintf("%011d", n))))
	}
	takeSnapshot(t, first)
	late := launch(t, member(t, "b", first.gossipAddr()))
	ready(t, late)
	if counts := read(t, late).Counts(); counts[job.Queued] != 20 {
		t.Errorf("jobs by status: %v", counts)
	}
}

func TestAllPeersComeBackAtOnceAtOtherAddresses(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := trio(t)
	propose[any](t, peers["b"], createOrg("default"))
	configs := make(map[string]Config)
	for id, p := range peers {
		configs[id] = p.config
	}
	for _, p := range peers {
		closePeer(t, p)
	}
	var join []string
	for id, config := range configs {
		config.Join = join // RaftAddr and GossipAddr end in :0
		peers[id] = launch(t, config)
		join = append(join, peers[id].gossipAddr())
	}
	for _, p := range peers {
		ready(t, p)
		if _, ok := read(t, p).Organisation("default"); !ok {
			t.Errorf("%s has lost the organisation", p.ID())
		}
	}
	eventually(t, "the new addresses in the configuration", func() string {
		for _, voter := range leaderOf(t, peers).Status().Voters {
			if voter.Address != peers[voter.ID].RaftAddr() {
				return fmt.Sprintf("%s is at %s, raft has %s", voter.ID, peers[voter.ID].RaftAddr(), voter.Address)
			}
		}
		return ""
	})
}

func TestALeaderLeaves(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := trio(t)
	leader := leaderOf(t, peers)
	others := othersThan(peers, leader)
	if err := leader.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	closePeer(t, leader)
	for _, p := range others {
		propose[any](t, p, createOrg(p.ID()))
		if voters := voterIDs(p); slices.Contains(voters, leader.ID()) || len(voters) != 2 {
			t.Errorf("the voters are %v", voters)
		}
	}
	// With what it had it doesn't come back, emptied it does.
	config := leader.config
	config.Join = []string{others[0].gossipAddr()}
	again := launch(t, config)
	eventually(t, "the refusal", func() string {
		if again.Status().Detached == "" {
			return "nothing is said"
		}
		return ""
	})
	eventually(t, "the refusal's reason", func() string {
		if text := again.Status().Detached; text != "" && !errors.Is(again.seekOnce(t.Context()), ErrRemoved) {
			return text
		}
		return ""
	})
	closePeer(t, again)
	if err := os.RemoveAll(config.DataDir); err != nil {
		t.Fatal(err)
	}
	ready(t, launch(t, config))
}

func TestAWipedVoterComesBackOnlyByJoining(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := trio(t)
	leader := leaderOf(t, peers)
	others := othersThan(peers, leader)
	propose[any](t, leader, createOrg("default"))
	config := others[0].config
	closePeer(t, others[0])
	if err := os.RemoveAll(config.DataDir); err != nil {
		t.Fatal(err)
	}
	config.Join, config.Expect = []string{others[1].gossipAddr()}, 3 // as it was started first
	back := launch(t, config)
	ready(t, back)
	if back.Cluster() != leader.Cluster() {
		t.Errorf("it is of cluster %s now, the others of %s", back.Cluster(), leader.Cluster())
	}
	if _, ok := read(t, back).Organisation("default"); !ok {
		t.Error("the state didn't come back")
	}
	eventually(t, "its vote", func() string { return map[bool]string{false: "none"}[len(voterIDs(leader)) == 3] })
}
