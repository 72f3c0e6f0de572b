package cluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// Propose puts a command into the log, through the leader whoever that is, and
// answers what the state machine made of it, once a majority has it on disk and
// it is applied here: the answer's type is in the command's comment, nil where
// it names none. An error of the state machine comes back as itself.
//
// When the leader is lost meanwhile, the command is tried once more with the
// next one, and applied once all the same. Without a leader Propose waits for
// one, for some election timeouts.
//
// Other errors: ErrUpgrading, ErrNoState on a worker, ErrNoLeader, ErrClosed, ErrHalted, or ctx's. After ErrNoLeader,
// ErrClosed or the end of ctx the command may have been applied or be so later;
// propose it again only if that does no harm.
func (p *Peer) Propose(ctx context.Context, command Command) (any, error) {
	return p.propose(ctx, command, p.submit)
}

// propose puts a command into the log in a certain way.
func (p *Peer) propose(ctx context.Context, command Command, submit func(ctx context.Context, envelope []byte) error) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("propose %s: %w", command.Name(), err)
	}
	if p.works() {
		return nil, fmt.Errorf("propose %s: %w", command.Name(), ErrNoState)
	}
	if err := p.checkUnderstood(versionOf(command)); err != nil {
		return nil, fmt.Errorf("propose %s: %w", command.Name(), err)
	}
	of := proposal{ID: rand.Text(), Base: p.Stale().Index()}
	entry, err := encodeEnvelope(command, of)
	if err != nil {
		return nil, err
	}
	answered := p.machine.waiting.expect(of.ID)
	defer p.machine.waiting.forget(of.ID)
	if err := submit(ctx, entry); err != nil {
		return nil, fmt.Errorf("propose %s: %w", command.Name(), err)
	}
	// The leader has applied it; here it comes with the log.
	for {
		role, moved := p.standing.now()
		if role == roleWorker {
			err = fmt.Errorf("%w: %w: this peer has lost the log", ErrNoLeader, errUncertain)
		}
		select {
		case a := <-answered:
			return a.value, a.err
		default:
		}
		if err != nil {
			return nil, fmt.Errorf("propose %s: %w", command.Name(), err)
		}
		select {
		case a := <-answered:
			return a.value, a.err
		case <-moved:
		case <-ctx.Done():
			err = ctx.Err()
		case <-p.stopped:
			err = ErrClosed
		case <-p.machine.halted:
			err = p.machine.haltError()
		}
	}
}

// submit has a leader put a command's envelope into the log and apply it.
func (p *Peer) submit(ctx context.Context, entry []byte) error {
	retried := false
	return p.withLeader(ctx, func(ctx context.Context, leader string) error {
		err := p.submitTo(ctx, leader, entry)
		if errors.Is(err, errUncertain) && !retried {
			retried = true // the state knows the proposal by its ID
			return fmt.Errorf("%w: %w", errTryNext, err)
		}
		return err
	})
}

func (p *Peer) submitTo(ctx context.Context, leader string, entry []byte) error {
	if leader == p.id {
		return p.committer.submit(ctx, entry)
	}
	err := p.Call(ctx, leader, callPropose, json.RawMessage(entry), nil)
	if errors.Is(err, ErrUnreachable) {
		return fmt.Errorf("%w: %w", ErrNotLeader, err) // not sent: another may lead by now
	}
	return err
}

// servePropose is the leader's side of submitTo.
func (p *Peer) servePropose(ctx context.Context, _ string, in json.RawMessage) (any, error) {
	var e envelope
	if _, err := e.decode(in); err != nil && e.Version <= commandVersion {
		// In the log it would stop every peer of this version.
		return nil, fmt.Errorf("take a proposal: %w", err)
	}
	if err := p.checkUnderstood(e.Version); err != nil {
		return nil, fmt.Errorf("take a proposal: %w", err)
	}
	return nil, p.committer.submit(ctx, in)
}

// wait waits for a future of raft, at most until ctx ends.
func (p *Peer) wait(ctx context.Context, start func() raft.Future) error {
	if err := p.begin(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer p.end()
		done <- start().Error()
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-done:
		return p.raftError(err)
	}
}

// raftError says a refusal of raft's in this room's words.
func (p *Peer) raftError(err error) error {
	switch {
	case err == nil:
		return nil
	case p.machine.haltError() != nil:
		return p.machine.haltError()
	case errors.Is(err, raft.ErrRaftShutdown):
		return ErrClosed
	case errors.Is(err, raft.ErrNotLeader):
		return p.noLeader()
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrAbortedByRestore):
		return fmt.Errorf("%w: %w", ErrNoLeader, errUncertain)
	case errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("%w: %w", ErrNoLeader, err)
	default:
		return err
	}
}

// noLeader is why a peer that doesn't lead refuses what only a leader can do.
func (p *Peer) noLeader() error {
	if _, leader := p.raft.LeaderWithID(); leader != "" && string(leader) != p.id {
		return fmt.Errorf("%w: it is %s", ErrNotLeader, leader)
	}
	return ErrNoLeader
}
