package scheduler

import (
	"slices"
	"time"

	"millrace/job"
)

const (
	// priorityStep is how long a job must have waited to be on a level with one
	// that is one step above it in priority. Every job ages alike, so what is due
	// first stays first and nothing has to be sorted again.
	priorityStep = 10 * time.Minute
	// stretch is how much longer than with the rack to itself a job may take before
	// it is late: a clip of a minute is due sooner than a film of ten hours that
	// came a little before it, but not than one that came long before.
	stretch = 4
	// planAhead is how many of an organisation's jobs are inspected before they can
	// be encoded, at least, and threadsPerAhead how many CPU threads of the rack it
	// takes for one more. A job is planned for the rack as it is, so it shouldn't be
	// planned long before its turn.
	planAhead       = 32
	threadsPerAhead = 16

	// unknownFrames stands for a timeline that hasn't been inspected yet.
	unknownFrames = 60 * 30
)

// org is an organisation with what it has had of the rack.
type org struct {
	Org
	// had is the work that it was given, for its weight, in seconds of a usual CPU
	// thread; each is worth more the later. (To let all that was had fade as time
	// goes on would change nothing in their order.)
	had     float64
	lanes   []*lane
	waiting int // tasks in lanes
	// admitted jobs count for the quota; those held wait for it, first due first.
	admitted int
	// ahead counts admitted jobs of which no encode has started.
	ahead int
	held  heap[*queued]
	// quick is what its short jobs had, on the engine's scale of what they may
	// have (see mayHurry).
	quick float64
}

// queued is a job with its waiting tasks.
type queued struct {
	Job
	org *org
	// due is when it should be done, in seconds since the engine's first event.
	due      float64
	groups   []*group
	active   int // attempts that run
	admitted bool
	ahead    bool // counted in the organisation's
	// short says that it is, met that its length was taken note of.
	short, met bool
	place      int // among the held
	// bound is what each ladder of which a task has started is made with.
	bound map[string]binding
	// recent are nodes that have read of the source, the latest first.
	recent [4]*host
	// ratio is how much harder its pictures are than others'.
	ratio average
}

// group is a job's waiting tasks of one work.
type group struct {
	job  *queued
	lane *lane
	// place is in the lane's heap, longPlace in the pile's of longest tasks; −1 in neither.
	place, longPlace int
	// early is by how much it goes before the job's other tasks, in seconds: a
	// job's sound is one task, which must not be the last to end.
	early float64
	// tasks are a heap, the longest first: what is left at the end is then
	// small, and the devices finish together.
	tasks []waiting
	// frames is of the tasks, 0 as long as the job isn't admitted.
	frames int64
}

// waiting is a task in the queue, kept small: there may be a million.
type waiting struct {
	task     job.TaskID
	frames   int64
	attempt  int32
	failedOn []Place
}

// pile is all waiting tasks of one work.
type pile struct {
	work Work
	key  int
	ways []*way // by class, then in the order of the work's encoders
	// lanes are all of them, the organisation first that has had least; hasty those
	// of short jobs, the organisation first whose short jobs have had least.
	lanes, hasty heap[*lane]
	// longest are the groups of encodes, the one with the longest task first (see longOne).
	longest heap[*group]
	// tasks and frames wait; hastyFrames are those of short jobs.
	tasks       int
	frames      int64
	hastyFrames int64
	least       float64 // seconds that a frame takes at least
	// rated is what all of the rack makes of it, at ratedAt (see rate).
	rated   capacity
	ratedAt int
	// reference is the seconds that a frame takes on one thread of a usual CPU:
	// what organisations are charged with.
	reference float64
	// full says that nothing of it could start when last tried.
	full bool
	// roomless says that no device has room for any of its ways but on hosts that
	// are in roomy (see reopen).
	roomless bool
	roomy    []*host
	// gpus says that GPUs can encode it.
	gpus bool
	// mixed says whether devices write different headers for one encoder.
	mixed bool
	// homeless is when there was last an open device for its work, astray says that
	// it may be done on any (see sendAstray): of cleanups only.
	homeless float64
	astray   bool
	// listed says whether it is among the engine's active piles.
	listed bool
}

// lane is one organisation's waiting tasks of one work, of short jobs or of the
// others.
type lane struct {
	org   *org
	pile  *pile
	short bool
	twin  *lane // of the other jobs, if there is one
	// place is in the pile's lanes, hastyPlace in its hasty ones; −1 in neither.
	place, hastyPlace int
	jobs              heap[*group]
	tasks             int
}

func newPile(work Work, key int) *pile {
	return &pile{work: work, key: key, reference: reference(work), lanes: heap[*lane]{
		less: func(a, b *lane) bool {
			if a.org.had != b.org.had {
				return a.org.had < b.org.had
			}
			return a.org.ID < b.org.ID
		},
		at: func(l *lane) *int { return &l.place },
	}, hasty: heap[*lane]{
		less: (*lane).hurriesBefore,
		at:   func(l *lane) *int { return &l.hastyPlace },
	}, longest: newLongest()}
}

func newLane(o *org, p *pile, short bool) *lane {
	return &lane{org: o, pile: p, short: short, place: -1, hastyPlace: -1, jobs: heap[*group]{
		less: (*group).before,
		at:   func(g *group) *int { return &g.place },
	}}
}

