package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"millrace/cluster"
	"millrace/job"
)

// LeaseTime is how long a worker may be silent before its attempts are taken
// for lost. Workers poll every second while they work.
const LeaseTime = 10 * time.Second

// state is the agreed state as the leader uses it.
type state interface {
	Propose(ctx context.Context, command cluster.Command) (any, error)
	View(ctx context.Context) (cluster.View, error)
	Stale() cluster.View
	Understands(command cluster.Command) bool
}

// leader gives work to workers while its peer leads. Everything it keeps in
// memory can be lost: it comes back with the workers' next polls.
type leader struct {
	state state
	log   *slog.Logger
	now   func() time.Time // with a monotonic reading

	mu      sync.Mutex
	leading bool
	workers map[string]*workerSeen // by node ID
	// awake is when this process was surely running last; zero while nobody
	// keeps it (see vigil).
	awake time.Time
	// losing are the attempts that are just being declared lost.
	losing map[job.Ref]bool
	// encoderMissing is since when no open node offers an encoder, or its headers,
	// that a job is bound to, with the labels that the job requires.
	encoderMissing map[made]time.Time
	// retryAt is when a task that failed may be tried again.
	retryAt map[taskKey]time.Time
	// shown is the progress that was told last: it never goes back, though
	// work may have to be done again.
	shown map[job.ID]shown
	// unmet is the jobs that require what no open node has.
	unmet unmet
	// backups is how backup attempts did.
	backups backups
	// survey is what of the state was looked at last.
	survey survey
	// rack is the scheduler's engine, nil until it is needed.
	rack *rack
	// kick wakes the scheduling loop; notice wakes the polls that wait.
	kick   chan struct{}
	notice chan struct{}
}

type taskKey struct {
	job  job.ID
	task job.TaskID
}

// shown is the progress that was told of a job's run.
type shown struct {
	run     int
	percent float64
}

func newLeader(state state, log *slog.Logger, now func() time.Time) *leader {
	return &leader{
		state: state, log: log, now: now,
		workers: make(map[string]*workerSeen), retryAt: make(map[taskKey]time.Time), shown: make(map[job.ID]shown),
		kick: make(chan struct{}, 1), notice: make(chan struct{}),
	}
}

// lead schedules until ctx ends. It is called anew for each term.
func (l *leader) lead(ctx context.Context) error {
	l.begin()
	defer l.end()
	for {
		view := l.state.Stale()
		changed := view.Changed()
		next, err := l.step(ctx, view)
		if err != nil && ctx.Err() == nil {
			// The proposals that failed are made again from the state at the next step.
			l.log.Warn("scheduling step", "err", err)
			next = min(next, time.Second)
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-changed:
		case <-l.kick:
		case <-timer.C:
		}
		timer.Stop()
		l.wakePolls()
	}
}

func (l *leader) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leading = true
	clear(l.retryAt)
	clear(l.workers)
	l.rack, l.survey = nil, survey{}
	l.losing = make(map[job.Ref]bool)
	l.encoderMissing, l.unmet = nil, unmet{}
	l.survey.look(l.state.Stale())
	maps.DeleteFunc(l.shown, func(id job.ID, _ shown) bool { return l.survey.byID[id] == nil })
	// Whoever holds attempts has a whole lease to report.
	for node := range l.survey.held {
		l.workers[node] = unheard(node, l.now())
	}
}

func (l *leader) end() {
	l.mu.Lock()
	l.leading, l.awake = false, time.Time{}
	l.rack, l.survey = nil, survey{} // they would keep the state of now for as long as another leads
	l.mu.Unlock()
	l.wakePolls()
}

func (l *leader) wakeLoop() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

func (l *leader) wakePolls() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.notice)
	l.notice = make(chan struct{})
}

// Poll takes a worker's report and answers with orders, at once if there are
// any, else when there are or after report.Wait.
func (l *leader) Poll(ctx context.Context, report Report) (Orders, error) {
	worker, err := l.note(report)
	if err != nil {
		return Orders{}, err
	}
	defer func() { l.polled(worker, ctx.Err() != nil) }()
	var orders Orders
	for _, ended := range report.Ended {
		err := l.take(ctx, ended)
		switch {
		case err == nil:
			orders.Acknowledged = append(orders.Acknowledged, ended.Ref)
		case ctx.Err() != nil:
			return Orders{}, ctx.Err()
		default:
			l.log.Warn("taking a report", "job", ended.Ref.Job, "task", ended.Ref.Task, "attempt", ended.Ref.Attempt, "err", err)
		}
	}
	l.wakeLoop()
	deadline := time.NewTimer(report.Wait)
	defer deadline.Stop()
	for {
		l.mu.Lock()
		notice, leading := l.notice, l.leading
		l.mu.Unlock()
		if !leading {
			return Orders{}, cluster.ErrNotLeader
		}
		orders.Start, orders.Stop = l.ordersFor(report)
		if len(orders.Start)+len(orders.Stop)+len(orders.Acknowledged) > 0 {
			return orders, nil
		}
		select {
		case <-ctx.Done():
			return orders, ctx.Err()
		case <-deadline.C:
			return orders, nil
		case <-notice:
		}
	}
}

