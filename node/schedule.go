package node

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"millrace/cluster"
	"millrace/job"
	"millrace/scheduler"
)

// step makes one round of decisions from the state and says when the next is
// due at the latest.
func (l *leader) step(ctx context.Context, view cluster.View) (time.Duration, error) {
	lost, next := l.lostAttempts(view)
	for reason, refs := range lost {
		l.log.Warn("attempts lost", "attempts", refs, "err", reason)
		if _, err := l.state.Propose(ctx, cluster.LoseAttempts{Refs: refs, Outcome: job.OutcomeLost, Reason: reason, At: l.now()}); err != nil {
			return next, fmt.Errorf("declare attempts lost: %w", err)
		}
	}
	if len(lost) > 0 {
		view = l.state.Stale()
	}
	placed, due := l.place(view)
	next = min(next, due)
	if len(placed) == 0 {
		return next, nil
	}
	command := cluster.StartAttempts{At: l.now()}
	for _, a := range placed {
		command.Assignments = append(command.Assignments, cluster.JobAssignment{Job: a.Job, Assignment: a.Assignment})
		l.log.Info("attempt starts", "job", a.Job, "task", a.Task, "attempt", a.Attempt, "node", a.Node, "device", a.Device, "threads", a.Threads)
	}
	answer, err := l.state.Propose(ctx, command)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.rack = nil // whether they started isn't known: the state will say
		return next, fmt.Errorf("start attempts: %w", err)
	}
	if started, known := answer.([]job.Ref); known && l.rack != nil {
		l.rack.refused(placed, started)
	}
	return next, nil
}

// place brings the engine up to date and lets it decide.
func (l *leader) place(view cluster.View) ([]scheduler.Assignment, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rack == nil {
		l.rack = newRack(l.now())
	}
	next := l.rack.follow(view, l)
	return l.rack.decide(), next
}

// idleStep is how often the leader looks at the state when nothing happens.
const idleStep = 30 * time.Second

// lostAttempts finds the attempts whose worker is silent for longer than the
// lease or has restarted, by the reason why.
func (l *leader) lostAttempts(view cluster.View) (map[string][]job.Ref, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, next := l.now(), idleStep
	lost := make(map[string][]job.Ref)
	for record := range view.Unsettled() {
		for _, task := range record.Tasks {
			if !task.Held() {
				continue
			}
			last := task.Last()
			ref := job.Ref{Job: record.Job.ID, Task: task.ID, Attempt: last.Number}
			worker := l.workers[last.Node]
			switch {
			case worker == nil:
				lost["the node is not in the cluster"] = append(lost["the node is not in the cluster"], ref)
			case worker.report.Session != last.Session:
				lost["the node restarted"] = append(lost["the node restarted"], ref)
			case now.Sub(worker.seen) > LeaseTime:
				reason := fmt.Sprintf("the node was silent for more than %s", LeaseTime)
				lost[reason] = append(lost[reason], ref)
			case task.State == job.TaskStopping && worker.gone(ref):
				lost["the node had no such attempt"] = append(lost["the node had no such attempt"], ref)
			default:
				next = min(next, LeaseTime-now.Sub(worker.seen)+time.Millisecond)
			}
		}
	}
	return lost, next
}

// gone says whether an attempt that is to stop was never begun: the worker was
// not told to start it and doesn't report it.
func (w *workerSeen) gone(ref job.Ref) bool {
	_, running := w.frames[ref]
	ended := slices.ContainsFunc(w.report.Ended, func(e Ended) bool { return e.Ref == ref })
	return !running && !ended && !w.sent[ref]
}

// forget drops what is remembered of jobs that are settled.
func (l *leader) forget(unsettled map[job.ID]bool) {
	maps.DeleteFunc(l.retryAt, func(key taskKey, _ time.Time) bool { return !unsettled[key.job] })
	maps.DeleteFunc(l.shown, func(key runKey, _ float64) bool { return !unsettled[key.job] })
}

// audioPixels is what encoding a frame's worth of AAC costs, as pixels of
// x264 veryfast: 40 times real time on one core against 1080p30 at once.
const audioPixels = 1920 * 1080 / 40

// planCommand cuts a plan's timeline for the rack as it is. A job that is
// planned again keeps its cuts where the timeline is the same, so that finished
// chunks can be kept.
func (l *leader) planCommand(ref job.Ref, plan job.Plan, at time.Time) cluster.Command {
	record, _ := l.state.Stale().Record(ref.Job)
	if record.Job != nil && record.Job.Plan != nil && record.Job.Plan.Timeline == plan.Timeline {
		plan.Chunks = record.Job.Plan.Chunks
	} else {
		chunks, err := plan.Timeline.Cut(scheduler.Cut(plan.Timeline, l.slots(), plan.Source.Leads))
		if err != nil { // a timeline that Inspect made can be cut; if not, it is a bug
			return cluster.FailTask{Ref: ref, Failure: *job.Fail(job.InternalError, "cut the timeline: %v", err), At: at}
		}
		plan.Chunks = chunks
	}
	var spec job.Spec
	if record.Job != nil {
		spec = record.Job.Spec
	}
	return cluster.PlanJob{Ref: ref, Plan: plan, Tasks: job.PlanTasks(ref.Job, spec, plan), At: at}
}

// slots is how many chunks the rack can encode at once.
func (l *leader) slots() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	slots := 0
	for _, worker := range l.workers {
		if worker.report.Draining {
			continue
		}
		for _, profile := range worker.report.Profiles {
			slots += max(profile.Room.Threads, profile.Room.Sessions)
		}
	}
	return max(1, slots)
}
