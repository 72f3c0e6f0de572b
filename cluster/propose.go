package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// enqueueTimeout is how long a proposal waits for room in raft's queue when
// its ctx has no deadline.
const enqueueTimeout = 10 * time.Second

// Propose puts a command into the log and answers what the state machine made
// of it, once a majority has it on disk and it is applied here: the answer's
// type is in the command's comment, nil where it names none. An error of the
// state machine comes back as itself.
//
// Other errors: ErrNoLeader, ErrNotLeader, ErrClosed, ErrHalted, or ctx's.
// After ErrNoLeader, ErrClosed or the end of ctx the command may have been
// applied or be so later; propose it again only if that does no harm.
func (p *Peer) Propose(ctx context.Context, command Command) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("propose %s: %w", command.Name(), err)
	}
	entry, err := encodeCommand(command)
	if err != nil {
		return nil, err
	}
	if err := p.begin(); err != nil {
		return nil, fmt.Errorf("propose %s: %w", command.Name(), err)
	}
	timeout := enqueueTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(deadline), time.Millisecond) // 0 would be no limit
	}
	type outcome struct {
		answer any
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		defer p.end()
		future := p.raft.ApplyLog(entry, timeout)
		if err := future.Error(); err != nil {
			done <- outcome{err: err}
			return
		}
		done <- outcome{answer: future.Response()}
	}()
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("propose %s: %w", command.Name(), ctx.Err())
	case result := <-done:
		if result.err != nil {
			return nil, fmt.Errorf("propose %s: %w", command.Name(), p.raftError(result.err))
		}
		answered, ok := result.answer.(answer)
		if !ok {
			return nil, fmt.Errorf("propose %s: raft answered a %T", command.Name(), result.answer)
		}
		return answered.value, answered.err
	}
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
		return fmt.Errorf("%w: the outcome isn't known", ErrNoLeader)
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
