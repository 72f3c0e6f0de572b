package scheduler

import (
	"math"
	"slices"
	"time"

	"millrace/job"
)

// longestRun is for how long, in seconds, a task may run on one thread under a
// full queue: beyond that it gets more threads, if there are.
const longestRun = 50

// widest is the most threads that one task gets: encoders gain little from more.
const widest = 16

// Decide says which waiting tasks start now, and where. They count as running
// from then on; [Engine.End] ends them, also where they could not be started.
func (e *Engine) Decide() []Assignment {
	if e.waiting == 0 {
		return nil
	}
	e.refreshPrices()
	e.sendAstray()
	var placed []Assignment
	var runs []*run
	for l := e.next(); l != nil; l = e.next() {
		g, early := l.jobs.items[0], false
		if !l.short && l.pile.work.Kind == job.EncodeTask {
			if long := e.longOne(l.org); long != nil {
				g, early = long, long != g
			}
		}
		p := g.lane.pile
		d, why, threads, room := e.spot(p, g)
		if d == nil {
			p.full = true
			if !room {
				e.shut()
			}
			continue
		}
		a, r := e.start(g, d, why.way, threads)
		r.why, r.why.early = why, early
		placed, runs = append(placed, a), append(runs, r)
	}
	if e.waiting == 0 {
		e.widen(placed, runs)
	}
	return placed
}

// next is the order step: the lane that has its turn.
func (e *Engine) next() *lane {
	var hasty, first *lane
	for i := 0; i < len(e.active); i++ {
		p := e.active[i]
		if p.tasks == 0 {
			p.listed = false
			e.active[i] = e.active[len(e.active)-1]
			e.active = e.active[:len(e.active)-1]
			i--
			continue
		}
		if p.full {
			continue
		}
		if p.hasty.len() > 0 {
			if l := p.hasty.items[0]; e.mayHurry(l.org) && (hasty == nil || l.turnBefore(hasty, l.org.quick, hasty.org.quick)) {
				hasty = l
			}
		}
		if l := p.lanes.items[0].first(); first == nil || l.turnBefore(first, l.org.had, first.org.had) {
			first = l
		}
	}
	if hasty != nil && !brief(first.pile.work.Kind) {
		return hasty
	}
	return first
}

// first is the one of an organisation's lanes of a work whose job is due first.
func (l *lane) first() *lane {
	if t := l.twin; t != nil && t.tasks > 0 && t.jobs.items[0].before(l.jobs.items[0]) {
		return t
	}
	return l
}

// turnBefore orders lanes by what their organisations have had. What begins or
// ends a job goes before all else: it takes next to nothing, and somebody waits
// for it.
func (l *lane) turnBefore(other *lane, had, its float64) bool {
	if a, b := brief(l.pile.work.Kind), brief(other.pile.work.Kind); a != b {
		return a
	}
	if l.org != other.org {
		if had != its {
			return had < its
		}
		return l.org.ID < other.org.ID
	}
	a, b := l.jobs.items[0], other.jobs.items[0]
	if a.before(b) || b.before(a) {
		return a.before(b)
	}
	// Of one job what GPUs make, which needs but a part of a thread that encodes in
	// software would take for long; then what takes longest, so that what is left at the
	// end is small.
	if x, y := l.pile.gpus, other.pile.gpus; x != y {
		return x
	}
	if x, y := a.longest(), b.longest(); x != y {
		return x > y
	}
	return l.pile.key < other.pile.key
}

func brief(kind job.TaskKind) bool {
	return kind == job.InspectTask || kind == job.PackageTask || kind == job.CleanupTask
}

