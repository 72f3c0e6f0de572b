package cluster

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// role is whether a peer has the cluster's log and state.
type role int

const (
	roleUnknown role = iota // in no cluster yet, or not yet told by a leader
	roleHolder              // raft's configuration has it
	roleWorker              // it is a member without the log
)

// The roles that gossip tells: a peer that has the log without a vote is a
// worker there, too.
const (
	roleNameVoter  = "voter"
	roleNameWorker = "worker"
)

// standing is a peer's role, and what it follows from.
type standing struct {
	mu      sync.Mutex
	role    role
	changed chan struct{} // closed and replaced when role changes
	// worker: a leader let this peer in without the log.
	worker bool
	// retired is set while the log in the folder is that of a time when this
	// peer was one of raft's; since is when it was found out in this run.
	retired *retirement
	since   time.Time
}

// retirement says that a peer that has a log isn't in raft's configuration any
// more: another voter took its place while it was away.
//
// Its log says otherwise, so by itself its raft would ask for votes for ever.
// That could do no harm: each change of the voters was committed by a majority
// of those before, of whom one at least is needed to win an election and knows
// better; and the present voters answer nobody who isn't one of them. But it
// would be noise. So a retired peer's raft is parked: it waits for a leader and
// begins no election. Its log, term and vote stay, so when it is taken up again
// it has forgotten nothing that it promised.
type retirement struct {
	// Term was the leader's when it said so. Only a leader of this term or a
	// later one can take the peer up again.
	Term uint64 `json:"term"`
}

// parked is the election timeout of a retired peer: longer than it will run.
const parked = 20 * 365 * 24 * time.Hour

// HoldsState says whether this peer has the cluster's log and state, so that
// Propose, View and Stale are of use. A worker has not: it asks the leader, by
// CallLeader and ForwardHTTP. It changes at run time: a worker is taken up when
// a voter is gone for good, and a peer that just started knows only once it
// has heard of its cluster.
func (p *Peer) HoldsState() bool {
	role, _ := p.standing.now()
	return role == roleHolder
}

// StateChanged is closed when HoldsState may have changed. Take it before
// HoldsState is asked.
func (p *Peer) StateChanged() <-chan struct{} {
	_, changed := p.standing.now()
	return changed
}

// works says whether this peer knows that it is a worker.
func (p *Peer) works() bool {
	role, _ := p.standing.now()
	return role == roleWorker
}

func (s *standing) now() (role, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.role, s.changed
}

// set makes the role known. The caller holds s.mu.
func (s *standing) set(now role) {
	if s.role == now {
		return
	}
	s.role = now
	close(s.changed)
	s.changed = make(chan struct{})
}

// review finds out the peer's role from what raft knows.
func (p *Peer) review() {
	s := &p.standing
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.role
	defer func() {
		if s.role != before && s.role == roleHolder && before == roleWorker {
			p.log.Info("this peer gets the cluster's log")
		}
	}()
	listed := slices.ContainsFunc(p.servers(), func(server raft.Server) bool { return string(server.ID) == p.id })
	if s.retired != nil {
		_, leader := p.raft.LeaderWithID()
		if !listed || leader == "" || p.raft.CurrentTerm() < s.retired.Term || !p.raft.LastContact().After(s.since) {
			s.set(roleWorker)
			return
		}
		if err := p.unpark(); err != nil {
			p.log.Warn("the log can't be taken up again", "error", err)
			return
		}
	}
	switch {
	case listed:
		s.worker = false
		s.set(roleHolder)
	case s.worker:
		s.set(roleWorker)
	default:
		s.set(roleUnknown)
	}
}

// becomeWorker takes a leader's word, of a term, that this peer is a member
// without the log.
func (p *Peer) becomeWorker(term uint64) error {
	s := &p.standing
	s.mu.Lock()
	defer s.mu.Unlock()
	s.worker = true
	if p.raft.LastIndex() > 0 && s.retired == nil {
		if err := p.park(retirement{Term: term}); err != nil {
			return err
		}
	}
	if s.role != roleWorker {
		p.log.Info("this peer works without the cluster's log")
		p.leader.set("") // raft's word; the voters' comes next
	}
	s.set(roleWorker)
	return nil
}

// park keeps raft from asking for votes. The caller holds standing.mu.
func (p *Peer) park(r retirement) error {
	if err := writeNote(filepath.Join(p.config.DataDir, retiredFile), r); err != nil {
		return fmt.Errorf("note that the log is a former voter's: %w", err)
	}
	p.standing.retired, p.standing.since = &r, time.Now()
	return p.electAfter(parked, parked)
}

// unpark makes this peer one of raft's again. The caller holds standing.mu.
func (p *Peer) unpark() error {
	if err := removeNote(filepath.Join(p.config.DataDir, retiredFile)); err != nil {
		return err
	}
	p.standing.retired = nil
	return p.electAfter(p.config.HeartbeatTimeout, p.config.ElectionTimeout)
}

func (p *Peer) electAfter(heartbeat, election time.Duration) error {
	settings := p.raft.ReloadableConfig()
	settings.HeartbeatTimeout, settings.ElectionTimeout = heartbeat, election
	if err := p.raft.ReloadConfig(settings); err != nil {
		return fmt.Errorf("change raft's timeouts: %w", err)
	}
	return nil
}

// loadRetirement reads whether the folder's log is a former voter's; nil if not.
func loadRetirement(folder string) (*retirement, error) {
	name := filepath.Join(folder, retiredFile)
	r, err := readNote[retirement](name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return r, nil
}
