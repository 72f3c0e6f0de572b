package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"millrace/job"
)

// Explain says of each of a job's tasks why it runs where it does or why it
// waits: the running ones by task, then the waiting ones, those that are alike
// together. It is empty for a job that the engine doesn't know.
func (e *Engine) Explain(id job.ID) []job.Placement {
	q := e.jobs[id]
	if q == nil {
		return nil
	}
	var runs []*run
	for ref, r := range e.runs {
		if ref.Job == id {
			runs = append(runs, r)
		}
	}
	slices.SortFunc(runs, func(a, b *run) int {
		return cmp.Or(cmp.Compare(a.ref.Task, b.ref.Task), cmp.Compare(a.ref.Attempt, b.ref.Attempt))
	})
	var list []job.Placement
	for _, r := range runs {
		list = append(list, job.Placement{
			Task: r.ref.Task, Count: 1, Running: true, Node: r.device.host.node.ID, Device: r.device.spec.ID,
			Encoder: r.way.encoder, ExpectedSeconds: r.expected, Reason: r.why.String() + partly(r) + e.besides(r),
		})
	}
	for _, g := range q.groups {
		if len(g.tasks) > 0 {
			list = append(list, job.Placement{Task: g.tasks[0].task, Count: len(g.tasks), Reason: e.whyWaiting(q, g)})
		}
	}
	return list
}

// partly says that an attempt has only a part of its threads, or that sound has several.
func partly(r *run) string {
	switch {
	case r.way.isSound() && r.need[Threads] > Thread:
		return fmt.Sprintf("; in pieces, %d at once, to be ready when the pictures are", r.need[Threads]/Thread)
	case r.pace() == 1:
		return ""
	}
	return fmt.Sprintf("; no more than %.2f CPU threads were left for it", float64(r.need[Threads])/Thread)
}

// besides says what runs beside an attempt that is slow.
func (e *Engine) besides(r *run) string {
	ref := r.ref
	ref.Attempt++
	if backup := e.runs[ref]; backup != nil && backup.of == r.ref.Attempt {
		return fmt.Sprintf("; it is slow, and attempt %d on %s has begun the same", ref.Attempt, backup.device.host.node.ID)
	}
	return ""
}

func (e *Engine) whyWaiting(q *queued, g *group) string {
	p := g.lane.pile
	if !q.admitted {
		if why := q.org.holds(e); why != "" {
			return why
		}
		return "jobs of its organisation that are due sooner go first"
	}
	if !p.canStart() {
		return e.whyNobody(p) + e.others(p.work)
	}
	long := e.longBefore(g)
	before := ""
	if long != nil && long.job != q {
		before = "a long chunk of " + long.job.namedTo(q) + " goes first: it would else be the last of all to end"
	}
	if t := &g.tasks[0]; len(t.failedOn) > 0 && hasOther(p, t, e.unfit(p, g)) && e.lacks(p, t.frames, nil) == "" &&
		e.lacks(p, t.frames, func(d *device) bool { return avoidDevices.avoids(t.failedOn, d) }) != "" {
		return "it failed on " + namesOf(t.failedOn) + ", and waits for another device that can do it"
	}
	if lacks := e.lacks(p, g.tasks[0].frames, nil); lacks != "" {
		why := "no device that can do this has room: " + lacks + e.others(p.work)
		if before != "" {
			why += "; then " + before
		}
		return why
	}
	if p.hasty.len() > 0 && !q.short && e.mayHurry(p.hasty.items[0].org) {
		return p.hasty.items[0].jobs.items[0].job.namedTo(q) + " goes first: it is short"
	}
	if before != "" {
		return before
	}
	if first := p.lanes.items[0]; first.org != q.org && long != g {
		return fmt.Sprintf("the organisation %s goes first: for its weight it has had less than %s", first.org.ID, q.org.ID)
	}
	if first := g.lane.jobs.items[0]; first.job != q && long != g {
		return fmt.Sprintf("job %s of the same organisation goes first: it is due sooner", first.job.ID)
	}
	return "it ends sooner if it waits for a faster device than on one that is free"
}

// namedTo names a job to whom another one is explained: its organisation's own only.
func (q *queued) namedTo(other *queued) string {
	if q.org == other.org {
		return fmt.Sprintf("job %s", q.ID)
	}
	return "a job of another organisation"
}

func namesOf(places []Place) string {
	var names []string
	for _, p := range places {
		names = append(names, strings.TrimSuffix(p.Node+"/"+p.Device, "/"))
	}
	return strings.Join(names, " and ")
}

// lacks says for each class of devices what the one with most room lacks for a task of
// so many frames; empty if there is room on one that isn't to be skipped.
func (e *Engine) lacks(p *pile, frames int64, skip func(*device) bool) string {
	var list []string
	for _, w := range p.ways {
		if w.class.devices == 0 {
			continue
		}
		need := w.need
		if part := e.part(w, frames); part < Thread {
			need.setThreads(part)
		}
		if w.class.tree.find(&need, skip) != nil {
			return ""
		}
		text := fmt.Sprintf("of %d × %s the freest has %s", w.class.devices, w.class.name(), w.class.tree.largest[1].lacking(&need))
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return strings.Join(list, "; ")
}

// choice is why a device was chosen.
type choice struct {
	way *way
	// early says that it went before its turn (see longOne).
	early bool
	// light says that there was room for all that waited.
	light bool
	// energy says that the work prefers it, thrifty that it was chosen by that: that
	// what the devices draw is known.
	energy, thrifty bool
	backup          string // why it is one, of a backup
}

// name is the class's devices', for people.
func (c *class) name() string { return cmp.Or(c.spec.Name, string(c.spec.Kind)) }

func (c choice) String() string {
	switch {
	case c.backup != "":
		return c.backup
	case c.way == nil:
		return "it was started here before this peer led the cluster"
	case c.thrifty:
		return "it takes least energy on " + c.way.class.name() + ", of the devices with room whose draw is known"
	case c.energy:
		return c.byTime() + "; what the devices draw isn't known, so energy decides nothing"
	case c.early:
		return c.byTime() + "; it is long and went before its turn: it would else be the last of all to end"
	}
	return c.byTime()
}

// byTime is why a device was chosen by when the work, or all that waits, is done.
func (c choice) byTime() string {
	if c.light {
		return "it ends soonest on " + c.way.class.name() + ", of the devices with room"
	}
	return "more waits than there is room for, and of the devices with room for it " + c.way.class.name() + " costs what else waits least"
}
