package node

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"millrace/hwaccel"
	"millrace/job"
)

// How long a poll waits for orders: a busy worker brings its progress along, an
// idle one only renews its lease.
const (
	busyPoll = time.Second
	idlePoll = LeaseTime / 3
	// A poll that found no leader is tried again after pollRetry at least and
	// twice and a half of that at most, so that workers don't come all at once.
	pollRetry = 100 * time.Millisecond
)

// leaderClient is the way to whichever peer leads.
type leaderClient interface {
	Poll(ctx context.Context, report Report) (Orders, error)
	// Confirm asks whether an attempt still holds its lease.
	Confirm(ctx context.Context, claim Claim) (held bool, err error)
}

// executor runs one attempt to its end; how it ended is the answer. It returns
// soon after ctx ends.
type executor interface {
	execute(ctx context.Context, order Order, progress func(frames int64, framesPerSecond float64)) Ended
}

// worker runs what the leader orders.
type worker struct {
	node, session string
	profiles      []hwaccel.Profile
	leader        leaderClient
	executor      executor
	log           *slog.Logger
	now           func() time.Time // with a monotonic reading
	drainTimeout  time.Duration
	marks

	alone bool // the latest poll found no leader; run's own

	mu      sync.Mutex
	running map[job.Ref]*attempt
	ended   []Ended
	// renewed is when the leader was asked that last renewed the leases.
	renewed time.Time
	// wake ends the poll under way, so that the leader hears of news at once.
	wake chan struct{}
}

// attempt is a run under way.
type attempt struct {
	stop    context.CancelFunc
	running Running
}

// errDrained is the cause of the end of attempts when the drain time is over.
var errDrained = errors.New("the node is stopping")

// run polls and works until ctx ends, then drains: what runs may finish within
// the drain time, the rest is stopped and given back.
func (w *worker) run(ctx context.Context) error {
	w.mu.Lock() // devices may be set already
	w.running = make(map[job.Ref]*attempt)
	w.wake = make(chan struct{}, 1)
	w.mu.Unlock()
	var attempts sync.WaitGroup
	// Attempts outlive ctx by the drain time.
	working, stopWorking := context.WithCancelCause(context.WithoutCancel(ctx))
	defer attempts.Wait()
	defer stopWorking(errDrained)
	for ctx.Err() == nil {
		w.poll(ctx, working, &attempts, false)
	}
	w.drain(working, stopWorking, &attempts)
	return nil
}

// drain lets what runs come to its end and reports it, for the drain time.
func (w *worker) drain(working context.Context, stopWorking context.CancelCauseFunc, attempts *sync.WaitGroup) {
	deadline := time.AfterFunc(w.drainTimeout, func() { stopWorking(errDrained) })
	defer deadline.Stop()
	if n := w.busy(); n > 0 {
		w.log.Info("draining", "attempts", n, "timeout", w.drainTimeout)
	}
	// The last reports need a leader; without one they are made again from the
	// state after the restart.
	reporting, cancel := context.WithTimeout(context.WithoutCancel(working), w.drainTimeout+reportTimeout)
	defer cancel()
	for w.busy() > 0 && reporting.Err() == nil {
		w.poll(reporting, working, attempts, true)
	}
}

// reportTimeout is for telling the leader of what was stopped at the end of
// the drain time.
const reportTimeout = 5 * time.Second

// busy counts the attempts that run or that the leader hasn't acknowledged.
func (w *worker) busy() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.running) + len(w.ended)
}

// poll reports, waits for orders, and follows them. Attempts run under working.
func (w *worker) poll(ctx, working context.Context, attempts *sync.WaitGroup, draining bool) {
	report := w.report(draining)
	polling, cancel := context.WithCancel(ctx)
	defer cancel()
	var waking sync.WaitGroup
	waking.Go(func() {
		select {
		case <-w.wake:
			cancel()
		case <-polling.Done():
		}
	})
	asked := w.now()
	orders, err := w.leader.Poll(polling, report)
	interrupted := polling.Err() != nil && ctx.Err() == nil
	cancel()
	waking.Wait()
	if err != nil {
		if !interrupted && ctx.Err() == nil {
			if !w.alone {
				w.log.Info("no contact with a leader; what runs goes on", "err", err)
			}
			w.alone = true
			w.pause(ctx)
		}
		return
	}
	if w.alone {
		w.log.Info("in contact with a leader again")
	}
	w.alone = false
	w.renew(asked)
	w.follow(working, orders, attempts)
}

// pause waits before a leader is looked for again.
func (w *worker) pause(ctx context.Context) {
	timer := time.NewTimer(pollRetry + rand.N(pollRetry*3/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (w *worker) report(draining bool) Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	report := Report{
		Node: w.node, Session: w.session, Draining: draining, Profiles: w.profiles,
		Labels: w.labels, Taints: w.taints, Closed: w.hours.Closed(w.now()),
		Ended: slices.Clone(w.ended), Wait: idlePoll,
	}
	for _, a := range w.running {
		report.Running = append(report.Running, a.running)
	}
	if len(report.Running) > 0 {
		report.Wait = busyPoll
	}
	return report
}

func (w *worker) follow(working context.Context, orders Orders, attempts *sync.WaitGroup) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = slices.DeleteFunc(w.ended, func(e Ended) bool { return slices.Contains(orders.Acknowledged, e.Ref) })
	for _, ref := range orders.Stop {
		if a := w.running[ref]; a != nil {
			a.stop()
		}
	}
	for _, order := range orders.Start {
		if w.running[order.Ref] != nil || slices.ContainsFunc(w.ended, func(e Ended) bool { return e.Ref == order.Ref }) {
			continue
		}
		running, stop := context.WithCancel(working)
		a := &attempt{stop: stop, running: Running{Ref: order.Ref}}
		w.running[order.Ref] = a
		attempts.Go(func() {
			defer stop()
			w.attempt(running, order, a)
		})
	}
}

// attempt runs one attempt and queues its end for the next report.
func (w *worker) attempt(ctx context.Context, order Order, a *attempt) {
	ended := w.executor.execute(ctx, order, func(frames int64, framesPerSecond float64) {
		w.mu.Lock()
		defer w.mu.Unlock()
		a.running.Frames, a.running.FramesPerSecond = frames, framesPerSecond
	})
	ended.Ref = order.Ref
	w.mu.Lock()
	delete(w.running, order.Ref)
	w.ended = append(w.ended, ended)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
