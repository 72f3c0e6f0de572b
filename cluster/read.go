package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// View reads the state as it is now: with every command that was acknowledged,
// by any peer, before the call. It costs a round of heartbeats where there are
// other voters, and a question to the leader on another peer; never a write to
// disk. Without a leader it waits for one, for some election timeouts.
// Errors: ErrNoState on a worker, ErrNoLeader, ErrClosed, ErrHalted, or ctx's.
func (p *Peer) View(ctx context.Context) (View, error) {
	if p.works() {
		return nil, fmt.Errorf("read the state: %w", ErrNoState)
	}
	if readsAnything {
		return p.Stale(), nil
	}
	var v View
	err := p.withLeader(ctx, func(ctx context.Context, leader string) error {
		index, err := p.readIndex(ctx, leader)
		if errors.Is(err, errUncertain) {
			return fmt.Errorf("%w: %w", errTryNext, err) // asking again does no harm
		}
		if err != nil {
			return err
		}
		v, err = p.reach(ctx, index)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the state: %w", err)
	}
	return v, nil
}

// readIndex is the index that a state must have reached to hold everything
// that was acknowledged before the call.
func (p *Peer) readIndex(ctx context.Context, leader string) (uint64, error) {
	if leader == p.id {
		return p.verifiedIndex(ctx)
	}
	var index uint64
	err := p.Call(ctx, leader, callReadIndex, nil, &index)
	if errors.Is(err, ErrUnreachable) {
		return 0, fmt.Errorf("%w: %w", ErrNotLeader, err)
	}
	return index, err
}

func (p *Peer) serveReadIndex(ctx context.Context, _ string, _ json.RawMessage) (any, error) {
	return p.verifiedIndex(ctx)
}

// verifiedIndex is readIndex on the leader. Whatever an earlier leader
// acknowledged was applied here before the term opened; whatever this leader
// acknowledged, to whichever peer, was applied here before it answered; and
// that no later leader has acknowledged anything is what VerifyLeader finds out.
func (p *Peer) verifiedIndex(ctx context.Context) (uint64, error) {
	present, err := p.openTerm(ctx)
	if err != nil {
		return 0, err
	}
	index := p.Stale().Index()
	if err := p.wait(ctx, func() raft.Future { return p.raft.VerifyLeader() }); err != nil {
		return 0, err
	}
	if p.raft.CurrentTerm() != present.number {
		return 0, ErrNoLeader // led again, but with the earlier log perhaps not yet applied
	}
	return index, p.machine.haltError()
}

// reach waits until the state here has come to an index.
func (p *Peer) reach(ctx context.Context, index uint64) (View, error) {
	for {
		v := p.Stale()
		role, moved := p.standing.now()
		if err := p.machine.haltError(); err != nil {
			return nil, err
		}
		if v.Index() >= index {
			return v, nil
		}
		if role == roleWorker {
			return nil, ErrNoState // it has just lost the log
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-p.alive.Done():
			return nil, ErrClosed
		case <-p.machine.halted:
		case <-v.Changed():
		}
	}
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
// anyone. On a peer that was cut off it can be arbitrarily old, on one that
// doesn't hold the state it can be empty.
func (p *Peer) Stale() View { return p.machine.current.Load() }

// readyPause is how often a peer that waits for its cluster looks again.
const readyPause = 100 * time.Millisecond

// Ready waits until this peer leads, or follows a leader, with everything
// applied that was ever acknowledged; or until it is a worker and knows a
// leader. Errors: ErrClosed, ErrHalted, or ctx's.
func (p *Peer) Ready(ctx context.Context) error {
	for {
		present, changed := p.lead.now()
		if present != nil && present.ctx.Err() == nil {
			return nil
		}
		if leader, _ := p.leader.now(); leader != "" && leader != p.id {
			if p.works() {
				return nil
			}
			if _, err := p.View(ctx); err == nil {
				return nil
			}
		}
		pause := time.NewTimer(readyPause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return fmt.Errorf("wait for the peer to be ready: %w", ctx.Err())
		case <-p.alive.Done():
			pause.Stop()
			return ErrClosed
		case <-p.machine.halted:
			pause.Stop()
			return p.machine.haltError()
		case <-changed:
		case <-pause.C:
		}
		pause.Stop()
	}
}
