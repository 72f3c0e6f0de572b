package cluster

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// passOver times ReplaceAfter is how long a worker may take to catch up with the
// log, and how long one that couldn't isn't tried again.
const passOver = 10

// places is who has the log, as the leader sees it.
type places struct {
	servers       []raft.Server // by ID
	voters, well  int           // how many vote, and how many of those are well
	away          *raft.Server  // a voter that has been away for ReplaceAfter
	ready         *raft.Server  // one without a vote that has been well for StableFor
	expelled      *raft.Server  // one that was removed by a leader that died over it
	lost          *raft.Server  // one without a vote that is hopeless
	spare, newest *raft.Server  // the last without a vote; the voter that has been well for the shortest time
}

// survey looks at who has the log.
func (s *steward) survey() places {
	p := s.peer
	v := places{servers: p.servers()}
	slices.SortFunc(v.servers, func(a, b raft.Server) int { return strings.Compare(string(a.ID), string(b.ID)) })
	var newest time.Time
	for i := range v.servers {
		server := &v.servers[i]
		id := string(server.ID)
		away := s.been(id, false, p.config.ReplaceAfter)
		if id != p.id && p.expelled(id) {
			v.expelled = server
		}
		if server.Suffrage != raft.Voter {
			v.spare = server
			if s.hopeless(id) {
				v.lost = server
			}
			if v.ready == nil && s.been(id, true, p.config.StableFor) {
				v.ready = server
			}
			continue
		}
		v.voters++
		if away {
			v.away = server
		}
		if since, well := s.wellSince(id); well {
			v.well++
			if id != p.id && since.After(newest) {
				v.newest, newest = server, since
			}
		}
	}
	return v
}

// wellSince is since when a peer has been well.
func (s *steward) wellSince(id string) (since time.Time, well bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.conditions[id]
	return c.since, c.well
}

// settle makes at most one change of raft's configuration, if one is due.
func (s *steward) settle(ctx context.Context) {
	p := s.peer
	p.changing.Lock()
	defer p.changing.Unlock()
	if ctx.Err() != nil {
		return
	}
	v := s.survey()
	// As long as a voter is away, there is one place more.
	room := p.config.MaxVoters
	if v.away != nil {
		room++
	}
	healthy := v.well > v.voters/2
	var err error
	switch {
	case v.expelled != nil:
		err = s.drop(ctx, v.expelled, "a peer that was removed loses the log")
	case v.lost != nil:
		s.passedOver[string(v.lost.ID)] = time.Now()
		err = s.drop(ctx, v.lost, "a peer without a vote is away and loses the log")
	case v.ready != nil && v.voters < room:
		p.log.Info("a peer gets a vote", "peer", v.ready.ID)
		err = p.change(ctx, func() raft.IndexFuture {
			return p.raft.AddVoter(v.ready.ID, v.ready.Address, 0, barrierTimeout)
		})
	case v.voters > p.config.MaxVoters && v.away != nil && healthy:
		err = s.drop(ctx, v.away, "a voter is away and loses its vote to another")
	case v.voters > p.config.MaxVoters && v.newest != nil && healthy:
		err = s.drop(ctx, v.newest, "there is a voter too many")
	case len(v.servers) > room && v.spare != nil:
		err = s.drop(ctx, v.spare, "there are enough peers with the log")
	case len(v.servers) < room && healthy:
		err = s.takeUp(ctx, v.servers)
	}
	if err != nil && ctx.Err() == nil {
		p.log.Warn("the voters can't be changed", "error", err)
	}
}

// drop takes a peer out of raft's configuration. It stays a member.
func (s *steward) drop(ctx context.Context, server *raft.Server, why string) error {
	s.peer.log.Warn(why, "peer", server.ID)
	delete(s.peer.admitted, string(server.ID))
	return s.peer.change(ctx, func() raft.IndexFuture { return s.peer.raft.RemoveServer(server.ID, 0, barrierTimeout) })
}

// takeUp gives the log to a worker, if gossip sees one and it answers.
func (s *steward) takeUp(ctx context.Context, servers []raft.Server) error {
	p := s.peer
	for _, member := range p.Members() {
		tried, failed := s.passedOver[member.ID]
		if member.Role != roleNameWorker || member.Cluster == "" || p.expelled(member.ID) ||
			slices.ContainsFunc(servers, func(server raft.Server) bool { return string(server.ID) == member.ID }) ||
			failed && time.Since(tried) < passOver*p.config.ReplaceAfter {
			continue
		}
		asking, cancel := context.WithTimeout(ctx, stewardEvery)
		var h health
		err := p.callAt(asking, member.RaftAddr, callHealth, nil, &h)
		cancel()
		if err != nil || h.Halted || !h.Worker {
			continue // it is gone, or about to join by itself
		}
		p.log.Info("a worker gets the log", "peer", member.ID)
		// A request to join that it sent before, and that comes only now, must not
		// pass for one of a peer that has lost its folder.
		p.admitted[member.ID] = h.Run
		return p.change(ctx, func() raft.IndexFuture {
			return p.raft.AddNonvoter(raft.ServerID(member.ID), raft.ServerAddress(member.RaftAddr), 0, barrierTimeout)
		})
	}
	return nil
}
