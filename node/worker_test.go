package node

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace/job"
)

// scriptedLeader answers polls from a function and keeps what it was told. A
// poll with nothing to say waits as long as it may.
type scriptedLeader struct {
	mu      sync.Mutex
	reports []Report
	answer  func(Report) (Orders, error)
	confirm func(Claim) (bool, error)
}

func (l *scriptedLeader) Confirm(_ context.Context, claim Claim) (bool, error) {
	return l.confirm(claim)
}

func (l *scriptedLeader) Poll(ctx context.Context, report Report) (Orders, error) {
	l.mu.Lock()
	l.reports = append(l.reports, report)
	orders, err := l.answer(report)
	l.mu.Unlock()
	if err != nil || len(orders.Start)+len(orders.Stop)+len(orders.Acknowledged) > 0 {
		return orders, err
	}
	select {
	case <-ctx.Done():
		return Orders{}, ctx.Err()
	case <-time.After(report.Wait):
		return Orders{}, nil
	}
}

// ended lists the attempts whose end the leader was told of, with repeats.
func (l *scriptedLeader) ended() []Ended {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Ended
	for _, report := range l.reports {
		all = append(all, report.Ended...)
	}
	return all
}

// executorFunc runs attempts as the test says.
type executorFunc func(ctx context.Context, order Order) Ended

func (f executorFunc) execute(ctx context.Context, order Order, _ func(int64, float64)) Ended {
	return f(ctx, order)
}

func newWorker(leader leaderClient, executor executorFunc) *worker {
	return &worker{
		node: "a", session: "s", leader: leader, executor: executor,
		log: slog.New(slog.DiscardHandler), now: time.Now, drainTimeout: time.Minute,
	}
}

// orderOnce orders one attempt until a report shows that it has arrived, and
// acknowledges every end.
func orderOnce(ref job.Ref) func(Report) (Orders, error) {
	return func(report Report) (orders Orders, _ error) {
		known := slices.ContainsFunc(report.Running, func(r Running) bool { return r.Ref == ref })
		for _, e := range report.Ended {
			orders.Acknowledged = append(orders.Acknowledged, e.Ref)
			known = true
		}
		if !known && !report.Draining {
			orders.Start = []Order{{Ref: ref}}
		}
		return orders, nil
	}
}

var someRef = job.Ref{Job: jobID, Task: "encode-00000", Attempt: 1}

func TestAnEndIsReportedUntilItIsAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs, told := 0, 0
		leader := &scriptedLeader{}
		leader.answer = func(report Report) (orders Orders, err error) {
			switch {
			case len(report.Ended) == 0 && len(report.Running) == 0 && told == 0:
				return Orders{Start: []Order{{Ref: someRef}}}, nil
			case len(report.Ended) > 0:
				if told++; told < 4 {
					return Orders{}, errors.New("the leader is gone")
				}
				return Orders{Acknowledged: []job.Ref{someRef}}, nil
			}
			return Orders{}, nil
		}
		w := newWorker(leader, func(context.Context, Order) Ended { runs++; return Ended{Result: &job.Result{}} })
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := w.run(ctx); err != nil {
			t.Fatal(err)
		}
		if runs != 1 || told != 4 {
			t.Errorf("the attempt ran %d times and its end was told %d times, want 1 and 4", runs, told)
		}
	})
}

func TestAnOrderToStopEndsTheAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ordered := orderOnce(someRef)
		leader := &scriptedLeader{}
		leader.answer = func(report Report) (Orders, error) {
			if len(report.Running) > 0 {
				return Orders{Stop: []job.Ref{someRef}}, nil
			}
			if len(leader.reports) > 3 {
				return Orders{}, nil
			}
			return ordered(report)
		}
		w := newWorker(leader, func(ctx context.Context, _ Order) Ended {
			<-ctx.Done()
			return Ended{Stopped: true}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := w.run(ctx); err != nil {
			t.Fatal(err)
		}
		if all := leader.ended(); len(all) == 0 || !all[0].Stopped {
			t.Errorf("the leader was told %+v, want that the attempt was stopped", all)
		}
	})
}

func TestDrainingLetsWhatRunsFinish(t *testing.T) {
	for name, test := range map[string]struct {
		takes   time.Duration
		stopped bool
	}{
		"within the drain time":            {30 * time.Second, false},
		"and gives back what takes longer": {time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				leader := &scriptedLeader{answer: orderOnce(someRef)}
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				w := newWorker(leader, func(ctx context.Context, _ Order) Ended {
					stop() // SIGTERM comes while it runs
					select {
					case <-ctx.Done():
						return Ended{Stopped: true}
					case <-time.After(test.takes):
						return Ended{Result: &job.Result{}}
					}
				})
				if err := w.run(ctx); err != nil {
					t.Fatal(err)
				}
				all := leader.ended()
				if len(all) != 1 || all[0].Stopped != test.stopped || all[0].Ref != someRef {
					t.Errorf("the leader was told %+v, want one end, stopped: %v", all, test.stopped)
				}
				if last := leader.reports[len(leader.reports)-1]; !last.Draining {
					t.Errorf("the last report doesn't say that the node drains")
				}
			})
		})
	}
}
