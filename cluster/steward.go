package cluster

import (
	"context"
	"encoding/json"
	"sync"
	"time"
)

// The leader looks after who has the log and who votes, by the rules of
// raft-autopilot: a peer that has the log and has been well for StableFor gets a
// vote while there are fewer than MaxVoters; a voter that has been away for
// ReplaceAfter gives its place to a worker that is well. The worker first gets
// the log, then the vote, and only then the one that is away is taken out of
// raft's configuration, so that no step needs a voter that isn't there, and a
// voter that comes back in time keeps its place. It is not expelled: when it is
// back, it is a worker.

const (
	// stewardEvery is how often the leader asks the others how they are.
	stewardEvery = time.Second
	// maxLag is how many entries a peer may be behind and be well.
	maxLag = 1000
)

// health is what a peer says of itself to the leader.
type health struct {
	Term      uint64 `json:"term"`
	LastIndex uint64 `json:"last_index"`
	Halted    bool   `json:"halted"`
	// Worker: it doesn't take itself for one that has the log.
	Worker bool `json:"worker,omitempty"`
	// Run is the peer's start, as in joinRequest.
	Run string `json:"run,omitempty"`
}

func (p *Peer) serveHealth(context.Context, string, json.RawMessage) (any, error) {
	return health{
		Term: p.raft.CurrentTerm(), LastIndex: p.raft.LastIndex(), Halted: p.machine.haltError() != nil, Worker: p.works(), Run: p.run,
	}, nil
}

// condition is how a peer has been.
type condition struct {
	well  bool
	since time.Time // of the latest change of well, monotonic
	heard time.Time // when it last answered, or was first asked
}

// steward is one term's knowledge of the others.
type steward struct {
	peer       *Peer
	mu         sync.Mutex
	conditions map[string]condition
	passedOver map[string]time.Time // workers that were tried and didn't do, and when; of settle's goroutine
}

// run looks after the voters until the term ends.
func (s *steward) run(ctx context.Context) {
	ticker := time.NewTicker(min(stewardEvery, max(s.peer.config.StableFor/4, 20*time.Millisecond)))
	defer ticker.Stop()
	for {
		s.examine(ctx)
		s.settle(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// examine asks every peer how it is.
func (s *steward) examine(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stewardEvery)
	defer cancel()
	var asking sync.WaitGroup
	servers := s.peer.servers()
	for _, server := range servers {
		asking.Go(func() {
			well, answered := true, true
			if string(server.ID) != s.peer.id {
				well, answered = s.ask(ctx, string(server.ID))
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			c, known := s.conditions[string(server.ID)]
			if !known || c.well != well {
				c.well, c.since = well, time.Now()
			}
			if answered || !known {
				c.heard = time.Now()
			}
			s.conditions[string(server.ID)] = c
		})
	}
	asking.Wait()
}

func (s *steward) ask(ctx context.Context, id string) (well, answered bool) {
	last := s.peer.raft.LastIndex()
	var h health
	err := s.peer.Call(ctx, id, callHealth, nil, &h)
	return err == nil && !h.Halted && !h.Worker && h.Term == s.peer.raft.CurrentTerm() && h.LastIndex+maxLag >= last, err == nil
}

// been says whether a peer has been well, or away, for a time.
func (s *steward) been(id string, well bool, atLeast time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, known := s.conditions[id]
	return known && c.well == well && time.Since(c.since) >= atLeast
}

// hopeless says whether a peer that is to get the log doesn't answer any more,
// or hasn't come near its end for very long: a large state takes its time.
func (s *steward) hopeless(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, known := s.conditions[id]
	patience := s.peer.config.ReplaceAfter
	return known && !c.well && (time.Since(c.heard) >= patience || time.Since(c.since) >= passOver*patience)
}
