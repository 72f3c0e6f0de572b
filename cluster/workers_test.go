package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"millrace/job"
)

// grow starts a cluster by one peer and has others join it.
func grow(t *testing.T, maxVoters int, ids ...string) map[string]*Peer {
	t.Helper()
	return growAs(t, maxVoters, func(*Config) {}, ids...)
}

// growAs starts such a cluster with peers that are changed.
func growAs(t *testing.T, maxVoters int, change func(*Config), ids ...string) map[string]*Peer {
	t.Helper()
	peers := make(map[string]*Peer)
	var join []string
	for _, id := range ids {
		config := member(t, id, join...)
		config.MaxVoters = maxVoters
		change(&config)
		peers[id] = launch(t, config)
		if len(join) == 0 {
			ready(t, peers[id])
			propose[any](t, peers[id], createOrg("default"))
			join = []string{peers[id].gossipAddr()}
		}
		if len(peers) <= maxVoters { // one after the other: so it is known who votes
			eventually(t, id+" has the log", func() string { return map[bool]string{false: "not yet"}[peers[id].HoldsState()] })
		}
	}
	for _, p := range peers {
		ready(t, p)
	}
	leader := leaderOf(t, peers)
	eventually(t, "the voters", func() string {
		if voters := voterIDs(leader); len(voters) != min(maxVoters, len(ids)) {
			return fmt.Sprint(voters)
		}
		return ""
	})
	return peers
}

// expectVoters waits until a peer knows these voters and no one else with the log.
func expectVoters(t *testing.T, p *Peer, want ...string) {
	t.Helper()
	eventually(t, "the voters", func() string {
		var followers []string
		for _, f := range p.Status().Followers {
			followers = append(followers, f.ID)
		}
		if voters := voterIDs(p); !slices.Equal(voters, want) || len(followers) > 0 {
			return fmt.Sprintf("%v, and %v without a vote, not %v", voters, followers, want)
		}
		return ""
	})
}

func TestAClusterGrowsToFiveVotersAndWorkersWithoutTheLog(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := grow(t, 5, "a", "b", "c", "d", "e", "f", "g")
	leader := leaderOf(t, peers)
	expectVoters(t, leader, "a", "b", "c", "d", "e")
	sealed, err := leader.Keyring().Seal([]byte("secret"), "here")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		p.Handle("who", func(_ context.Context, from string, _ json.RawMessage) (any, error) {
			return from + "→" + p.ID(), nil
		})
	}
	for id, p := range peers {
		if worker := id > "e"; p.HoldsState() == worker {
			t.Errorf("%s holds the state: %v", id, p.HoldsState())
		} else if !worker {
			if _, ok := read(t, p).Organisation("default"); !ok {
				t.Errorf("%s doesn't see the organisation", id)
			}
			continue
		}
		if last := p.raft.LastIndex(); last != 0 {
			t.Errorf("worker %s has a log of %d entries", id, last)
		}
		if _, err := p.View(t.Context()); !errors.Is(err, ErrNoState) {
			t.Errorf("worker %s reads the state: %v", id, err)
		}
		if _, err := p.Propose(t.Context(), createOrg("workers")); !errors.Is(err, ErrNoState) {
			t.Errorf("worker %s proposes: %v", id, err)
		}
		var answer string
		if err := p.CallLeader(t.Context(), "who", nil, &answer); err != nil || answer != id+"→"+leader.ID() {
			t.Errorf("%q, %v", answer, err)
		}
		if err := leader.Call(t.Context(), id, "who", nil, &answer); err != nil || answer != leader.ID()+"→"+id {
			t.Errorf("%q, %v", answer, err)
		}
		if plain, err := p.Keyring().Open(sealed, "here"); err != nil || string(plain) != "secret" {
			t.Errorf("worker %s opens %q, %v", id, plain, err)
		}
		// Who votes it hears with the next answer about the leader.
		eventually(t, "what worker "+id+" knows", func() string {
			status := p.Status()
			if status.State != "worker" || status.Leader != leader.ID() || status.LeaderAddr != leader.RaftAddr() ||
				status.LeaderHTTPAddr == "" || status.Term != leader.Status().Term || len(status.Voters) != 5 || len(status.Members) != 7 {
				return fmt.Sprintf("%+v", status)
			}
			return ""
		})
	}
}

