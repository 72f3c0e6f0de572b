package scheduler

import (
	"slices"

	"millrace/job"
)

const (
	// lastFrom and lastUntil are between which times to go, in seconds, long tasks may
	// go first: with more to do what comes later evens out; a rack with less to do is
	// mostly one where jobs come now and then, and fairness counts for more.
	lastFrom, lastUntil = 90, 20
	// lastPart is the part of the time to go that a task must take to go first.
	lastPart = 0.7
	// lastAhead is by how many seconds of all CPU threads the organisation of such a
	// task may be ahead of the one whose turn it is: else one whose tasks are all long
	// would go first for as long as more of them come.
	lastAhead = lastFrom
)

// longOne is the waiting encode that would be the last of all to end if it waited for
// its turn: of those that run for most of the time in which all that waits can be
// done, the longest; nil if there is none. It goes before its turn, which is that of an
// organisation.
func (e *Engine) longOne(turn *org) *group {
	return e.longest(turn, func(p *pile) *capacity {
		if p.full {
			return nil
		}
		return e.rated(p)
	})
}

// longBefore is the one that goes before a group's turn, for people: also while there is
// no room for it, but only where it would take the room that the group waits for. It
// changes nothing that is decided.
func (e *Engine) longBefore(g *group) *group {
	if g.lane.short || g.lane.pile.work.Kind != job.EncodeTask {
		return nil
	}
	return e.longest(g.job.org, func(p *pile) *capacity {
		if !p.shares(g.lane.pile) {
			return nil
		}
		return &p.rated // since its jobs came: dueAt goes by it
	})
}

// shares says whether two piles' work may wait for the same devices.
func (p *pile) shares(other *pile) bool {
	return slices.ContainsFunc(p.ways, func(a *way) bool {
		return a.class.devices > 0 && slices.ContainsFunc(other.ways, func(b *way) bool { return a.class == b.class })
	})
}

// longest finds the long one of the piles that come into question: of what the rack
// makes of them. It is asked for before each chunk that is placed near the end, so it
// looks at those only that are long.
func (e *Engine) longest(turn *org, of func(*pile) *capacity) *group {
	if e.horizon > lastFrom || e.horizon < lastUntil {
		return nil
	}
	best := longSearch{most: turn.had + lastAhead*float64(max(1, e.threads))*e.worth(), longest: lastPart * e.horizon}
	for _, p := range e.active {
		if p.tasks == 0 || p.work.Kind != job.EncodeTask {
			continue
		}
		if c := of(p); c != nil && c.perSecond > 0 {
			best.look(p, c, 0)
		}
	}
	return best.found
}

// longSearch is a search for the group of which a task runs longest.
type longSearch struct {
	most    float64 // that its organisation may have had
	longest float64 // seconds: what it must take more than
	found   *group
}

// look goes down the tree of a pile's groups, the longest first. Of those that take as
// long the first in the pile's lanes is found, or that of a pile before.
func (s *longSearch) look(p *pile, c *capacity, i int) {
	if i >= p.longest.len() {
		return
	}
	g := p.longest.items[i]
	run := c.run(g.tasks[0].frames)
	if run < s.longest || run == s.longest && (s.found == nil || s.found.lane.pile != p) {
		return
	}
	if g.lane.org.had <= s.most && (run > s.longest || g.liesBefore(s.found)) {
		s.found, s.longest = g, run
	}
	s.look(p, c, 2*i+1)
	s.look(p, c, 2*i+2)
}

// liesBefore says whether a group comes before another one of its pile in its lanes.
func (g *group) liesBefore(other *group) bool {
	if g.lane != other.lane {
		return g.lane.place < other.lane.place
	}
	return g.place < other.place
}

// newLongest is a pile's groups, the one with the longest first task first.
func newLongest() heap[*group] {
	return heap[*group]{
		less: func(a, b *group) bool { return a.tasks[0].frames > b.tasks[0].frames },
		at:   func(g *group) *int { return &g.longPlace },
	}
}

// keepLongest moves a group of an admitted job after its tasks changed.
func (p *pile) keepLongest(g *group) {
	switch {
	case p.work.Kind != job.EncodeTask:
	case len(g.tasks) == 0:
		p.longest.remove(g)
	case g.longPlace < 0:
		p.longest.push(g)
	default:
		p.longest.fix(g)
	}
}
