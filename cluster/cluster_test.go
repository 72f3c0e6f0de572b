package cluster

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
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
		HeartbeatTimeout: pace * 250 * time.Millisecond, ElectionTimeout: pace * 250 * time.Millisecond, LeaderLease: pace * 250 * time.Millisecond,
		StableFor: pace * 200 * time.Millisecond, ReplaceAfter: pace * time.Second,
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
	self, _ := p.gossip().member(p.id)
	return self.GossipAddr
}

// patient bounds what a test waits for: only a hang takes so long, however busy
// the machine is.
const patient = 3 * time.Minute

// eventually waits until holds says "".
func eventually(t *testing.T, what string, holds func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
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
	ctx, cancel := context.WithTimeout(t.Context(), patient)
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
