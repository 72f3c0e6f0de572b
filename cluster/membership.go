package cluster

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// A peer that isn't alone keeps itself in the gossip and in the cluster by two
// loops. Both only repeat what does no harm when it is repeated.

const (
	// gossipEvery is how often the gossip is looked after.
	gossipEvery = time.Second
	// membershipCall bounds one call of forming and joining.
	membershipCall = 5 * time.Second
)

// seekEvery is how often a peer looks whether it is where it should be.
func (p *Peer) seekEvery() time.Duration {
	return min(max(p.config.HeartbeatTimeout/2, 50*time.Millisecond), 500*time.Millisecond)
}

// tend keeps this peer in the gossip: it finds the others again when they are
// out of sight, takes up changed keys, and remembers who is there.
func (p *Peer) tend() {
	ticker := time.NewTicker(p.seekEvery())
	defer ticker.Stop()
	var last time.Time
	var alone loneliness
	known := p.rememberedAddresses()
	for {
		if leader, _ := p.leader.now(); leader == "" || time.Since(last) >= gossipEvery {
			last = time.Now()
			known = p.tendOnce(known, &alone)
		}
		select {
		case <-p.alive.Done():
			return
		case <-ticker.C:
		}
	}
}

func (p *Peer) tendOnce(known []string, alone *loneliness) []string {
	if p.bundle != nil {
		keys, err := p.bundle.gossipKeys()
		if err == nil {
			err = p.gossip().useKeys(keys)
		}
		if err != nil {
			p.log.Warn("the gossip keys can't be taken up; the former stay in use", "error", err)
		}
	}
	if err := p.gossip().announce(p.identity()); err != nil {
		p.log.Warn("gossip", "error", err)
	}
	var seen []string
	var own string
	for _, member := range p.Members() {
		if member.ID == p.id {
			own = member.GossipAddr
		} else {
			seen = append(seen, member.GossipAddr)
		}
	}
	slices.Sort(seen)
	// Without a leader the others may know this peer by an address that it has
	// left, or not at all.
	if leader, _ := p.leader.now(); leader == "" || len(seen) == 0 {
		wanted := slices.Concat(p.config.Join, known, seen)
		slices.Sort(wanted)
		wanted = slices.DeleteFunc(slices.Compact(wanted), func(address string) bool {
			return address == own
		})
		if len(wanted) > 0 {
			_, err := p.gossip().list.Join(wanted)
			level := slog.LevelDebug
			if alone.tell(err != nil && len(seen) == 0, time.Now()) {
				level = slog.LevelWarn
			}
			if err != nil {
				p.log.Log(p.alive, level, "no other peer is found by gossip", "addresses", wanted, "error", err, "cure", aloneCure)
			}
		}
	}
	if len(seen) == 0 || slices.Equal(seen, known) || p.Cluster() == "" {
		return known
	}
	data, err := json.Marshal(seen)
	if err == nil {
		err = writeDurably(filepath.Join(p.config.DataDir, peersFile), data)
	}
	if err != nil {
		p.log.Warn("the peers' addresses can't be kept for the next start", "error", err)
	}
	return seen
}

const (
	// aloneAfter is how long a peer finds no other before it complains: peers that
	// are started together find each other sooner.
	aloneAfter = 10 * time.Second
	aloneCure  = "are these addresses right, and their ports open for TCP and UDP? is this peer's bundle the cluster's, or without a bundle there either?"
)

// loneliness is how long a peer has found no other.
type loneliness struct {
	since time.Time // zero while it isn't alone
	told  bool
}

// tell says whether it is time to complain: once each time that the peer is alone
// for long.
func (l *loneliness) tell(alone bool, now time.Time) bool {
	switch {
	case !alone:
		*l = loneliness{}
	case l.since.IsZero():
		l.since = now
	case !l.told && now.Sub(l.since) >= aloneAfter:
		l.told = true
		return true
	}
	return false
}

