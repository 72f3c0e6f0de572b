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
// makes of them.
func (e *Engine) longest(turn *org, of func(*pile) *capacity) *group {
	if e.horizon > lastFrom || e.horizon < lastUntil {
		return nil
	}
	var long *group
	longest := lastPart * e.horizon
	most := turn.had + lastAhead*float64(max(1, e.threads))*e.worth()
	for _, p := range e.active {
		if p.tasks == 0 || p.work.Kind != job.EncodeTask {
			continue
		}
		c := of(p)
		if c == nil || c.perSecond == 0 {
			continue
		}
		for _, l := range p.lanes.items {
			if l.org.had > most {
				continue
			}
			for _, g := range l.jobs.items {
				if run := c.run(g.tasks[0].frames); run > longest {
					long, longest = g, run
				}
			}
		}
	}
	return long
}
