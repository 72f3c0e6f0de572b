package cluster

import (
	"context"
	"fmt"

	"github.com/hashicorp/raft"
)

// View reads the state as it is now: with every command that was acknowledged,
// by any peer, before the call. It costs a round of heartbeats where there are
// other voters, and never a write to disk.
// Errors: ErrNoLeader, ErrNotLeader, ErrClosed, ErrHalted, or ctx's.
func (p *Peer) View(ctx context.Context) (View, error) {
	v, err := p.currentView(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the state: %w", err)
	}
	return v, nil
}

// currentView reads like this: whatever an earlier leader acknowledged was
// applied here before the term opened; whatever this leader acknowledged was
// applied here before it answered; and that no later leader has acknowledged
// anything is what VerifyLeader finds out.
func (p *Peer) currentView(ctx context.Context) (View, error) {
	present, err := p.openTerm(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.wait(ctx, func() raft.Future { return p.raft.VerifyLeader() }); err != nil {
		return nil, err
	}
	if p.raft.CurrentTerm() != present.number {
		return nil, ErrNoLeader // led again, but with the earlier log perhaps not yet applied
	}
	if err := p.machine.haltError(); err != nil {
		return nil, err
	}
	return p.machine.current.Load(), nil
}

// openTerm is the term that this peer leads in. A leader that is only taking
// office is waited for.
func (p *Peer) openTerm(ctx context.Context) (*term, error) {
	for {
		present, changed := p.lead.now()
		switch {
		case p.machine.haltError() != nil:
			return nil, p.machine.haltError()
		case present != nil && present.ctx.Err() == nil:
			return present, nil
		case p.raft.State() == raft.Shutdown:
			return nil, ErrClosed
		case p.raft.State() != raft.Leader:
			return nil, p.noLeader()
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-p.alive.Done():
			return nil, ErrClosed
		case <-p.machine.halted:
		case <-changed:
		}
	}
}

// Stale reads the state as far as this peer has applied it, without asking
// anyone. On a peer that was cut off it can be arbitrarily old.
func (p *Peer) Stale() View { return p.machine.current.Load() }

// Ready waits until this peer leads with everything applied that was ever
// acknowledged. Errors: ErrClosed, ErrHalted, or ctx's.
func (p *Peer) Ready(ctx context.Context) error {
	for {
		present, changed := p.lead.now()
		if present != nil && present.ctx.Err() == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the peer to be ready: %w", ctx.Err())
		case <-p.alive.Done():
			return ErrClosed
		case <-p.machine.halted:
			return p.machine.haltError()
		case <-changed:
		}
	}
}
