package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"millrace/job"
)

// Near a job's end one slow attempt holds all of it up: a disk that stalls, a card
// that throttles, a machine whose owner works on it. A second attempt of the same
// chunk, on a device that nothing else wants, then bounds what that costs, as the
// backup tasks of MapReduce do (Dean and Ghemawat 2004). As LATE does (Zaharia and
// others 2008) it is begun only where it is expected to end first, by the attempt's
// own progress and what the chunk takes elsewhere.
const (
	// slowTimes is how many times as long as expected an attempt must have run: what
	// pictures differ by stays below.
	slowTimes = 2
	// slowLeast is how many seconds it must have run at least: a second process, its
	// source and its start cost something too.
	slowLeast = 8.0
	// lastAttempts is how many attempts of a job may run for it to be near its end.
	lastAttempts = 8
)

// Progress tells how many frames an attempt has encoded so far.
func (e *Engine) Progress(ref job.Ref, frames int64) {
	if r := e.runs[ref]; r != nil && frames > r.done {
		r.done, r.moved = frames, e.clock
	}
}

// Backups says which slow attempts get a second one beside them, and where
// (Assignment.BackupOf). It is to be asked after [Engine.Decide]: a backup takes
// only room that nothing that waits could use, and on another node. An attempt gets
// no more than one. They count as running from then on; [Engine.End] ends them.
func (e *Engine) Backups() []Assignment {
	var slow []*run
	for _, r := range e.runs {
		if e.isSlow(r) {
			slow = append(slow, r)
		}
	}
	slices.SortFunc(slow, func(a, b *run) int {
		return cmp.Or(cmp.Compare(a.ref.Job, b.ref.Job), cmp.Compare(a.ref.Task, b.ref.Task), cmp.Compare(a.ref.Attempt, b.ref.Attempt))
	})
	var placed []Assignment
	for _, r := range slow {
		if w, d, threads := e.elsewhere(r); d != nil {
			placed = append(placed, e.backUp(r, w, d, threads))
		}
	}
	return placed
}

// Outrun ends an attempt whose backup was done first, after so long. How long it would
// have taken is not known, but it was longer than that: its device, and nothing else,
// is learned to be slower, by no more than slowTimes for each such attempt, so that
// what was a passing trouble is made up for by a few that go well.
func (e *Engine) Outrun(ref job.Ref, ran time.Duration) {
	r := e.free(ref)
	if r == nil || r.way.bucket == "" {
		return
	}
	if took := min(ran.Seconds(), slowTimes*r.expected); took > r.expected {
		r.device.costs.learn(r.way, took/r.profiled)
	}
}

// isSlow says whether a job waits for an attempt that takes much longer than
// expected. One that has a backup, or is one beside an attempt that still runs, has
// its second attempt already.
func (e *Engine) isSlow(r *run) bool {
	took := e.clock - r.started
	return took >= slowLeast && took > slowTimes*r.expected && !r.backed && r.pile.work.Kind == job.EncodeTask &&
		len(r.job.groups) == 0 && r.job.active <= lastAttempts && e.runs[r.backupOf()] == nil
}

// backupOf is the attempt that this one backs up.
func (r *run) backupOf() job.Ref { return job.Ref{Job: r.ref.Job, Task: r.ref.Task, Attempt: r.of} }

// left is how many seconds an attempt still takes, by its progress: what is left
// at the speed so far, and, since what stands still mostly goes on standing, as
// long again as it hasn't moved.
func (e *Engine) left(r *run) float64 {
	moved := max(r.moved, r.started)
	still := e.clock - moved
	if r.done == 0 || moved == r.started {
		return max(still, r.expected)
	}
	return float64(r.frames-min(r.done, r.frames))/float64(r.done)*(moved-r.started) + still
}

// elsewhere finds where a second attempt would end soonest, if that is before the
// first would; no device if nowhere.
func (e *Engine) elsewhere(r *run) (best *way, where *device, threads int) {
	soonest := e.left(r)
	elsewhere := func(d *device) bool {
		return d.host == r.device.host || avoidNodes.avoids(r.failedOn, d) || d.host.wanted()
	}
	for _, w := range e.pile(r.pile.work.boundTo(r.way.binding())).ways {
		d := w.class.tree.find(&w.need, elsewhere)
		if d == nil {
			continue
		}
		n := e.width(w, d, r.frames)
		if _, seconds := e.foresee(r.job, w, d, r.frames, w.taken(d, n)[Threads]); seconds < soonest {
			best, where, threads, soonest = w, d, n, seconds
		}
	}
	return best, where, threads
}

// wanted says whether anything waits that could use a host's room.
func (h *host) wanted() bool {
	return slices.ContainsFunc(h.devices, func(d *device) bool {
		return slices.ContainsFunc(d.class.ways, func(w *way) bool { return w.pile.tasks > 0 })
	})
}

// backUp begins a second attempt.
func (e *Engine) backUp(slow *run, w *way, d *device, threads int) Assignment {
	ref := slow.ref
	ref.Attempt++ // whoever has had no backup is the task's latest attempt
	why := fmt.Sprintf("it is a backup of attempt %d on %s, which is slow: it has taken %.0f s of the %.0f s that were expected, and needs about %.0f s more",
		slow.ref.Attempt, slow.device.host.node.ID, e.clock-slow.started, slow.expected, e.left(slow))
	r := e.begin(slow.job, slow.pile, w, d, ref, slow.frames, threads)
	r.of, r.failedOn, r.why = slow.ref.Attempt, slow.failedOn, choice{way: w, backup: why}
	slow.backed = true
	return Assignment{
		Job: ref.Job, Expected: time.Duration(r.expected * float64(time.Second)), Pace: r.pace(),
		Assignment: job.Assignment{
			Task: ref.Task, Attempt: ref.Attempt, BackupOf: slow.ref.Attempt, Node: d.host.node.ID, Session: d.host.node.Session,
			Device: d.spec.ID, Encoder: w.encoder, Headers: w.headers, Threads: threads,
		},
	}
}
