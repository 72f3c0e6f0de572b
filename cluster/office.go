package cluster

import (
	"context"
	"errors"
	"fmt"
)

// Office is the peer as its own leader's work sees it: what that decides holds only
// while the peer leads. Another leader has decided anew, from a later state and with
// what its workers told it, so nothing is passed on to that one.
type Office struct{ *Peer }

// Understands says whether all peers that hold the log understand a command, as it
// stands: if not, Propose answers ErrUpgrading.
func (o Office) Understands(command Command) bool {
	return o.checkUnderstood(versionOf(command)) == nil
}

// Office is for work that runs under Lead.
func (p *Peer) Office() Office { return Office{p} }

// Propose puts a command into this leader's log, as Peer.Propose does; a peer that
// doesn't lead answers ErrNotLeader or ErrNoLeader and passes nothing on. When the
// leadership is lost meanwhile it isn't tried again: after ErrNoLeader the command
// may have been applied, or be so later, by this peer's entry alone.
func (o Office) Propose(ctx context.Context, command Command) (any, error) {
	return o.propose(ctx, command, func(ctx context.Context, envelope []byte) error {
		present, _ := o.lead.now()
		if present == nil || present.ctx.Err() != nil {
			return o.noLeader()
		}
		// The term's end takes out of the queue what raft hasn't got: this peer may
		// lead again by the time that it would.
		inTerm, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(present.ctx, cancel)()
		err := o.committer.submit(inTerm, envelope)
		if errors.Is(err, context.Canceled) && ctx.Err() == nil {
			return fmt.Errorf("%w: %w: this peer leads no longer", ErrNoLeader, errUncertain)
		}
		return err
	})
}