func (g *group) before(other *group) bool {
	if a, b := g.job.due-g.early, other.job.due-other.early; a != b {
		return a < b
	}
	return g.job.ID < other.job.ID
}

// longest is what the group's first task takes on a thread of a usual CPU, in seconds.
func (g *group) longest() float64 { return float64(g.tasks[0].frames) * g.lane.pile.reference }

func (q *queued) before(other *queued) bool {
	if q.due != other.due {
		return q.due < other.due
	}
	return q.ID < other.ID
}

// lane finds or makes the lane of a work.
func (o *org) lane(p *pile, short bool) *lane {
	var twin *lane
	for _, l := range o.lanes {
		if l.pile == p && l.short == short {
			return l
		}
		if l.pile == p {
			twin = l
		}
	}
	l := newLane(o, p, short)
	if twin != nil {
		l.twin, twin.twin = twin, l
	}
	o.lanes = append(o.lanes, l)
	return l
}

// push puts a task into its job's group of a lane.
func (e *Engine) push(q *queued, p *pile, t waiting) {
	var g *group
	for _, other := range q.groups {
		if other.lane.pile == p {
			g = other
		}
	}
	if g == nil {
		g = &group{job: q, lane: q.org.lane(p, q.short), place: -1, longPlace: -1}
		if p.work.Kind == job.AudioTask {
			g.early = float64(t.frames) * audioSeconds
		}
		q.groups = append(q.groups, g)
	}
	g.tasks = append(g.tasks, t)
	for i := len(g.tasks) - 1; i > 0; { // up the heap
		parent := (i - 1) / 2
		if !g.tasks[i].before(&g.tasks[parent]) {
			break
		}
		g.tasks[i], g.tasks[parent] = g.tasks[parent], g.tasks[i]
		i = parent
	}
	if q.admitted {
		e.count(g, 1, t.frames)
	}
}

func (t *waiting) before(other *waiting) bool {
	if t.frames != other.frames {
		return t.frames > other.frames
	}
	return t.task < other.task
}

// pop takes the first task of a group.
func (e *Engine) pop(g *group) waiting {
	t := g.tasks[0]
	e.dropTask(g, 0)
	return t
}

// dropTask takes the task at an index out of a group.
func (e *Engine) dropTask(g *group, i int) {
	frames := g.tasks[i].frames
	last := len(g.tasks) - 1
	g.tasks[i] = g.tasks[last]
	g.tasks[last] = waiting{}
	g.tasks = g.tasks[:last]
	for i < last { // down the heap
		child := 2*i + 1
		if child >= last {
			break
		}
		if right := child + 1; right < last && g.tasks[right].before(&g.tasks[child]) {
			child = right
		}
		if !g.tasks[child].before(&g.tasks[i]) {
			break
		}
		g.tasks[i], g.tasks[child] = g.tasks[child], g.tasks[i]
		i = child
	}
	for i > 0 && i < last { // or up: what came from the end may belong higher
		parent := (i - 1) / 2
		if !g.tasks[i].before(&g.tasks[parent]) {
			break
		}
		g.tasks[i], g.tasks[parent] = g.tasks[parent], g.tasks[i]
		i = parent
	}
	if g.job.admitted {
		e.count(g, -1, -frames)
	}
	if len(g.tasks) == 0 {
		g.job.groups = slices.DeleteFunc(g.job.groups, func(other *group) bool { return other == g })
	}
}

// count keeps heaps and sums after tasks of an admitted job came or went.
func (e *Engine) count(g *group, tasks int, frames int64) {
	l, p, o := g.lane, g.lane.pile, g.job.org
	before := o.waiting
	g.frames += frames
	l.tasks += tasks
	p.tasks += tasks
	o.waiting += tasks
	p.frames += frames
	if l.short {
		p.hastyFrames += frames
	}
	e.waiting += tasks
	e.demand += float64(frames) * p.least
	switch {
	case before == 0 && o.waiting > 0:
		e.weights += o.weight()
		e.comeBack(o)
	case before > 0 && o.waiting == 0:
		e.weights -= o.weight()
	}
	switch {
	case len(g.tasks) > 0 && g.place < 0:
		l.jobs.push(g)
	case len(g.tasks) == 0 && g.place >= 0:
		l.jobs.remove(g)
	}
	p.keepLongest(g)
	switch {
	case l.tasks > 0 && l.place < 0:
		p.lanes.push(l)
		if l.short {
			p.hasty.push(l)
		}
	case l.tasks == 0 && l.place >= 0:
		p.lanes.remove(l)
		p.hasty.remove(l)
	}
	if p.tasks > 0 && !p.listed {
		p.listed, p.full, p.roomless = true, false, false
		e.active = append(e.active, p)
	}
}

// measure finds the least time a frame can take, by which changes of the demand
// are measured.
func (p *pile) measure() {
	p.least = 0
	for _, w := range p.ways {
		if s := w.seconds + w.fixed/w.typical(); p.least == 0 || s < p.least {
			p.least = s
		}
	}
}

// dueAt is when a job should be done.
func (e *Engine) dueAt(q *queued, alone float64) float64 {
	due := e.seconds(q.Queued) + stretch*alone - float64(q.Priority)*priorityStep.Seconds()
	if !q.Deadline.IsZero() {
		due = min(due, e.seconds(q.Deadline)-alone)
	}
	return due
}
