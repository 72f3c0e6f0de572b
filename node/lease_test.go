package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"millrace/cluster"
	"millrace/job"
)

func TestOnlyTheHolderOfALeaseMayPublish(t *testing.T) {
	r := newRig(t)
	ref := r.poll("s1", nil).Start[0].Ref
	claim := Claim{Node: "a", Session: "s1", Ref: ref}
	check := func(when string, claim Claim, want bool) {
		t.Helper()
		if held, err := r.Confirm(t.Context(), claim); err != nil || held != want {
			t.Errorf("%s: held: %v, %v, want %v", when, held, err, want)
		}
	}
	check("its worker", claim, true)
	check("another node", Claim{Node: "b", Session: "s1", Ref: ref}, false)
	check("another session", Claim{Node: "a", Session: "s2", Ref: ref}, false)
	check("another attempt", Claim{Node: "a", Session: "s1", Ref: job.Ref{Job: ref.Job, Task: ref.Task, Attempt: 2}}, false)
	check("another job", Claim{Node: "a", Session: "s1", Ref: job.Ref{Job: "5KQfnXCg8Qi", Task: ref.Task, Attempt: 1}}, false)

	r.time = r.time.Add(LeaseTime - time.Second)
	check("near the lease's end", claim, true)
	r.time = r.time.Add(LeaseTime - time.Second)
	r.schedule()
	check("after it was renewed by that", claim, true)

	r.losing[ref] = true
	if held, err := r.Confirm(t.Context(), claim); err == nil {
		t.Errorf("while it is being lost: held: %v, want to be asked again", held)
	}
	r.propose(cluster.CancelJob{Org: "o", ID: ref.Job, At: r.time})
	delete(r.losing, ref)
	check("to be stopped", claim, false)
	r.end()
	if _, err := r.Confirm(t.Context(), claim); !errors.Is(err, cluster.ErrNotLeader) {
		t.Errorf("out of office: %v", err)
	}
}

// holder is a worker whose leader answers its claims as the test says.
func holder(confirm func() (bool, error)) *worker {
	w := newWorker(&scriptedLeader{confirm: func(Claim) (bool, error) { return confirm() }}, nil)
	return w
}

func TestPublishingWaitsForALeaderAndStopsWithTheLease(t *testing.T) {
	t.Run("held", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := holder(func() (bool, error) { return true, nil })
			if err := w.whileHeld(t.Context(), someRef, func(ctx context.Context) error { return ctx.Err() }); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("lost", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := holder(func() (bool, error) { return false, nil })
			err := w.whileHeld(t.Context(), someRef, func(context.Context) error {
				t.Error("it was changed")
				return nil
			})
			if !errors.Is(err, errFenced) {
				t.Errorf("it ends with %v", err)
			}
		})
	})
	t.Run("without contact", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := holder(func() (bool, error) { return false, cluster.ErrNoLeader })
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			err := w.whileHeld(ctx, someRef, func(context.Context) error {
				t.Error("it was changed")
				return nil
			})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("it ends with %v", err)
			}
		})
	})
	t.Run("cut off meanwhile, then lost", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			w := holder(func() (bool, error) { asked++; return asked == 1, nil })
			began := time.Now()
			err := w.whileHeld(t.Context(), someRef, func(ctx context.Context) error {
				<-ctx.Done() // a store that doesn't answer
				return ctx.Err()
			})
			if took := time.Since(began); !errors.Is(err, errFenced) || took != LeaseTime {
				t.Errorf("it ends with %v after %s, want fenced after %s", err, took, LeaseTime)
			}
		})
	})
	t.Run("cut off meanwhile, then confirmed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := holder(func() (bool, error) { return true, nil })
			tries := 0
			err := w.whileHeld(t.Context(), someRef, func(ctx context.Context) error {
				if tries++; tries == 2 {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			})
			if err != nil || tries != 2 {
				t.Errorf("it ends with %v after %d tries, want none and 2", err, tries)
			}
		})
	})
	t.Run("renewed by polls for as long as it takes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := holder(func() (bool, error) { return true, nil })
			err := w.whileHeld(t.Context(), someRef, func(ctx context.Context) error {
				for range 60 {
					select {
					case <-ctx.Done():
						return ctx.Err()
					case <-time.After(busyPoll):
					}
					w.renew(time.Now())
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	})
}

// claims answers claims by a function.
type claims struct {
	leaderClient
	answer func(Claim) (bool, error)
}

func (c claims) Confirm(_ context.Context, claim Claim) (bool, error) { return c.answer(claim) }

func TestABackupWaitsUntilItIsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		w := &worker{node: "b", session: "s", now: time.Now, leader: claims{answer: func(claim Claim) (bool, error) {
			if asked++; claim != (Claim{Node: "b", Session: "s", Ref: someRef, Alone: true}) {
				t.Errorf("it claims %+v", claim)
			}
			if asked < 3 {
				return false, errors.New("the other is being stopped: ask again")
			}
			return asked == 3, nil
		}}}
		if err := w.holdAlone(t.Context(), someRef); err != nil || asked != 3 {
			t.Errorf("it ends with %v, having asked %d times", err, asked)
		}
		if err := w.holdAlone(t.Context(), someRef); !errors.Is(err, errFenced) {
			t.Errorf("one that was outrun ends with %v", err)
		}
	})
}
