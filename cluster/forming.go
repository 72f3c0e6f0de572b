package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// forgetFounder is how long a peer that a pledge was given to must be out of
// sight before the pledge is taken back.
const forgetFounder = 30 * time.Second

// form brings a peer that is in no cluster into one: into the one that it sees,
// or, with enough others that wait for it, into a new one.
func (p *Peer) form(ctx context.Context) error {
	p.forming.Lock()
	defer p.forming.Unlock()
	if p.Cluster() != "" {
		return nil
	}
	var inCluster, waiting []Member
	for _, member := range p.gossip().members() {
		switch {
		case member.Cluster != "":
			inCluster = append(inCluster, member)
		case p.config.Expect > 1 && member.Expect == p.config.Expect:
			waiting = append(waiting, member)
		}
	}
	if p.pledge != nil && p.pledge.Founder != p.id {
		if err := p.reviewPledge(slices.Concat(inCluster, waiting)); err != nil {
			return err
		}
	}
	if len(inCluster) > 0 {
		return p.enter(ctx, inCluster)
	}
	if p.pledge != nil && p.pledge.Founder != p.id {
		return fmt.Errorf("waiting for %s to found the cluster", p.pledge.Founder)
	}
	if p.config.Expect <= 1 {
		return errors.New("no cluster to join is in sight")
	}
	if len(waiting) < p.config.Expect {
		return fmt.Errorf("%d of %d peers are here to form the cluster", len(waiting), p.config.Expect)
	}
	waiting = waiting[:p.config.Expect] // by ID
	if waiting[0].ID != p.id {
		return fmt.Errorf("waiting for %s to found the cluster", waiting[0].ID)
	}
	return p.found(ctx, waiting)
}

// reviewPledge takes back a pledge to a founder that is gone for good.
func (p *Peer) reviewPledge(seen []Member) error {
	if slices.ContainsFunc(seen, func(m Member) bool { return m.ID == p.pledge.Founder }) || p.founderSeen.IsZero() {
		p.founderSeen = time.Now()
		return nil
	}
	if time.Since(p.founderSeen) < forgetFounder {
		return nil
	}
	p.log.Warn("the peer that was to found the cluster is gone", "founder", p.pledge.Founder)
	return p.setPledge(nil)
}

// welcome is what a peer in a cluster tells one that asks to be let in.
type welcome struct {
	Cluster string `json:"cluster"`
	Sealing []byte `json:"sealing"` // see Keyring
}

// enter makes this peer one of the cluster that it sees, though not yet one of
// raft's: stay asks the leader for that.
func (p *Peer) enter(ctx context.Context, seen []Member) error {
	cluster := seen[0].Cluster
	for _, member := range seen {
		if member.Cluster != cluster {
			return fmt.Errorf("two clusters are in sight, %s and %s: name the peers of only one to join", cluster, member.Cluster)
		}
	}
	if p.pledge != nil && p.pledge.Cluster != cluster {
		if p.pledge.Founder != p.id {
			return fmt.Errorf("cluster %s is in sight, but this peer is pledged to %s, of %s", cluster, p.pledge.Cluster, p.pledge.Founder)
		}
		// Its own founding came to nothing, or it would be a cluster's.
		if err := p.setPledge(nil); err != nil {
			return err
		}
	}
	var errs []error
	for _, member := range seen {
		var granted welcome
		if err := p.callAt(ctx, member.RaftAddr, callWelcome, nil, &granted); err != nil {
			errs = append(errs, fmt.Errorf("ask %s to be let in: %w", member.ID, err))
			continue
		}
		if granted.Cluster != cluster {
			errs = append(errs, fmt.Errorf("%s said that it is of %s and is of %s", member.ID, cluster, granted.Cluster))
			continue
		}
		if err := p.keepKeys(granted.Sealing); err != nil {
			return err
		}
		if err := p.belong(cluster); err != nil {
			return err
		}
		p.log.Info("joining a cluster", "cluster", cluster, "by", member.ID)
		return p.gossip().announce(p.identity())
	}
	return errors.Join(errs...)
}

func (p *Peer) serveWelcome(_ context.Context, from string, _ json.RawMessage) (any, error) {
	cluster := p.Cluster()
	if cluster == "" {
		return nil, fmt.Errorf("%w: this peer is in no cluster yet", ErrOtherCluster)
	}
	p.log.Info("a peer is let in", "peer", from)
	return welcome{Cluster: cluster, Sealing: p.keyring.bytes()}, nil
}

