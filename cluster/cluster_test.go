package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"millrace/job"
)

// loud shows the peers' words in a test's output when $MILLRACE_TEST_LOG is set.
func loud() *slog.Logger {
	if os.Getenv("MILLRACE_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

// member is a configuration for one of several peers on this machine.
func member(t *testing.T, id string, join ...string) Config {
	t.Helper()
	return Config{
		ID: id, DataDir: filepath.Join(t.TempDir(), id), RaftAddr: "127.0.0.1:0", GossipAddr: "127.0.0.1:0",
		Join: join, Logger: loud(), Version: "1.2.3", HTTPAddr: "127.0.0.1:8080",
		HeartbeatTimeout: 200 * time.Millisecond, ElectionTimeout: 200 * time.Millisecond, LeaderLease: 100 * time.Millisecond,
		StableFor: 200 * time.Millisecond, ReplaceAfter: time.Second,
	}
}

// launch opens a peer that need not be ready.
func launch(t *testing.T, config Config) *Peer {
	t.Helper()
	p, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() }) // the tests that care close it themselves
	return p
}

func (p *Peer) gossipAddr() string {
	self, _ := p.gossip.member(p.id)
	return self.GossipAddr
}

// eventually waits until holds says "".
func eventually(t *testing.T, what string, holds func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		missing := holds()
		if missing == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %s", what, missing)
		case <-ticker.C:
		}
	}
}

func ready(t *testing.T, peers ...*Peer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for _, p := range peers {
		if err := p.Ready(ctx); err != nil {
			t.Fatalf("%s: %v; %+v", p.ID(), err, p.Status())
		}
	}
}

// trio forms a cluster of three, started in an order.
func trio(t *testing.T, order ...string) map[string]*Peer {
	t.Helper()
	if len(order) == 0 {
		order = []string{"a", "b", "c"}
	}
	peers := make(map[string]*Peer)
	var join []string
	for _, id := range order {
		config := member(t, id, join...)
		config.Expect = 3
		peers[id] = launch(t, config)
		join = append(join, peers[id].gossipAddr())
	}
	for _, p := range peers {
		ready(t, p)
	}
	return peers
}

func leaderOf(t *testing.T, peers map[string]*Peer) *Peer {
	t.Helper()
	var found *Peer
	eventually(t, "a leader", func() string {
		for _, p := range peers {
			if p.Leads() {
				found = p
				return ""
			}
		}
		return "nobody leads"
	})
	return found
}

func othersThan(peers map[string]*Peer, p *Peer) []*Peer {
	var others []*Peer
	for _, id := range slices.Sorted(func(yield func(string) bool) {
		for id := range peers {
			if !yield(id) {
				return
			}
		}
	}) {
		if peers[id] != p {
			others = append(others, peers[id])
		}
	}
	return others
}

func voterIDs(p *Peer) []string {
	var ids []string
	for _, voter := range p.Status().Voters {
		ids = append(ids, voter.ID)
	}
	slices.Sort(ids)
	return ids
}

// cutOff takes a peer away as a kill would: nothing is handed over.
func cutOff(t *testing.T, p *Peer) {
	t.Helper()
	p.close.Do(func() { // once: nothing is left to do for Close
		p.die()
		if err := p.shutDown(false); err != nil {
			t.Error(err)
		}
	})
}

func TestAClusterFormsOnceInAnyOrder(t *testing.T) {
	for _, order := range [][]string{{"a", "b", "c"}, {"c", "b", "a"}, {"b", "a", "c"}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			peers := trio(t, order...)
			cluster := peers["a"].Cluster()
			propose[any](t, peers["a"], createOrg("default"))
			for id, p := range peers {
				read(t, p)
				if p.Cluster() != cluster || cluster == "" {
					t.Errorf("%s is of cluster %q, a of %q", id, p.Cluster(), cluster)
				}
				if voters := voterIDs(p); !slices.Equal(voters, []string{"a", "b", "c"}) {
					t.Errorf("%s knows the voters %v", id, voters)
				}
			}
			sealed, err := peers["a"].Keyring().Seal([]byte("secret"), "here")
			if err != nil {
				t.Fatal(err)
			}
			if plain, err := peers["c"].Keyring().Open(sealed, "here"); err != nil || string(plain) != "secret" {
				t.Errorf("c opens a's secret: %q, %v", plain, err)
			}
			for id, p := range peers {
				if _, ok := read(t, p).Organisation("default"); !ok {
					t.Errorf("%s doesn't see the organisation", id)
				}
			}
		})
	}
}

