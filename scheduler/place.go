package scheduler

import "slices"

// worthIt says whether a task that starts here now ends no later than if it
// waited for a faster class. It is always worth it where nothing faster runs:
// then nothing would end that one could wait for.
func (e *Engine) worthIt(g *group, w *way, threads int, unfit func(*way) bool) bool {
	p, frames := g.lane.pile, g.tasks[0].frames
	here := e.expect(w, frames, threads)
	for _, other := range p.ways {
		c := other.class
		if other == w || c.ends.len() == 0 || c.devices == 0 || unfit != nil && unfit(other) {
			continue
		}
		there := e.expect(other, frames, 1)
		if there >= here {
			continue
		}
		// The others of its work would wait for the same devices.
		wait := e.until(c.ends.items[0]) + there*float64(p.tasks-1)/float64(int64(c.devices)*max(1, c.atOnce(&other.need)))
		if wait+there < here {
			return false
		}
	}
	return true
}

// until is how many seconds a run takes from now on. Of one that should have ended its
// progress says so; where that isn't known it may take as long again as it is late.
func (e *Engine) until(r *run) float64 {
	late := e.clock - r.end()
	switch {
	case late <= 0:
		return -late
	case r.done > 0:
		return e.left(r)
	}
	return late
}

// fit finds a device with room. Under a full queue a job's tasks go back to the
// nodes that have read of its source; where there is room for all they spread.
func (e *Engine) fit(w *way, need *Room, g *group, t *waiting, avoid avoidance, near bool) *device {
	if near && len(t.failedOn) == 0 {
		for _, h := range g.job.recent {
			if h == nil {
				break
			}
			if h.gone {
				continue
			}
			for _, d := range h.devices {
				if d.class == w.class && w.class.tree.room(d).Fits(need) {
					return d
				}
			}
		}
	}
	var skip func(*device) bool
	if len(t.failedOn) > 0 {
		skip = func(d *device) bool { return avoid.avoids(t.failedOn, d) }
	}
	return w.class.tree.find(need, skip)
}

// avoidance is what a task that failed keeps away from. A node may be at fault as well as
// its device, so other nodes come first.
type avoidance int

const (
	avoidNothing avoidance = iota
	avoidDevices
	avoidNodes
)

// avoids says whether a device is kept away from by what failed in these places.
func (a avoidance) avoids(failed []Place, d *device) bool {
	return slices.ContainsFunc(failed, func(p Place) bool {
		return p.Node == d.host.node.ID && (a == avoidNodes || a == avoidDevices && (p.Device == "" || p.Device == d.spec.ID))
	})
}

// hasOther says whether a task that failed can be done, by an open device that may be busy,
// where it hasn't failed yet: a device that is at fault is the first to be free again.
// unfit are the ways that its ladder isn't begun by.
func hasOther(p *pile, t *waiting, unfit func(*way) bool) bool {
	failed := func(d *device) bool { return avoidDevices.avoids(t.failedOn, d) }
	return slices.ContainsFunc(p.ways, func(w *way) bool {
		return (!w.stray || p.astray) && (unfit == nil || !unfit(w)) && w.class.tree.find(&Room{}, failed) != nil
	})
}