func TestAWorkerHearsOfANewLeader(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := grow(t, 3, "a", "b", "c", "w")
	worker := peers["w"]
	delete(peers, "w")
	// Without a stop: the next one must be heard of before the question ends by itself.
	leader := leaderOf(t, peers)
	eventually(t, "another leader", func() string { // under load raft gives a try up
		if err := leader.handOver(t.Context()); err != nil && leader.Leads() {
			return err.Error()
		}
		return ""
	})
	eventually(t, "the word", func() string {
		return map[bool]string{false: "it still takes " + worker.Status().Leader + " for the leader"}[worker.Status().Leader == leaderOf(t, peers).ID()]
	})
	leader = leaderOf(t, peers)
	cutOff(t, leader)
	delete(peers, leader.ID())
	next := leaderOf(t, peers)
	eventually(t, "the word", func() string {
		return map[bool]string{false: "it still takes " + worker.Status().Leader + " for the leader"}[worker.Status().Leader == next.ID()]
	})
	// Without a majority there is no leader.
	cutOff(t, next)
	eventually(t, "the loss", func() string { return worker.Status().Leader })
	if err := worker.CallLeader(t.Context(), "who", nil, nil); !errors.Is(err, ErrNoLeader) {
		t.Errorf("a call of no leader: %v", err)
	}
}

func TestAWorkerTakesTheDeadVotersPlaceWhoBecomesAWorker(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := grow(t, 3, "a", "b", "c", "w")
	leader := leaderOf(t, peers)
	var gone *Peer
	for _, p := range othersThan(peers, leader) {
		if p.HoldsState() {
			gone = p
		}
	}
	cutOff(t, gone)
	changed := peers["w"].StateChanged()
	var voters []string
	for _, id := range []string{"a", "b", "c", "w"} {
		if id != gone.ID() {
			voters = append(voters, id)
		}
	}
	expectVoters(t, leader, voters...)
	<-changed
	eventually(t, "w has the log", func() string { return map[bool]string{false: "not yet"}[peers["w"].HoldsState()] })
	propose[*job.Job](t, peers["w"], createJob("default", "11111111111"))

	// It comes back with its log, at another address, as a worker.
	config := gone.config
	config.Join = nil // it remembers
	back := launch(t, config)
	ready(t, back)
	eventually(t, "the one that is back works", func() string { return map[bool]string{false: back.Status().State}[back.works()] })
	if _, err := back.View(t.Context()); !errors.Is(err, ErrNoState) {
		t.Errorf("it reads: %v", err)
	}
	if own, term := back.raft.CurrentTerm(), leaderOf(t, peers).Status().Term; own > term {
		t.Errorf("it has begun elections: its term is %d, the cluster's %d", own, term)
	}
	closePeer(t, back)
	config.Join = nil
	back = launch(t, config) // once more: now its folder knows
	ready(t, back)
	if !back.works() || back.raft.ReloadableConfig().HeartbeatTimeout != parked {
		t.Errorf("after a restart: %+v, elections after %s", back.Status(), back.raft.ReloadableConfig().HeartbeatTimeout)
	}
	expectVoters(t, leader, voters...)
	if own, term := back.raft.CurrentTerm(), leaderOf(t, peers).Status().Term; own > term {
		t.Errorf("it has begun elections: its term is %d, the cluster's %d", own, term)
	}

	// And it is taken up again, with what it had, when another one is gone.
	var second *Peer
	for _, p := range othersThan(peers, leader) {
		if p.HoldsState() && p != gone {
			second = p
		}
	}
	cutOff(t, second)
	voters = slices.DeleteFunc(append(voters, gone.ID()), func(id string) bool { return id == second.ID() })
	slices.Sort(voters)
	expectVoters(t, leader, voters...)
	eventually(t, "it has the log", func() string { return map[bool]string{false: back.Status().State}[back.HoldsState()] })
	if _, ok := read(t, back).Job("default", "11111111111"); !ok {
		t.Error("it doesn't see what was created while it was away")
	}
	if kept, err := exists(back.config.DataDir + "/" + retiredFile); kept || err != nil {
		t.Errorf("its folder says that it is retired: %v, %v", kept, err)
	}
	if timeout := back.raft.ReloadableConfig().HeartbeatTimeout; timeout != back.config.HeartbeatTimeout {
		t.Errorf("a voter that begins an election after %s", timeout)
	}
}

