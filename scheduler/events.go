package scheduler

import (
	"fmt"
	"math"
	"slices"
	"time"

	"millrace/job"
)

// SetOrg takes note of an organisation's rights. One that was never set has a
// weight of 1 and no quota.
func (e *Engine) SetOrg(rights Org) {
	o := e.org(rights.ID)
	if o.waiting > 0 {
		e.weights -= o.weight()
	}
	o.Org = rights
	if o.waiting > 0 {
		e.weights += o.weight()
	}
	e.admit(o)
}

func (e *Engine) org(id string) *org {
	o := e.orgs[id]
	if o == nil {
		o = &org{Org: Org{ID: id}}
		o.held = heap[*queued]{
			less: func(a, b *queued) bool { return a.before(b) },
			at:   func(q *queued) *int { return &q.place },
		}
		e.orgs[id] = o
	}
	return o
}

// SetJob adds a job, or takes note of how it changed. A job's order among the
// others changes with its priority, its deadline, and once its frames are known.
func (e *Engine) SetJob(j Job) {
	q := e.jobs[j.ID]
	if q == nil {
		q = &queued{Job: j, org: e.org(j.Org), place: -1, bound: make(map[string]binding)}
		q.due = e.dueAt(q, 0)
		e.jobs[j.ID] = q
		q.org.held.push(q)
	}
	if q.Job = j; j.Frames > 0 && !q.met {
		q.met = true
		e.meet(q)
	}
	e.redue(q)
	if j.Started && !q.admitted {
		q.org.held.remove(q)
		e.letIn(q)
	}
	e.admit(q.org)
}

// redue finds anew when a job is due, and moves it where that says.
func (e *Engine) redue(q *queued) {
	q.due = e.dueAt(q, e.alone(q))
	q.org.held.fix(q)
	for _, g := range q.groups {
		g.lane.jobs.fix(g)
	}
}

// alone is about how long a job takes with all of the rack to itself.
func (e *Engine) alone(q *queued) float64 {
	frames := q.Frames
	if frames <= 0 {
		frames = unknownFrames
	}
	longest := 0.0
	for _, g := range q.groups {
		if p := g.lane.pile; p.work.Kind == job.EncodeTask {
			if perSecond := e.rate(p); perSecond > 0 {
				longest = max(longest, float64(frames)/perSecond)
			}
		}
	}
	if longest == 0 {
		longest = float64(frames) * typicalSeconds / float64(max(1, e.threads))
	}
	return longest
}

// typicalSeconds is a frame of a ladder from 1080p on one thread, for a job of
// which nothing is known: 11 frames a second were measured (docs/benchmarks.md).
const typicalSeconds = 1.0 / 11

// admit lets in the jobs that are due first, as far as the quota goes.
func (e *Engine) admit(o *org) {
	for o.held.len() > 0 && o.holds(e) == "" {
		q := o.held.items[0]
		o.held.remove(q)
		e.letIn(q)
	}
}

// holds says why an organisation's jobs that haven't started don't start.
func (o *org) holds(e *Engine) string {
	switch {
	case o.Closed != "":
		return o.Closed
	case o.Running > 0 && o.admitted >= o.Running:
		return fmt.Sprintf("its organisation's quota is %d jobs at once, and %d run", o.Running, o.admitted)
	case o.ahead >= e.aheadLimit():
		return fmt.Sprintf("%d jobs of its organisation are ahead of it", o.ahead)
	}
	return ""
}

// aheadLimit is how many of an organisation's jobs may be planned before they begin.
func (e *Engine) aheadLimit() int { return max(planAhead, e.threads/threadsPerAhead) }

func (e *Engine) letIn(q *queued) {
	q.admitted = true
	q.org.admitted++
	q.ahead = true
	q.org.ahead++
	for _, g := range q.groups {
		frames := int64(0)
		for i := range g.tasks {
			frames += g.tasks[i].frames
		}
		e.count(g, len(g.tasks), frames)
	}
}

// notAhead stops counting a job as one that is planned and hasn't begun.
func (e *Engine) notAhead(q *queued) {
	if q.ahead {
		q.ahead = false
		q.org.ahead--
		e.admit(q.org)
	}
}

// unblock stops counting the jobs that no open device can do: they mustn't hold
// back others.
func (e *Engine) unblock() {
	for _, o := range e.orgs {
		for _, l := range o.lanes {
			if l.tasks == 0 || l.pile.work.Kind != job.EncodeTask || l.pile.canStart() {
				continue
			}
			for _, g := range l.jobs.items {
				e.notAhead(g.job)
			}
		}
	}
}

// canStart says whether any open device can do a work.
func (p *pile) canStart() bool {
	return slices.ContainsFunc(p.ways, func(w *way) bool { return w.class.devices > 0 })
}

// RemoveJob forgets a job that has ended, with its waiting tasks. Attempts that
// run keep their room until they are ended.
func (e *Engine) RemoveJob(id job.ID) {
	q := e.jobs[id]
	if q == nil {
		return
	}
	for len(q.groups) > 0 {
		e.dropTask(q.groups[0], len(q.groups[0].tasks)-1)
	}
	delete(e.jobs, id)
	q.org.held.remove(q)
	e.notAhead(q)
	if q.admitted {
		q.org.admitted--
		e.admit(q.org)
	}
}