func TestAllAtOnceFormOneCluster(t *testing.T) {
	// The addresses are known before anybody starts, as in a real deployment.
	var addresses []string
	for range 3 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, listener.Addr().String())
		_ = listener.Close()
	}
	peers := make([]*Peer, 3)
	var starting sync.WaitGroup
	for i := range peers {
		config := member(t, fmt.Sprint("p", i), addresses...)
		config.Expect, config.GossipAddr = 3, addresses[i]
		starting.Go(func() { peers[i] = launch(t, config) })
	}
	starting.Wait()
	ready(t, peers...)
	propose[any](t, peers[0], createOrg("default"))
	for _, p := range peers {
		read(t, p)
		if p.Cluster() != peers[0].Cluster() || len(voterIDs(p)) != 3 {
			t.Errorf("%s: cluster %s, voters %v", p.ID(), p.Cluster(), voterIDs(p))
		}
	}
}

func TestAnotherPeerTakesOverFromAKilledLeader(t *testing.T) {
	peers := trio(t)
	propose[any](t, peers["a"], createOrg("default"))
	acknowledged := make(map[job.ID]bool)
	var mu sync.Mutex
	ctx, stop := context.WithCancel(t.Context())
	var proposing sync.WaitGroup
	leader := leaderOf(t, peers)
	others := othersThan(peers, leader)
	for w, p := range others {
		proposing.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				id := job.ID(fmt.Sprintf("%d%010d", w, n))
				if _, err := p.Propose(ctx, createJob("default", id)); err == nil {
					mu.Lock()
					acknowledged[id] = true
					mu.Unlock()
					reader := others[(w+n)%2] // the other one's reads are as fresh
					if v, err := reader.View(ctx); err == nil {
						if _, ok := v.Job("default", id); !ok {
							t.Errorf("job %s was acknowledged and %s doesn't see it", id, reader.ID())
						}
					}
				}
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged)
	}
	eventually(t, "jobs", func() string { return map[bool]string{false: "too few"}[count() > 20] })
	cutOff(t, leader)
	before := count()
	eventually(t, "jobs under the next leader", func() string { return map[bool]string{false: "too few"}[count() > before+20] })
	stop()
	proposing.Wait()
	for _, p := range others {
		v := read(t, p)
		for id := range acknowledged {
			if _, ok := v.Job("default", id); !ok {
				t.Errorf("%s: job %s was acknowledged and is lost", p.ID(), id)
			}
		}
	}
}

func TestAProposalTriedTwiceIsAppliedOnce(t *testing.T) {
	peers := trio(t)
	leader := leaderOf(t, peers)
	follower := othersThan(peers, leader)[0]
	propose[any](t, follower, createOrg("default"))
	propose[*job.Job](t, follower, createJob("default", "11111111111"))

	entry, err := encodeProposal(CancelJob{Org: "default", ID: "11111111111", At: noon}, proposal{ID: "one", Base: follower.Stale().Index()})
	if err != nil {
		t.Fatal(err)
	}
	answered := follower.machine.waiting.expect("one")
	for range 3 { // as when an acknowledgement is lost
		if err := follower.submitTo(t.Context(), leader.ID(), entry); err != nil {
			t.Fatal(err)
		}
	}
	if a := <-answered; a.err != nil {
		t.Errorf("the first try: %v; a second one would have found the job ended", a.err)
	}
	late, err := encodeProposal(createOrg("late"), proposal{ID: "late"})
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine()
	late.Index, late.Type = proposalWindow+1, raft.LogCommand
	if err := m.Apply(&late).(answer).err; !errors.Is(err, ErrNoLeader) {
		t.Errorf("a proposal that came after the window: %v", err)
	}
}

func TestTheProposalWindowForgetsByIndex(t *testing.T) {
	m := newMachine()
	apply := func(index uint64, of proposal) error {
		entry, err := encodeProposal(createOrg(of.ID), of)
		if err != nil {
			t.Fatal(err)
		}
		entry.Index, entry.Type = index, raft.LogCommand
		return m.Apply(&entry).(answer).err
	}
	if err := apply(1, proposal{ID: "one"}); err != nil {
		t.Fatal(err)
	}
	if err := apply(2, proposal{ID: "one"}); !errors.Is(err, errUncertain) {
		t.Errorf("again: %v", err)
	}
	if err := apply(proposalWindow+2, proposal{ID: "two", Base: proposalWindow}); err != nil {
		t.Fatal(err)
	}
	if _, ok := first[*proposalRow](m.current.Load().txn(), tableProposals, indexID, []byte("one")); ok {
		t.Error("a proposal beyond the window is still known")
	}
	if err := apply(proposalWindow+3, proposal{ID: "one"}); !errors.Is(err, ErrNoLeader) {
		t.Errorf("a forgotten proposal again: %v", err)
	}
}