// spot is the steps ways and fit: where the first task of a group goes. room says
// whether any way had room at all.
func (e *Engine) spot(p *pile, g *group) (device *device, why choice, threads int, room bool) {
	if !e.hasRoom(p) {
		p.noRoom()
		return nil, why, 0, false
	}
	t := &g.tasks[0]
	unfit := e.unfit(p, g)
	light := e.horizon <= e.quickest(p, t.frames)
	why.light, why.energy = light, p.work.Prefer == PreferEnergy
	lowest, found := math.Inf(1), false
	var least Room
	for _, try := range tries {
		if try.avoid < avoidNodes && len(t.failedOn) == 0 {
			break
		}
		if try.avoid == avoidNothing && hasOther(p, t, unfit) { // which it waits for
			found = true
			break
		}
		for _, w := range p.ways {
			need := &w.need
			if try.part {
				part := e.part(w, t.frames)
				// A part may be left that does for shorter tasks, or later on.
				found = found || e.full && w.parts && w.class.tree.largest[1].Fits(&w.least)
				if part == Thread {
					continue
				}
				least = w.need
				least.setThreads(part)
				need = &least
			}
			if w.stray && !p.astray || !w.class.tree.largest[1].Fits(need) || unfit != nil && unfit(w) {
				continue
			}
			d := e.fit(w, need, g, t, try.avoid, !light)
			if d == nil {
				continue
			}
			found = true
			score, thrifty := e.score(w, d, t.frames, light), false
			if p.work.Prefer == PreferEnergy {
				score, thrifty = e.byEnergy(w, d, t.frames, score)
			}
			n := 1
			switch {
			case light || w.isSound():
				n = e.width(w, d, t.frames)
			case w.divisible: // its chunks may have been cut for faster devices
				n = int(max(1, min(widest, d.host.spare()/Thread, int64(e.expect(w, t.frames, 1)/longestRun))))
			}
			if score < lowest && (!light || thrifty || e.worthIt(g, w, n, unfit)) {
				device, why.way, why.thrifty, lowest, threads = d, w, thrifty, score, n
			}
		}
		if device != nil {
			break
		}
	}
	if !found && unfit == nil {
		p.noRoom()
	}
	return device, why, threads, true
}

// tries are where a task is looked for a device: a whole thread anywhere is better than
// a part of one where the source is, and that than where the task failed.
var tries = []struct {
	part  bool
	avoid avoidance
}{{false, avoidNodes}, {true, avoidNodes}, {false, avoidDevices}, {true, avoidDevices}, {false, avoidNothing}, {true, avoidNothing}}

// quickest is the least time that a task could take.
func (e *Engine) quickest(p *pile, frames int64) float64 {
	quickest := math.Inf(1)
	for _, w := range p.ways {
		if w.class.devices > 0 {
			quickest = min(quickest, e.expect(w, frames, 1))
		}
	}
	return quickest
}

// score is what a way is chosen by, less is better: time where there is room for
// all, the price where there isn't.
func (e *Engine) score(w *way, d *device, frames int64, light bool) float64 {
	if light {
		return e.expect(w, frames, e.width(w, d, frames)) / d.speed
	}
	return w.cost
}

// width is how many threads a task would get where nothing else waits.
func (e *Engine) width(w *way, d *device, frames int64) int {
	if !w.divisible {
		return 1
	}
	if w.isSound() {
		return e.soundWidth(w, d, frames)
	}
	threads := (d.host.spare() + Thread - leastPart) / Thread // the last may be a part of one
	return int(min(widest, max(1, threads/max(1, int64(e.waiting)))))
}

// expect is how long a task should take, in seconds.
func (e *Engine) expect(w *way, frames int64, threads int) float64 {
	t := w.time(frames)
	if threads > 1 {
		t /= float64(threads) / wideLoss
	}
	return t
}

