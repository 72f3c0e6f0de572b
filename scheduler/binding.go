package scheduler

import (
	"math"
	"slices"
	"strings"

	"millrace/job"
)

// binding is what all chunks of a ladder are made with, so that they fit together:
// players are told of one header for all of them.
type binding struct{ encoder, headers string }

func (w *way) binding() binding { return binding{w.encoder, w.headers} }

// boundTo is the work, to be made as others of its ladder are.
func (w Work) boundTo(b binding) Work {
	w.Encoders, w.Headers = b.encoder, b.headers
	return w
}

// takes says whether chunks with such headers fit to those that are there.
func (w Work) takes(headers string) bool { return w.Headers == "" || w.Headers == headers }

// headers are those that a device's encoder writes.
func (d *Device) headers(encoder string) string {
	for _, speed := range d.Encoders {
		if speed.Codec == encoder {
			return speed.Headers
		}
	}
	return ""
}

// can says whether an encoder works on a class's devices.
func (c *class) can(encoder string) bool {
	return slices.ContainsFunc(c.spec.Encoders, func(s Speed) bool { return s.Codec == encoder })
}

// Bind says what a job's ladder is made with from now on: one encoder, and the
// headers that its chunks have already; empty where it has none.
func (e *Engine) Bind(id job.ID, ladder, encoder, headers string) {
	if q := e.jobs[id]; q != nil && !strings.Contains(encoder, ",") {
		e.bind(q, ladder, binding{encoder, headers})
	}
}

func (e *Engine) bind(q *queued, ladder string, made binding) {
	if q.bound[ladder] == made {
		return
	}
	q.bound[ladder] = made
	for _, g := range slices.Clone(q.groups) {
		work := g.lane.pile.work
		if work.Kind != job.EncodeTask || work.Ladder != ladder || work == work.boundTo(made) {
			continue
		}
		e.move(g, e.pile(work.boundTo(made)))
	}
}

// move puts a group's tasks into another pile.
func (e *Engine) move(g *group, p *pile) {
	q, tasks, frames := g.job, g.tasks, int64(0)
	for i := range tasks {
		frames += tasks[i].frames
	}
	g.tasks = nil
	if q.admitted {
		e.count(g, -len(tasks), -frames)
	}
	q.groups = slices.DeleteFunc(q.groups, func(other *group) bool { return other == g })
	if slices.ContainsFunc(q.groups, func(other *group) bool { return other.lane.pile == p }) {
		for _, t := range tasks {
			e.push(q, p, t)
		}
		return
	}
	g.lane, g.tasks = q.org.lane(p, q.short), tasks
	q.groups = append(q.groups, g)
	if q.admitted {
		e.count(g, len(tasks), frames)
	}
}

// unfit says which ways a job's ladder isn't begun by: where devices write
// different headers, all of its chunks would follow the first, so it begins where
// the whole job ends soonest, and not on the only device of its kind. Nil where
// that is no question.
func (e *Engine) unfit(p *pile, g *group) func(*way) bool {
	if !p.mixed || p.work.Headers != "" {
		return nil
	}
	frames := g.job.Frames
	if frames == 0 {
		for i := range g.tasks {
			frames += g.tasks[i].frames
		}
	}
	soonest, ends := make(map[string]string), make(map[string]float64) // by encoder
	for _, c := range p.capacities() {
		end := max(e.queuedFor(c.binding), e.freeIn(p, c.binding)) + float64(frames)/c.perSecond
		if known, found := ends[c.encoder]; !found || end < known {
			soonest[c.encoder], ends[c.encoder] = c.headers, end
		}
	}
	return func(w *way) bool {
		headers, found := soonest[w.encoder]
		return found && w.headers != headers
	}
}

// isMixed says whether devices write different headers for one encoder of a pile.
func (p *pile) isMixed() bool {
	return slices.ContainsFunc(p.ways, func(a *way) bool {
		return slices.ContainsFunc(p.ways, func(b *way) bool { return a.encoder == b.encoder && a.headers != b.headers })
	})
}

// queuedFor is how long the devices of a binding are busy with the chunks that
// only they can make, in seconds.
func (e *Engine) queuedFor(b binding) float64 {
	end := 0.0
	for _, p := range e.piles {
		if p.tasks > 0 && p.work.Kind == job.EncodeTask && p.work == p.work.boundTo(b) {
			if perSecond := e.rate(p); perSecond > 0 {
				end += float64(p.frames) / perSecond
			} else {
				return math.Inf(1)
			}
		}
	}
	return end
}

// freeIn is in how many seconds a device has room for a task of a pile by a binding.
func (e *Engine) freeIn(p *pile, b binding) float64 {
	soonest := math.Inf(1)
	for _, w := range p.ways {
		switch {
		case w.binding() != b || w.class.devices == 0:
		case w.class.tree.largest[1].Fits(&w.need):
			return 0
		case w.class.ends.len() > 0:
			soonest = min(soonest, max(0, w.class.ends.items[0].end()-e.clock))
		}
	}
	return soonest
}

// others says which devices are passed over since they write other headers than
// the chunks that are made already; empty if there are none.
func (e *Engine) others(work Work) string {
	if work.Headers == "" {
		return ""
	}
	var names []string
	for _, c := range e.classes {
		for encoder := range strings.SplitSeq(work.Encoders, ",") {
			if name := c.name(); c.devices > 0 && c.can(encoder) && c.spec.headers(encoder) != work.Headers && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; the " + strings.ReplaceAll(work.Encoders, ",", " or ") + " of " + strings.Join(names, ", ") +
		" writes other headers than the chunks that are made already, which it must fit to"
}