// found forms a cluster: every founder pledges itself to it, then it begins.
func (p *Peer) found(ctx context.Context, founders []Member) error {
	plan := pledge{Founder: p.id, Cluster: newClusterID()}
	for _, founder := range founders {
		plan.Voters = append(plan.Voters, server{founder.ID, founder.RaftAddr})
	}
	if p.pledge != nil { // from before a restart: nobody may hold anything else of this peer
		plan.Cluster = p.pledge.Cluster
	}
	if err := p.setPledge(&plan); err != nil {
		return err
	}
	for _, voter := range plan.Voters {
		if voter.ID == p.id {
			continue
		}
		if err := p.callAt(ctx, voter.Address, callPledge, plan, nil); err != nil {
			p.release(ctx, plan)
			return fmt.Errorf("found the cluster: ask %s for its pledge: %w", voter.ID, err)
		}
	}
	if err := ctx.Err(); err != nil {
		p.release(ctx, plan)
		return fmt.Errorf("found the cluster: %w", err)
	}
	if err := p.keepKeys(nil); err != nil {
		return err
	}
	if err := p.belong(plan.Cluster); err != nil {
		return err
	}
	p.log.Info("founding a cluster", "cluster", plan.Cluster, "voters", plan.Voters)
	if err := p.beginLog(plan); err != nil {
		return err
	}
	return p.gossip().announce(p.identity())
}

// release gives back the pledges of a founding that came to nothing.
func (p *Peer) release(ctx context.Context, plan pledge) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), membershipCall)
	defer cancel()
	released := true
	for _, voter := range plan.Voters {
		if voter.ID == p.id {
			continue
		}
		if err := p.callAt(ctx, voter.Address, callRelease, plan, nil); err != nil {
			released = false
			p.log.Debug("a pledge wasn't given back", "peer", voter.ID, "error", err)
		}
	}
	if !released {
		return // the same founding is tried again
	}
	if err := p.setPledge(nil); err != nil {
		p.log.Warn("founding", "error", err)
	}
}

func (p *Peer) servePledge(_ context.Context, from string, in json.RawMessage) (any, error) {
	var asked pledge
	if err := json.Unmarshal(in, &asked); err != nil {
		return nil, fmt.Errorf("read the pledge: %w", err)
	}
	// A peer that is founding itself would wait for whom it asks.
	if !p.forming.TryLock() {
		return nil, errors.New("this peer is just forming a cluster itself")
	}
	defer p.forming.Unlock()
	switch {
	case p.Cluster() != "":
		return nil, fmt.Errorf("%w: this peer is of %s", ErrOtherCluster, p.Cluster())
	case p.pledge != nil && p.pledge.Founder != asked.Founder:
		return nil, fmt.Errorf("this peer is pledged to %s", p.pledge.Founder)
	case p.config.Expect != len(asked.Voters) || !slices.ContainsFunc(asked.Voters, func(s server) bool { return s.ID == p.id }):
		return nil, fmt.Errorf("this peer expects %d founders, itself among them", p.config.Expect)
	}
	p.founderSeen = time.Time{}
	p.log.Debug("pledged to a founder", "founder", from, "cluster", asked.Cluster)
	return nil, p.setPledge(&asked)
}

func (p *Peer) serveRelease(_ context.Context, _ string, in json.RawMessage) (any, error) {
	var asked pledge
	if err := json.Unmarshal(in, &asked); err != nil {
		return nil, fmt.Errorf("read the release: %w", err)
	}
	p.forming.Lock()
	defer p.forming.Unlock()
	if p.Cluster() != "" || p.pledge == nil || p.pledge.Founder != asked.Founder || p.pledge.Cluster != asked.Cluster {
		return nil, nil
	}
	return nil, p.setPledge(nil)
}

// finishFounding begins the log of a cluster whose founder was killed between
// its word and its deed.
func (p *Peer) finishFounding() error {
	p.forming.Lock()
	defer p.forming.Unlock()
	if p.pledge == nil || p.pledge.Founder != p.id || p.pledge.Cluster != p.Cluster() || p.raft.LastIndex() > 0 {
		return nil
	}
	return p.beginLog(*p.pledge)
}

// beginLog writes the first entry of the cluster's log: its voters.
func (p *Peer) beginLog(plan pledge) error {
	var configuration raft.Configuration
	for _, voter := range plan.Voters {
		configuration.Servers = append(configuration.Servers, raft.Server{
			Suffrage: raft.Voter, ID: raft.ServerID(voter.ID), Address: raft.ServerAddress(voter.Address),
		})
	}
	err := p.raft.BootstrapCluster(configuration).Error()
	if err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
		return fmt.Errorf("begin the cluster's log: %w", err)
	}
	return p.noteStarted()
}