// A worker asks to be let in until it is told that it is a worker. On a busy
// machine such a request may come when the peer has long been taken up.
func TestALateRequestToJoinCostsNobodyItsVote(t *testing.T) {
	t.Parallel() // it mostly waits
	// Only the leader that let a peer in knows the request again, so it has to lead
	// all along, however busy the machine is.
	peers := growAs(t, 3, func(c *Config) { c.HeartbeatTimeout, c.ElectionTimeout = 3*time.Second, 3*time.Second }, "a", "b", "c", "w")
	leader, worker := leaderOf(t, peers), peers["w"]
	request := joinRequest{ID: "w", Address: worker.RaftAddr(), Fresh: true, Run: worker.run}
	gone := othersThan(peers, leader)[0]
	cutOff(t, gone)
	eventually(t, "w votes", func() string {
		if voters := voterIDs(leader); len(voters) != 3 || !slices.Contains(voters, "w") {
			return fmt.Sprint(voters)
		}
		return ""
	})
	holds, err := leader.admit(t.Context(), request)
	if err != nil || !holds {
		t.Errorf("it holds the log: %v, %v", holds, err)
	}
	if voters := voterIDs(leader); len(voters) != 3 || !slices.Contains(voters, "w") {
		t.Errorf("then %v vote", voters)
	}
}

func TestAWorkerComesBackAtAnotherAddress(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := grow(t, 1, "a", "w")
	config := peers["w"].config
	closePeer(t, peers["w"])
	config.Join = nil
	back := launch(t, config) // its ports end in :0
	ready(t, back)
	if !back.works() || back.Cluster() != peers["a"].Cluster() {
		t.Errorf("%+v", back.Status())
	}
	expectVoters(t, peers["a"], "a")

	t.Run("also with an emptied folder", func(t *testing.T) {
		closePeer(t, back)
		if err := os.RemoveAll(config.DataDir); err != nil {
			t.Fatal(err)
		}
		config.Join = []string{peers["a"].gossipAddr()}
		back := launch(t, config)
		ready(t, back)
		if !back.works() {
			t.Errorf("%+v", back.Status())
		}
	})
}

func TestARemovedWorkerStaysOutUntilItsFolderIsEmptied(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := grow(t, 1, "a", "w")
	worker := peers["w"]
	if err := worker.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := peers["a"].Remove(t.Context(), "w"); err != nil {
		t.Errorf("removed twice: %v", err)
	}
	if err := peers["a"].Remove(t.Context(), "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed whom nobody knows: %v", err)
	}
	config := worker.config
	closePeer(t, worker)
	config.Join = []string{peers["a"].gossipAddr()}
	again := launch(t, config)
	eventually(t, "the refusal", func() string {
		if err := again.seekOnce(t.Context()); !errors.Is(err, ErrRemoved) {
			return fmt.Sprint(err)
		}
		return again.Status().Leader
	})
	closePeer(t, again)
	if err := os.RemoveAll(config.DataDir); err != nil {
		t.Fatal(err)
	}
	ready(t, launch(t, config))
}

func TestAWorkerThatIsRemovedLosesItsLeader(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := grow(t, 1, "a", "w")
	if err := peers["a"].Remove(t.Context(), "w"); err != nil {
		t.Fatal(err)
	}
	// The question under way is answered with the next change, or ends.
	peers["w"].suspectLeader()
	eventually(t, "the refusal", func() string {
		peers["w"].suspectLeader()
		if status := peers["w"].Status(); status.Leader != "" || status.Detached == "" {
			return fmt.Sprintf("%q leads it, %q", status.Leader, status.Detached)
		}
		return ""
	})
}

func TestWorkersCostTheLeaderNothingButWhatTheyAskItself(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := grow(t, 3, "a", "b", "c", "w", "x", "y")
	leader := leaderOf(t, peers)
	ctx, cancel := context.WithTimeout(t.Context(), 10*leader.config.CommitDelay)
	defer cancel()
	<-ctx.Done()
	for _, server := range leader.servers() {
		if server.ID > "c" {
			t.Errorf("raft knows the worker %s", server.ID)
		}
	}
	for _, id := range []string{"w", "x", "y"} {
		for _, voter := range peers[id].votersInSight() {
			if voter.ID == leader.ID() {
				t.Errorf("%s asks the leader who leads", id)
			}
		}
		if contact := peers[id].raft.LastContact(); !contact.IsZero() {
			t.Errorf("raft has spoken to %s at %s", id, contact.Format(time.TimeOnly))
		}
	}
}