// start takes a group's first task out of the queue and gives it a device.
func (e *Engine) start(g *group, d *device, w *way, threads int) (Assignment, *run) {
	q, p := g.job, g.lane.pile
	t := e.pop(g)
	ref := job.Ref{Job: q.ID, Task: t.task, Attempt: int(t.attempt)}
	r := e.begin(q, p, w, d, ref, t.frames, threads)
	r.failedOn = t.failedOn
	e.charge(g.lane, p.charge(w, t.frames))
	if p.work.Kind == job.EncodeTask {
		e.notAhead(q)
	}
	a := Assignment{
		Job: q.ID, Expected: time.Duration(r.expected * float64(time.Second)), Pace: r.pace(),
		Assignment: job.Assignment{
			Task: t.task, Attempt: ref.Attempt, Node: d.host.node.ID, Session: d.host.node.Session,
			Device: d.spec.ID, Encoder: w.encoder, Headers: w.headers, Threads: threads,
		},
	}
	if p.work.Kind == job.EncodeTask {
		e.bind(q, p.work.Ladder, binding{w.encoder, w.headers})
	}
	return a, r
}

// charge is what a task costs its organisation, whichever device it got: the
// time that it would take on one thread of a usual CPU.
func (p *pile) charge(w *way, frames int64) float64 {
	if p.work.Kind != job.EncodeTask {
		return w.time(frames)
	}
	return float64(frames) * p.reference
}

// begin takes an attempt's room.
func (e *Engine) begin(q *queued, p *pile, w *way, d *device, ref job.Ref, frames int64, threads int) *run {
	r := &run{ref: ref, job: q, pile: p, device: d, class: d.class, way: w, need: w.taken(d, threads), frames: frames, started: e.clock, place: -1}
	e.runs[ref] = r
	d.host.running++
	q.active++
	e.estimate(r)
	r.class.ends.push(r)
	d.free.take(&r.need, 0, firstOfHost)
	d.host.free.take(&r.need, firstOfHost, dims)
	e.changed(d.host)
	q.visited(d.host)
	return r
}

// estimate says how long an attempt should take.
func (e *Engine) estimate(r *run) {
	r.profiled, r.expected = e.foresee(r.job, r.way, r.device, r.frames, r.need[Threads])
}

// foresee is how many seconds so many frames of a job would take on a device, by
// its profile and by what was learned since, with so many thousandths of threads.
func (e *Engine) foresee(q *queued, w *way, d *device, frames, threads int64) (profiled, expected float64) {
	narrow := float64(threads) / float64(w.need[Threads])
	if narrow > 1 {
		narrow = max(1, narrow/wideLoss)
	}
	profiled = (w.fixed + float64(frames)*w.seconds/d.speed) / narrow
	return profiled, profiled * w.learned * d.costs.ratio(w.work) * jobRatio(&q.ratio)
}

// visited notes that a host reads a job's source.
func (q *queued) visited(h *host) {
	i := slices.Index(q.recent[:], h)
	if i < 0 {
		i = len(q.recent) - 1
	}
	copy(q.recent[1:i+1], q.recent[:i])
	q.recent[0] = h
}

// widen gives the threads that no task waits for to the encodes that were just
// placed: a job's last chunks, or a short video's only one, then use the whole
// machine.
func (e *Engine) widen(placed []Assignment, runs []*run) {
	for again := true; again; {
		again = false
		for i, r := range runs {
			h := r.device.host
			more := min(Thread, h.spare())
			if !r.way.divisible || more < leastPart || more < Thread && !r.way.parts || r.pace() < 1 || placed[i].Threads >= r.way.widest(r.frames) || h.free[Memory] < r.way.threadBytes {
				continue
			}
			r.need.setThreads(r.need[Threads] + more)
			r.need[Memory] += r.way.threadBytes
			h.free[Memory] -= r.way.threadBytes
			h.free[Threads] -= more
			h.free[Spare] -= more
			placed[i].Threads++
			again = true
		}
	}
	for i, r := range runs {
		if !r.way.divisible {
			continue
		}
		e.estimate(r)
		placed[i].Expected, placed[i].Pace = time.Duration(r.expected*float64(time.Second)), r.pace()
		r.class.ends.fix(r)
		e.changed(r.device.host)
	}
}