// Queue adds a waiting task of a job that was set. It must not be in the queue.
func (e *Engine) Queue(t Task) {
	q := e.jobs[t.Job]
	if q == nil {
		return
	}
	work := t.Work
	if made, bound := q.bound[work.Ladder]; bound && work.Kind == job.EncodeTask {
		work = work.boundTo(made)
	}
	groups := len(q.groups)
	e.push(q, e.pile(work), waiting{task: t.Task, frames: max(1, t.Frames), attempt: int32(t.Attempt), failedOn: t.FailedOn})
	if len(q.groups) > groups {
		e.redue(q)
	}
	if p := e.byWork[work]; work.Kind == job.EncodeTask && !p.canStart() {
		e.notAhead(q)
	}
}

// Withdraw takes a waiting task out of the queue, and says whether it was in it.
func (e *Engine) Withdraw(id job.ID, task job.TaskID) bool {
	q := e.jobs[id]
	if q == nil {
		return false
	}
	for _, g := range q.groups {
		for i := range g.tasks {
			if g.tasks[i].task == task {
				e.dropTask(g, i)
				return true
			}
		}
	}
	return false
}

// Run is an attempt that was under way before the engine was made.
type Run struct {
	Ref          job.Ref
	Work         Work
	Frames       int64
	Node, Device string
	Encoder      string
	Headers      string
	Threads      int
	Started      time.Time
	// FailedOn is where the task failed.
	FailedOn []Place
	// BackupOf is the attempt that it is a backup of, 0 if it is none; BackedUp says
	// that it has had one itself.
	BackupOf int
	BackedUp bool
}

// Adopt counts the room of an attempt that runs, and says whether it could: the
// node and the device must be known.
func (e *Engine) Adopt(r Run) bool {
	h := e.nodes[r.Node]
	q := e.jobs[r.Ref.Job]
	if h == nil || h.gone || q == nil || e.runs[r.Ref] != nil {
		return false
	}
	i := slices.IndexFunc(h.devices, func(d *device) bool { return d.spec.ID == r.Device })
	if i < 0 {
		return false
	}
	d := h.devices[i]
	work := r.Work
	if r.Encoder != "" && work.Kind == job.EncodeTask {
		work = work.boundTo(binding{r.Encoder, r.Headers})
	}
	p, w := e.pile(work), &way{class: d.class, encoder: r.Encoder, headers: r.Headers, learned: 1, need: Room{Threads: Thread, Spare: Thread}}
	for _, known := range p.ways {
		if known.class == d.class {
			w = known
			break
		}
	}
	adopted := e.begin(q, p, w, d, r.Ref, max(1, r.Frames), max(1, r.Threads))
	adopted.started, adopted.failedOn = e.seconds(r.Started), r.FailedOn
	if r.BackupOf != 0 {
		adopted.of, adopted.why.backup = r.BackupOf, fmt.Sprintf("it is a backup of attempt %d, which is slow", r.BackupOf)
	}
	adopted.backed = r.BackedUp
	d.class.ends.fix(adopted)
	e.squeeze(h)
	return true
}

// End frees what an attempt took up. took is how long it ran if it finished,
// and is learned from; 0 if it didn't. It says whether the attempt was known.
func (e *Engine) End(ref job.Ref, took time.Duration) bool {
	r := e.free(ref)
	if r != nil && took > 0 {
		e.learn(r, took.Seconds())
	}
	return r != nil
}

// free frees what an attempt took up; nil if it isn't known.
func (e *Engine) free(ref job.Ref) *run {
	r := e.runs[ref]
	if r == nil {
		return nil
	}
	delete(e.runs, ref)
	d := r.device
	d.host.running--
	r.job.active--
	r.class.ends.remove(r)
	d.free.give(&r.need, 0, firstOfHost)
	d.host.free.give(&r.need, firstOfHost, dims)
	if d.host.gone {
		e.forget(d.host)
	} else {
		e.changed(d.host)
		e.reopen(d.host)
	}
	return r
}

// changed tells the trees of a host's room, which is in the leaves of all its
// devices.
func (e *Engine) changed(h *host) {
	for _, d := range h.devices {
		d.class.tree.update(d)
	}
}

// What was learned elsewhere must differ by 2 % for a way to take note: these are
// the logarithms.
var relearnMore, relearnLess = math.Log(1.02), math.Log(0.98)

func (e *Engine) learn(r *run, took float64) {
	w := r.way
	if w.bucket == "" || r.pace() < learnFromPart {
		return
	}
	// Against what is known of the work by now: what it has learned of this job's pictures
	// since the attempt began isn't counted twice.
	usual := r.profiled * w.learned * r.device.costs.ratio(w.work)
	r.job.ratio.add(math.Log(min(max(took/usual, 1.0/wildest), wildest)))
	e.costs.learn(w, r.device.costs, r.profiled, r.expected, took)
	// What was learned of the work counts on every class, and if it is much for all ladders.
	ways := w.alike.ways
	if of := w.work.kind.trusted(); of-w.akin.followed > relearnMore || of-w.akin.followed < relearnLess {
		w.akin.followed, ways = of, w.akin.ways
	}
	for _, other := range ways {
		ratio := other.ratio()
		if more := ratio - other.followed; other.class == w.class || more > relearnMore || more < relearnLess {
			other.follow(ratio)
		}
	}
}

// jobTrust is how many attempts of a job it takes until its own pictures weigh
// as much as what is usual.
const jobTrust = 2

// jobRatio is how much harder a job's pictures are than usual.
func jobRatio(a *average) float64 { return math.Exp(a.log * a.n / (a.n + jobTrust)) }
