package cluster

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// The leader looks after who votes, by the rules of raft-autopilot: a peer that
// has been well for StableFor gets a vote while there are fewer than MaxVoters;
// a voter that has been away for ReplaceAfter gives its vote to a peer that is
// well, first the new vote, then the old one's end, so that no step needs a
// voter that isn't there. It is not removed: when it is back, it follows along.

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
}

func (p *Peer) serveHealth(context.Context, string, json.RawMessage) (any, error) {
	return health{Term: p.raft.CurrentTerm(), LastIndex: p.raft.LastIndex(), Halted: p.machine.haltError() != nil}, nil
}

// condition is how a peer has been.
type condition struct {
	well  bool
	since time.Time // of the latest change of well, monotonic
}

// steward is one term's knowledge of the others.
type steward struct {
	peer       *Peer
	mu         sync.Mutex
	conditions map[string]condition
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
			well := string(server.ID) == s.peer.id || s.ask(ctx, string(server.ID))
			s.mu.Lock()
			defer s.mu.Unlock()
			if before, known := s.conditions[string(server.ID)]; !known || before.well != well {
				s.conditions[string(server.ID)] = condition{well, time.Now()}
			}
		})
	}
	asking.Wait()
}

func (s *steward) ask(ctx context.Context, id string) bool {
	last := s.peer.raft.LastIndex()
	var h health
	err := s.peer.Call(ctx, id, callHealth, nil, &h)
	return err == nil && !h.Halted && h.Term == s.peer.raft.CurrentTerm() && h.LastIndex+maxLag >= last
}

// been says whether a peer has been well, or away, for a time.
func (s *steward) been(id string, well bool, atLeast time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, known := s.conditions[id]
	return known && c.well == well && time.Since(c.since) >= atLeast
}

// settle makes at most one change of the voters, if one is due.
func (s *steward) settle(ctx context.Context) {
	p := s.peer
	p.changing.Lock()
	defer p.changing.Unlock()
	if ctx.Err() != nil {
		return
	}
	var promote, demote *raft.Server
	voters, well := 0, 0
	servers := p.servers()
	slices.SortFunc(servers, func(a, b raft.Server) int { return strings.Compare(string(a.ID), string(b.ID)) })
	for i, server := range servers {
		id := string(server.ID)
		switch {
		case server.Suffrage == raft.Voter:
			voters++
			if s.been(id, true, 0) {
				well++
			}
			if s.been(id, false, p.config.ReplaceAfter) {
				demote = &servers[i]
			}
		case promote == nil && s.been(id, true, p.config.StableFor):
			promote = &servers[i]
		}
	}
	var err error
	switch {
	case promote != nil && (voters < p.config.MaxVoters || voters == p.config.MaxVoters && demote != nil):
		p.log.Info("a peer gets a vote", "peer", promote.ID)
		err = p.change(ctx, func() raft.IndexFuture {
			return p.raft.AddVoter(promote.ID, promote.Address, 0, barrierTimeout)
		})
	case voters > p.config.MaxVoters && demote != nil && well > voters/2:
		p.log.Warn("a voter is away and loses its vote", "peer", demote.ID)
		err = p.change(ctx, func() raft.IndexFuture { return p.raft.DemoteVoter(demote.ID, 0, barrierTimeout) })
	}
	if err != nil && ctx.Err() == nil {
		p.log.Warn("the voters can't be changed", "error", err)
	}
}
