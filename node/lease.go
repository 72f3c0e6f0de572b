package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace/cluster"
	"millrace/job"
)

// Claim is an attempt that a worker asks the leader to confirm.
type Claim struct {
	Node    string  `json:"node"`
	Session string  `json:"session"`
	Ref     job.Ref `json:"ref"`
	// Alone asks for the task alone: it is a backup that has encoded all, before it
	// writes anything. An attempt beside it is stopped.
	Alone bool `json:"alone,omitempty"`
}

// Confirm says, on the leader, whether an attempt still holds its lease, and
// renews it if so. It is read from the state as a majority has it now, so a
// leader that was deposed without knowing can't confirm what the next has given
// to another node.
func (l *leader) Confirm(ctx context.Context, claim Claim) (bool, error) {
	view, err := l.state.View(ctx)
	if err != nil {
		return false, err
	}
	if claim.Alone && holds(view, claim) {
		if err := l.outrun(ctx, view, claim.Ref); err != nil {
			return false, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.leading:
		return false, cluster.ErrNotLeader
	case l.losing[claim.Ref]:
		return false, fmt.Errorf("%s is just being decided about: ask again", claim.Ref)
	case !holds(view, claim):
		return false, nil
	}
	if worker := l.workers[claim.Node]; worker != nil && (worker.session == claim.Session || worker.session == "") {
		worker.session, worker.seen, worker.dead = claim.Session, l.now(), ""
	}
	return true, nil
}

// holds says whether the state has the attempt running at who claims it.
func holds(view cluster.View, claim Claim) bool {
	record, found := view.Record(claim.Ref.Job)
	if !found {
		return false
	}
	task := record.Task(claim.Ref.Task)
	if task == nil || task.State != job.TaskRunning {
		return false
	}
	attempt := task.Holder(claim.Ref.Attempt)
	return attempt != nil && attempt.Node == claim.Node && attempt.Session == claim.Session
}

var (
	// errFenced: the attempt lost its lease; another one may be running.
	errFenced = errors.New("this attempt no longer holds its lease")
	// errLeaseOver: the lease ended while it wasn't renewed.
	errLeaseOver = errors.New("the lease could not be renewed in time")
)

// whileHeld runs a change of what readers see, or a removal, for an attempt that
// holds its lease, and for no other. It asks the leader before, for as long as
// it takes to reach one, and ends change's ctx when no poll has renewed the
// lease since for its whole time; then it asks again and change is run anew. So
// a process that was stopped for a minute, or is cut off from the leader, writes
// nothing over the work of the attempt that took its place.
//
// It fails with errFenced, with change's own error, or with ctx's.
func (w *worker) whileHeld(ctx context.Context, ref job.Ref, change func(ctx context.Context) error) error {
	for {
		if err := w.confirm(ctx, Claim{Ref: ref}); err != nil {
			return err
		}
		err := w.underLease(ctx, change)
		if err == nil || !errors.Is(err, errLeaseOver) {
			return err
		}
		w.log.Warn("publishing waits for the leader", "job", ref.Job, "task", ref.Task, "attempt", ref.Attempt, "err", err)
	}
}

// holdAlone waits until a backup is the only attempt of its task, and fails with
// errFenced when the other was first, or with ctx's error.
func (w *worker) holdAlone(ctx context.Context, ref job.Ref) error {
	return w.confirm(ctx, Claim{Ref: ref, Alone: true})
}

// confirm waits until the leader has confirmed the lease of an attempt.
func (w *worker) confirm(ctx context.Context, claim Claim) error {
	claim.Node, claim.Session = w.node, w.session
	for {
		asked := w.now()
		held, err := w.leader.Confirm(ctx, claim)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && !held:
			return errFenced
		case err == nil:
			w.renew(asked)
			return nil
		}
		w.pause(ctx)
	}
}

// renew notes that the leader has heard from this worker, which asked it at a
// time.
func (w *worker) renew(asked time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if asked.After(w.renewed) {
		w.renewed = asked
	}
}

// underLease runs change until it ends, or the lease does.
func (w *worker) underLease(ctx context.Context, change func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			w.mu.Lock()
			left := LeaseTime - w.now().Sub(w.renewed)
			w.mu.Unlock()
			if left <= 0 {
				cancel(errLeaseOver)
				return
			}
			timer := time.NewTimer(left)
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
			}
		}
	}()
	err := change(ctx)
	over := errors.Is(context.Cause(ctx), errLeaseOver)
	cancel(nil)
	<-watched
	if err != nil && over {
		return fmt.Errorf("%w: %w", errLeaseOver, err)
	}
	return err
}
