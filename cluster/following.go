package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A worker has no raft to tell it who leads, so it asks a voter, and that one
// answers when it has something new to say: a long poll. So a new leader is
// known everywhere at once, and what it costs is a call to one of the voters,
// not the leader by preference, every leaderHold from each worker.

const (
	// leaderHold is how long a voter holds a question that has no news for an
	// answer. It bounds how long a worker hangs on a voter that has frozen.
	leaderHold = 10 * time.Second
	// leaderSlack is how much later than leaderHold an answer may come.
	leaderSlack = 2 * time.Second
	// followPause and followPauseMax are how long a worker waits between two
	// voters that know no leader; it grows with each.
	followPause    = 50 * time.Millisecond
	followPauseMax = time.Second
)

// leaderWord is what a peer that has the log says about who leads.
type leaderWord struct {
	Term     uint64  `json:"term"`
	Leader   string  `json:"leader"` // "" while it knows none
	Address  string  `json:"address"`
	HTTPAddr string  `json:"http_addr"`
	Voters   []Voter `json:"voters"`
}

// same says whether a word is no news to whoever knows another.
func (w leaderWord) same(known leaderWord) bool {
	return w.Leader == known.Leader && w.Term == known.Term && w.Address == known.Address
}

// word is what this peer would tell a worker.
func (p *Peer) word() leaderWord {
	status := p.Status()
	leader, _ := p.leader.now()
	w := leaderWord{Term: status.Term, Leader: leader, Voters: status.Voters}
	if leader != "" {
		w.Address, w.HTTPAddr = p.addressOf(leader), status.LeaderHTTPAddr
	}
	if leader == p.id {
		w.Address = p.RaftAddr()
	}
	return w
}

// serveLeader answers a worker when it can tell another leader than that one knows.
func (p *Peer) serveLeader(ctx context.Context, from string, in json.RawMessage) (any, error) {
	var known leaderWord
	if err := json.Unmarshal(in, &known); err != nil {
		return nil, fmt.Errorf("read what leader is known: %w", err)
	}
	hold := time.NewTimer(leaderHold)
	defer hold.Stop()
	for {
		role, moved := p.standing.now()
		_, changed := p.leader.now()
		if role != roleHolder {
			return nil, ErrNoState
		}
		if p.expelled(from) {
			return nil, fmt.Errorf("peer %s: %w", from, ErrRemoved)
		}
		if w := p.word(); !w.same(known) {
			return w, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-hold.C:
			return p.word(), nil
		case <-changed:
		case <-moved:
		}
	}
}

// following is what a worker knows of the leader.
type following struct {
	latest atomic.Pointer[leaderWord] // nil before the first
	lost   atomic.Pointer[string]     // why no leader is known, "" while one is
	// nudge has the next voter asked: a call of the leader has failed.
	nudge chan struct{}
}

// followLeader keeps this peer informed while it is a worker.
func (p *Peer) followLeader() {
	turn, without := shard(p.id), 0
	for p.alive.Err() == nil {
		role, changed := p.standing.now()
		if role != roleWorker {
			without = 0
			select {
			case <-p.alive.Done():
			case <-changed:
			}
			continue
		}
		voters := p.votersInSight()
		err := errors.New("no voter is in sight")
		if len(voters) > 0 {
			err = p.askLeader(voters[int(turn)%len(voters)], changed)
		}
		if err == nil {
			without = 0
			p.follow.lost.Store(errorText(nil))
			continue
		}
		turn++
		without++
		p.log.Debug("a voter couldn't tell the leader", "error", err)
		if without >= len(voters) || errors.Is(err, ErrRemoved) {
			p.loseLeader(err)
		}
		pause := time.NewTimer(min(time.Duration(without)*followPause, followPauseMax))
		select {
		case <-p.alive.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

// shard spreads the workers over the voters.
func shard(id string) uint {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	return uint(h.Sum32() >> 1)
}

// askLeader has one voter tell the leader, now or when there is another.
func (p *Peer) askLeader(voter server, moved <-chan struct{}) error {
	known := leaderWord{}
	if latest := p.follow.latest.Load(); latest != nil {
		known = *latest
	}
	asked := known
	asked.Voters = nil
	if leader, _ := p.leader.now(); leader == "" {
		asked.Leader = "" // any leader is news
	}
	ctx, cancel := context.WithTimeout(p.alive, leaderHold+leaderSlack)
	defer cancel()
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		select {
		case <-ctx.Done():
			return
		case <-moved:
		case <-p.follow.nudge:
		}
		cancel()
	})
	var told leaderWord
	if err := p.callAt(ctx, voter.Address, callLeader, asked, &told); err != nil {
		return fmt.Errorf("ask %s who leads: %w", voter.ID, err)
	}
	switch {
	case told.Leader == "" || told.Leader == p.id:
		return fmt.Errorf("%s knows no leader", voter.ID)
	case told.Term < known.Term:
		return fmt.Errorf("%s hasn't heard yet of who leads", voter.ID)
	}
	p.follow.latest.Store(&told)
	p.setLeader(roleWorker, told.Leader)
	return nil
}

// loseLeader notes that no voter can be asked, or none knows a leader.
func (p *Peer) loseLeader(why error) {
	if latest := p.follow.latest.Load(); latest != nil {
		// A cluster that was restored from a backup begins at an earlier term.
		p.follow.latest.Store(&leaderWord{Voters: latest.Voters})
	}
	p.follow.lost.Store(errorText(why))
	p.setLeader(roleWorker, "")
}

// suspectLeader has a worker ask again who leads, since the leader that it
// knows didn't answer as one.
func (p *Peer) suspectLeader() {
	if !p.works() {
		return
	}
	select {
	case p.follow.nudge <- struct{}{}:
	default: // it is being asked
	}
}

// setLeader takes the word of raft or of a voter on who leads, whichever counts
// in this peer's role.
func (p *Peer) setLeader(of role, leader string) {
	p.standing.mu.Lock()
	defer p.standing.mu.Unlock()
	if (p.standing.role == roleWorker) == (of == roleWorker) {
		p.leader.set(leader)
	}
}

// votersInSight is the voters, by ID, that may be asked on a worker's behalf:
// those that gossip sees, or else those that were last told of. The leader is
// left out where there are others: it has enough to do.
func (p *Peer) votersInSight() []server {
	var voters []server
	add := func(id, address string) {
		if id != p.id && address != "" && !slices.ContainsFunc(voters, func(s server) bool { return s.ID == id }) {
			voters = append(voters, server{id, address})
		}
	}
	for _, member := range p.Members() {
		if member.Cluster != "" && member.Role == roleNameVoter {
			add(member.ID, member.RaftAddr)
		}
	}
	leader, _ := p.leader.now()
	if latest := p.follow.latest.Load(); latest != nil {
		for _, voter := range latest.Voters {
			add(voter.ID, voter.Address)
		}
	}
	slices.SortFunc(voters, func(a, b server) int { return strings.Compare(a.ID, b.ID) })
	if others := slices.DeleteFunc(slices.Clone(voters), func(s server) bool { return s.ID == leader }); len(others) > 0 {
		return others
	}
	return voters
}