func TestAllPeersComeBackAtOnceAtOtherAddresses(t *testing.T) {
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

func TestASinglePeerGrowsToAClusterOfFiveVotersAndMore(t *testing.T) {
	first := launch(t, member(t, "a"))
	ready(t, first)
	propose[any](t, first, createOrg("default"))
	peers := map[string]*Peer{"a": first}
	for _, id := range []string{"b", "c", "d", "e", "f"} {
		peers[id] = launch(t, member(t, id, first.gossipAddr()))
	}
	for _, p := range peers {
		ready(t, p)
		if _, ok := read(t, p).Organisation("default"); !ok {
			t.Errorf("%s doesn't see the organisation", p.ID())
		}
	}
	eventually(t, "five voters", func() string {
		if voters := voterIDs(first); len(voters) != 5 {
			return fmt.Sprint(voters)
		}
		return ""
	})
	// The one that doesn't vote serves all the same.
	for id, p := range peers {
		if !slices.Contains(voterIDs(first), id) {
			propose[*job.Job](t, p, createJob("default", "11111111111"))
			if _, ok := read(t, p).Job("default", "11111111111"); !ok {
				t.Error("a peer without a vote doesn't see its own job")
			}
		}
	}

	t.Run("a voter that is gone gives its vote to another", func(t *testing.T) {
		leader := leaderOf(t, peers)
		var gone *Peer
		for _, id := range voterIDs(leader) {
			if id != leader.ID() {
				gone = peers[id]
			}
		}
		cutOff(t, gone)
		eventually(t, "another voter", func() string {
			if voters := voterIDs(leader); len(voters) != 5 || slices.Contains(voters, gone.ID()) {
				return fmt.Sprint(voters)
			}
			return ""
		})
	})
}

func TestALeaderLeaves(t *testing.T) {
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

func TestTwoClustersNeverMerge(t *testing.T) {
	one := launch(t, member(t, "a"))
	ready(t, one)
	config := member(t, "b")
	other := launch(t, config)
	ready(t, other)
	propose[any](t, other, createOrg("others"))
	closePeer(t, other)
	config.Join = []string{one.gossipAddr()}
	other = launch(t, config)
	ready(t, other)
	if _, err := other.gossip.list.Join(config.Join); err == nil {
		t.Error("it joined the other cluster's gossip")
	}
	for _, p := range []*Peer{one, other} {
		if members := p.Members(); len(members) != 1 || len(voterIDs(p)) != 1 {
			t.Errorf("%s sees %+v, voters %v", p.ID(), members, voterIDs(p))
		}
	}
	if err := one.callAt(t.Context(), other.RaftAddr(), callReadIndex, nil, nil); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("a call between the clusters: %v", err)
	}
	if err := one.callAt(t.Context(), other.RaftAddr(), callJoin, joinRequest{ID: "a", Address: one.RaftAddr()}, nil); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("joining from another cluster: %v", err)
	}
}

func TestCallsOfTheRoomsAbove(t *testing.T) {
	peers := trio(t)
	leader := leaderOf(t, peers)
	follower := othersThan(peers, leader)[0]
	for _, p := range peers {
		p.Handle("echo", func(_ context.Context, from string, in json.RawMessage) (any, error) {
			return from + " said " + string(in) + " to " + p.ID(), nil
		})
		p.Handle("wait", func(ctx context.Context, _ string, _ json.RawMessage) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
	}
	var answer string
	if err := follower.CallLeader(t.Context(), "echo", 5, &answer); err != nil || answer != follower.ID()+" said 5 to "+leader.ID() {
		t.Errorf("%q, %v", answer, err)
	}
	if err := leader.CallLeader(t.Context(), "echo", "me", &answer); err != nil || answer != leader.ID()+` said "me" to `+leader.ID() {
		t.Errorf("%q, %v", answer, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := follower.CallLeader(ctx, "wait", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call longer than its deadline: %v", err)
	}
	if err := follower.Call(t.Context(), "nobody", "echo", nil, nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a call of nobody: %v", err)
	}
	if err := follower.CallLeader(t.Context(), "unknown", nil, nil); !errors.Is(err, errNoMethod) {
		t.Errorf("an unknown call: %v", err)
	}
	polled := make(chan error, 1)
	go func() { polled <- follower.CallLeader(t.Context(), "wait", nil, nil) }()
	closePeer(t, leader)
	if err := <-polled; err == nil {
		t.Error("a long poll outlived its leader")
	}
}