// rememberedAddresses are the gossip addresses of the peers seen last.
func (p *Peer) rememberedAddresses() []string {
	data, err := os.ReadFile(filepath.Join(p.config.DataDir, peersFile))
	var known []string
	if err == nil {
		err = json.Unmarshal(data, &known)
	}
	if err != nil && !os.IsNotExist(err) {
		p.log.Warn("the peers' addresses of the last run can't be read", "error", err)
	}
	return known
}

// identity is what this peer tells of itself now.
func (p *Peer) identity() Identity {
	self := Identity{HTTPAddr: p.config.HTTPAddr, RaftAddr: p.RaftAddr(), Version: p.config.Version, Role: roleNameWorker, Cluster: p.Cluster(), Commands: commandVersion}
	if self.Cluster == "" {
		self.Expect = p.config.Expect
	}
	if p.HoldsState() && slices.ContainsFunc(p.servers(), func(s raft.Server) bool { return string(s.ID) == p.id && s.Suffrage == raft.Voter }) {
		self.Role = roleNameVoter
	}
	return self
}

// servers is raft's configuration as this peer knows it.
func (p *Peer) servers() []raft.Server {
	if p.raft == nil {
		return nil
	}
	future := p.raft.GetConfiguration()
	if future.Error() != nil {
		return nil
	}
	return slices.Clone(future.Configuration().Servers) // the array is raft's own
}

// addressOf is where a peer's raft port is, "" if that isn't known. Gossip
// knows of moves before the log does.
func (p *Peer) addressOf(id string) string {
	if member, seen := p.member(id); seen {
		return member.RaftAddr
	}
	if latest := p.follow.latest.Load(); latest != nil && latest.Leader == id && p.works() {
		return latest.Address
	}
	for _, server := range p.servers() {
		if string(server.ID) == id {
			return string(server.Address)
		}
	}
	return ""
}

// ServerAddr implements raft.ServerAddressProvider.
func (p *Peer) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if member, seen := p.member(string(id)); seen {
		return raft.ServerAddress(member.RaftAddr), nil
	}
	return "", ErrUnreachable // raft takes the address in its log
}

// seek brings this peer into a cluster, founded or joined, and keeps it there.
func (p *Peer) seek() {
	ticker := time.NewTicker(p.seekEvery())
	defer ticker.Stop()
	var said string
	for {
		ctx, cancel := context.WithTimeout(p.alive, membershipCall)
		err := p.seekOnce(ctx)
		cancel()
		if err == nil {
			said = ""
		} else if p.alive.Err() == nil && err.Error() != said {
			said = err.Error()
			p.log.Info("not in contact with the cluster", "reason", err)
		}
		p.detached.Store(errorText(err))
		select {
		case <-p.alive.Done():
			return
		case <-ticker.C:
		}
	}
}

func errorText(err error) *string {
	text := ""
	if err != nil {
		text = err.Error()
	}
	return &text
}

func (p *Peer) seekOnce(ctx context.Context) error {
	if p.Cluster() == "" {
		return p.form(ctx)
	}
	if err := p.noteStarted(); err != nil {
		return err
	}
	if err := p.finishFounding(); err != nil {
		return err
	}
	p.review()
	return p.stay(ctx)
}

// noteStarted writes the marker that the peer is, or was, one of raft's, once
// that is committed. Before, it may still have to join anew, as if it had no log:
// the leader that let it in may be gone with its word.
func (p *Peer) noteStarted() error {
	if p.started {
		return nil
	}
	future := p.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return err
	}
	if future.Index() == 0 || p.raft.CommitIndex() < future.Index() ||
		!slices.ContainsFunc(future.Configuration().Servers, func(s raft.Server) bool { return string(s.ID) == p.id }) {
		return nil
	}
	if err := writeDurably(filepath.Join(p.config.DataDir, startedFile), nil); err != nil {
		return err
	}
	p.started = true
	return nil
}