// note renews the worker's leases.
func (l *leader) note(report Report) (*workerSeen, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.leading {
		return nil, cluster.ErrNotLeader
	}
	frames := make(map[job.Ref]Running, len(report.Running))
	for _, running := range report.Running {
		frames[running.Ref] = running
	}
	if before := l.workers[report.Node]; before != nil {
		for ref, running := range frames {
			if running.Frames != before.frames[ref].Frames {
				l.survey.moved(ref.Job)
			}
		}
	}
	worker := &workerSeen{report: report, session: report.Session, seen: l.now(), frames: frames, sent: make(map[job.Ref]bool)}
	l.workers[report.Node] = worker
	return worker, nil
}

// polled notes how a worker's poll came to its end.
func (l *leader) polled(worker *workerSeen, broken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	worker.answered, worker.broken = l.now(), broken
}

// take puts the end of an attempt into the state. A fenced report is taken
// too: there is nothing to do about it.
func (l *leader) take(ctx context.Context, ended Ended) error {
	command := l.commandFor(ended)
	backup := l.isBackup(ended.Ref)
	_, err := l.state.Propose(ctx, command)
	if errors.Is(err, job.ErrFenced) || errors.Is(err, cluster.ErrNotFound) {
		l.log.Info("report superseded", "job", ended.Ref.Job, "task", ended.Ref.Task, "attempt", ended.Ref.Attempt)
		return nil
	}
	if err != nil {
		return fmt.Errorf("record the end of %s: %w", ended.Ref, err)
	}
	log := l.log.With("job", ended.Ref.Job, "task", ended.Ref.Task, "attempt", ended.Ref.Attempt)
	switch {
	case ended.Failure != nil:
		log.Warn("attempt failed", "code", ended.Failure.Code, "err", ended.Failure.Message)
		l.backOff(ended)
	case ended.Stopped:
		log.Info("attempt stopped")
	default:
		log.Info("attempt finished", "backup", backup)
		l.wonBy(backup)
	}
	return nil
}

func (l *leader) commandFor(ended Ended) cluster.Command {
	at := l.now()
	switch {
	case ended.Failure != nil:
		return cluster.FailTask{Ref: ended.Ref, Failure: *ended.Failure, LastWords: ended.LastWords, Redo: ended.Redo, EnergyJoules: ended.EnergyJoules, At: at}
	case ended.Result == nil:
		return cluster.LoseAttempts{Refs: []job.Ref{ended.Ref}, Outcome: job.OutcomeStopped, Reason: "the node gave the task back", At: at}
	case ended.Result.Plan != nil:
		return l.planCommand(ended.Ref, *ended.Result.Plan, at)
	}
	return cluster.FinishTask{Ref: ended.Ref, Result: *ended.Result, EnergyJoules: ended.EnergyJoules, At: at}
}

// Pauses before a failed task is tried again. A crash of ffmpeg is often a
// passing lack of memory; a store that is down is down for longer.
const (
	firstPause = time.Second
	storePause = 5 * time.Second
)

func (l *leader) backOff(ended Ended) {
	pause := firstPause
	if ended.Failure.Code.Info().Blame == job.BlameStore {
		pause = storePause
	}
	if len(ended.Redo) > 0 {
		pause = 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retryAt[taskKey{ended.Ref.Job, ended.Ref.Task}] = l.now().Add(pause)
}

// ordersFor compares the state with what a worker says that it does. The lock
// is held over both the look at the state and the note of what is sent, so that
// the scheduling loop never takes an attempt for unsent that is on its way.
func (l *leader) ordersFor(report Report) (start []Order, stop []job.Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.leading {
		return nil, nil
	}
	l.survey.look(l.state.Stale())
	start, stop = compare(l.survey.heldBy(report.Node), report)
	if worker := l.workers[report.Node]; worker != nil && worker.report.Session == report.Session {
		for _, order := range start {
			worker.sent[order.Ref] = true
		}
	}
	return start, stop
}

// compare does so for the jobs of which the worker holds attempts.
func compare(held []*surveyed, report Report) (start []Order, stop []job.Ref) {
	known := make(map[job.Ref]bool)
	for _, running := range report.Running {
		known[running.Ref] = true
	}
	ended := make(map[job.Ref]bool)
	for _, e := range report.Ended {
		ended[e.Ref] = true
	}
	wanted := make(map[job.Ref]bool)
	for _, j := range held {
		for _, h := range j.holders {
			if h.task.State != job.TaskRunning || h.attempt.Node != report.Node || h.attempt.Session != report.Session {
				continue
			}
			wanted[h.ref] = true
			if !known[h.ref] && !ended[h.ref] {
				start = append(start, orderFor(j.record, h.task, h.attempt))
			}
		}
	}
	for _, running := range report.Running {
		if !wanted[running.Ref] {
			stop = append(stop, running.Ref)
		}
	}
	return start, stop
}

func orderFor(record job.Record, task *job.Task, attempt *job.Attempt) Order {
	order := Order{
		Ref: job.Ref{Job: record.Job.ID, Task: task.ID, Attempt: attempt.Number}, BackupOf: attempt.BackupOf,
		Org: record.Job.Org, Spec: record.Job.Spec, Plan: record.Job.Plan,
		Task: *task, Device: attempt.Device, Encoder: attempt.Encoder, Threads: attempt.Threads,
	}
	order.Task.Attempts = nil
	if task.Kind == job.PackageTask {
		for _, other := range record.Tasks {
			if other.State == job.TaskFinished && other.Result != nil {
				order.Finished = append(order.Finished, other)
			}
		}
	}
	return order
}
