package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace/cluster"
	"millrace/job"
	"millrace/scheduler"
)

// Backups of slow attempts. The scheduler says which attempts get one (see
// scheduler.Engine.Backups), the state keeps both (see job.Task.Holders), and the
// leader sees to it that only one of them writes the end of it:
//
//   - The slow attempt writes its segments as they are done, as every attempt. A
//     backup keeps its own on its disk until it has encoded all.
//   - Then it asks the leader for the task alone. The slow one is fenced, told to
//     stop, and known to have stopped (or its lease is over) before the answer is
//     yes; only then the backup writes.
//   - Where the slow one reports first, the backup is told to stop; it wrote nothing.
const (
	// backupEvery is how often the leader looks for slow attempts: as often as
	// workers tell their progress.
	backupEvery = busyPoll
	// backupPause is how long it doesn't after a peer was found that knows no backups.
	backupPause = time.Minute
	// stopGrace is how long a fenced attempt may take to stop. One that doesn't,
	// as a process that waits for a dead disk, must not hold up its backup: should it
	// write all the same, package finds that and has the chunk made again.
	stopGrace = 3 * LeaseTime
)

// backups is how backup attempts did, and when to look for slow ones next.
type backups struct {
	next         time.Time
	started, won int
}

// wonBy counts a task that its backup finished.
func (l *leader) wonBy(backup bool) {
	if backup {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.backups.won++
	}
}

var (
	backupsDesc = prometheus.NewDesc("millrace_scheduler_backups_total",
		"Backup attempts that this peer started, as the leader, beside attempts that were much slower than expected.", nil, nil)
	backupsWonDesc = prometheus.NewDesc("millrace_scheduler_backups_won_total",
		"Of the backup attempts, as this peer saw it as the leader, those that finished before the attempt that they were started beside.", nil, nil)
)

// backupCounters collects how backups did while this peer led. They start at 0
// when it starts, as counters do.
type backupCounters struct{ leader *leader }

// Describe implements prometheus.Collector.
func (backupCounters) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- backupsDesc
	descriptions <- backupsWonDesc
}

// Collect implements prometheus.Collector.
func (c backupCounters) Collect(metrics chan<- prometheus.Metric) {
	c.leader.mu.Lock()
	did := c.leader.backups
	c.leader.mu.Unlock()
	metrics <- prometheus.MustNewConstMetric(backupsDesc, prometheus.CounterValue, float64(did.started))
	metrics <- prometheus.MustNewConstMetric(backupsWonDesc, prometheus.CounterValue, float64(did.won))
}

// isBackup says whether an attempt that holds its task is a backup.
func (l *leader) isBackup(ref job.Ref) bool {
	record, found := l.state.Stale().Record(ref.Job)
	if !found {
		return false
	}
	task := record.Task(ref.Task)
	if task == nil {
		return false
	}
	attempt := task.Holder(ref.Attempt)
	return attempt != nil && attempt.BackupOf != 0
}

// backUp starts backups of slow attempts. They are proposed by themselves: a
// cluster in the midst of an upgrade refuses them, and nothing else.
func (l *leader) backUp(ctx context.Context) error {
	placed := l.slow()
	started, err := l.start(ctx, placed)
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(err, cluster.ErrUpgrading) {
		l.backups.next = l.now().Add(backupPause)
		return nil
	}
	l.backups.started += len(started)
	return err
}

// slow asks the engine which attempts are slow, with what workers told of their
// progress.
func (l *leader) slow() []scheduler.Assignment {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.rack == nil || now.Before(l.backups.next) {
		return nil
	}
	l.backups.next = now.Add(backupEvery)
	for _, id := range slices.Sorted(maps.Keys(l.workers)) {
		for ref, running := range l.workers[id].frames {
			l.rack.engine.Progress(ref, running.Frames)
		}
	}
	return l.rack.backUp()
}

// backUp asks the engine for backups.
func (r *rack) backUp() []scheduler.Assignment {
	placed := r.engine.Backups()
	for _, a := range placed {
		r.jobs[a.Job].tasks[a.Task] = taskSeen{running: [job.MaxHolders]int{a.BackupOf, a.Attempt}}
	}
	return placed
}

// outrun makes sure that an attempt is the only one of its task: another that holds
// it is fenced, and must have been stopped. Its error says what is still waited for.
func (l *leader) outrun(ctx context.Context, view cluster.View, first job.Ref) error {
	record, _ := view.Record(first.Job)
	task := record.Task(first.Task)
	var others []job.Ref
	for attempt := range task.Holders() {
		if attempt.Number != first.Attempt {
			others = append(others, job.Ref{Job: first.Job, Task: first.Task, Attempt: attempt.Number})
		}
	}
	if len(others) > 0 {
		l.log.Info("a backup is done first", "job", first.Job, "task", first.Task, "attempt", first.Attempt)
		reason := fmt.Sprintf("attempt %d, its backup, was done first", first.Attempt)
		if _, err := l.state.Propose(ctx, cluster.LoseAttempts{Refs: others, Outcome: job.OutcomeStopped, Reason: reason, At: l.now()}); err != nil {
			return fmt.Errorf("stop what %s is a backup of: %w", first, err)
		}
		return fmt.Errorf("%s is just being stopped: ask again", others[0])
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for _, attempt := range task.Attempts {
		ref := job.Ref{Job: first.Job, Task: first.Task, Attempt: attempt.Number}
		if ref != first && l.mayWrite(ref, attempt, now) {
			return fmt.Errorf("%s is still being stopped on %s: ask again", ref, attempt.Node)
		}
	}
	return nil
}

// mayWrite says whether an attempt that is fenced may still be at work: it was
// among what its worker reported last, or the worker hasn't reported to this leader
// and its lease isn't over. The caller holds l.mu.
func (l *leader) mayWrite(ref job.Ref, attempt job.Attempt, now time.Time) bool {
	worker := l.workers[attempt.Node]
	switch {
	case now.Sub(attempt.Ended) > stopGrace:
		return false
	case worker == nil || worker.unheard:
		return (attempt.Outcome == job.OutcomeStopped || attempt.Outcome == job.OutcomeLost) && now.Sub(attempt.Ended) <= LeaseTime
	case worker.report.Session != attempt.Session || worker.dead != "" || now.Sub(worker.seen) > LeaseTime:
		return false
	}
	_, running := worker.frames[ref]
	return running || worker.sent[ref]
}
