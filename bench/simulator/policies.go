package simulator

import (
	"cmp"
	"slices"
	"time"

	"millrace/job"
	"millrace/scheduler"
)

// policy decides, from the same events that the leader tells the scheduler.
type policy interface {
	nodeUp(node scheduler.Node)
	nodeDown(id string)
	setJob(j scheduler.Job)
	jobEnded(id job.ID)
	queue(t scheduler.Task)
	// ended frees an attempt's room; took is 0 if it didn't finish.
	ended(ref job.Ref, took time.Duration)
	outlook(id job.ID, work scheduler.Work, frames int64) scheduler.Outlook
	decide(now time.Time) []scheduler.Assignment
}

// Policies are the names of all that are compared: Millrace's own first.
var Policies = []string{"millrace", "fifo", "round-robin", "least-loaded", "one-resolution"}

// engine is Millrace's own policy: the scheduler itself.
type engine struct{ *scheduler.Engine }

func (e engine) nodeUp(n scheduler.Node)               { e.SetNode(n) }
func (e engine) nodeDown(id string)                    { e.RemoveNode(id) }
func (e engine) setJob(j scheduler.Job)                { e.SetJob(j) }
func (e engine) jobEnded(id job.ID)                    { e.RemoveJob(id) }
func (e engine) queue(t scheduler.Task)                { e.Queue(t) }
func (e engine) ended(ref job.Ref, took time.Duration) { e.End(ref, took) }
func (e engine) outlook(id job.ID, work scheduler.Work, frames int64) scheduler.Outlook {
	return e.Outlook(id, work, frames)
}
func (e engine) decide(now time.Time) []scheduler.Assignment {
	e.Advance(now)
	return e.Decide()
}

// simple is a policy of the kind that today's tools have. It counts room as
// the scheduler does, so that no policy is punished for overloading devices.
type simple struct {
	// order of tasks is that of their jobs' arrival for all of them.
	pick  func(s *simple, t scheduler.Task, could []spot) (spot, bool)
	bind  bool // a task is given its device when it comes, and waits for it
	spots []*device
	hosts map[string]*scheduler.Room
	jobs  map[job.ID]scheduler.Job
	tasks []scheduler.Task // first come, first served
	mine  map[*device][]scheduler.Task
	runs  map[job.Ref]*held
	bound map[job.ID]map[string]string // by job and ladder: the encoder
	works map[scheduler.Work]int
	cache [][]scheduler.Option // by work and kind of device
	kinds map[string]int
	menus map[string]*scheduler.Menu // by kind of node
	next  int
	list  []spot
	// given are the nodes that got room back, in the order of events, and full how
	// many of them there had been when nothing had room for a work: since then only
	// the later ones may.
	given []string
	full  map[int]int
	nodes map[string][]*device
	could []*device // see candidates
}

// device is one of the rack's with what is free of it.
type device struct {
	node    scheduler.Node
	index   int // in the rack's list
	kind    int // of node and device, see simple.kinds
	id      string
	whole   scheduler.Room
	free    scheduler.Room
	running int
	down    bool
}

// spot is a device and a way to do a task there.
type spot struct {
	device *device
	option *scheduler.Option
}

type held struct {
	device *device
	need   scheduler.Room
}

func newSimple(pick func(*simple, scheduler.Task, []spot) (spot, bool), bind bool) *simple {
	return &simple{
		pick: pick, bind: bind, hosts: make(map[string]*scheduler.Room), jobs: make(map[job.ID]scheduler.Job),
		mine: make(map[*device][]scheduler.Task), runs: make(map[job.Ref]*held),
		bound: make(map[job.ID]map[string]string), works: make(map[scheduler.Work]int), kinds: make(map[string]int),
		full: make(map[int]int), menus: make(map[string]*scheduler.Menu), nodes: make(map[string][]*device),
	}
}

// newPolicy makes a policy by its name.
func newPolicy(name string) (policy, bool) {
	switch name {
	case "millrace":
		return engine{scheduler.NewEngine(epoch)}, true
	case "fifo", "one-resolution":
		return newSimple(firstFit, false), true
	case "round-robin":
		return newSimple(inTurn, true), true
	case "least-loaded":
		return newSimple(leastLoaded, false), true
	}
	return nil, false
}

// firstFit takes the first device that has room, in the order of the rack's list.
func firstFit(_ *simple, _ scheduler.Task, could []spot) (spot, bool) { return could[0], true }

// leastLoaded takes the device with the fewest tasks.
func leastLoaded(_ *simple, _ scheduler.Task, could []spot) (spot, bool) {
	return slices.MinFunc(could, func(a, b spot) int { return cmp.Compare(a.device.running, b.device.running) }), true
}

// inTurn gives each task to the next device in turn, which does its own in their order.
func inTurn(s *simple, _ scheduler.Task, could []spot) (spot, bool) {
	s.next++
	return could[s.next%len(could)], true
}

func (s *simple) nodeUp(n scheduler.Node) {
	clear(s.full)
	for _, d := range s.spots {
		if d.node.ID == n.ID {
			d.down = false
		}
	}
	if s.hosts[n.ID] != nil {
		return
	}
	if s.menus[kindOf(n.ID)] == nil {
		s.menus[kindOf(n.ID)] = scheduler.NewMenu(n)
	}
	for i, spec := range n.Devices {
		room, _ := n.Room(spec.ID)
		kind := kindOf(n.ID) + spec.ID
		if _, known := s.kinds[kind]; !known {
			s.kinds[kind] = len(s.kinds)
		}
		d := &device{node: n, index: len(s.spots), kind: s.kinds[kind], id: spec.ID, whole: room, free: room}
		if i == 0 {
			shared := room
			s.hosts[n.ID] = &shared
		}
		s.spots = append(s.spots, d)
		s.nodes[n.ID] = append(s.nodes[n.ID], d)
	}
}

// kindOf is the node's kind, which its name begins with.
func kindOf(id string) string {
	for i := range id {
		if id[i] == '-' {
			return id[:i]
		}
	}
	return id
}

func (s *simple) nodeDown(id string) {
	for _, d := range s.spots {
		if d.node.ID == id {
			d.down = true
			s.tasks = append(s.mine[d], s.tasks...)
			delete(s.mine, d)
		}
	}
}

func (s *simple) setJob(j scheduler.Job) { s.jobs[j.ID] = j }

func (s *simple) jobEnded(id job.ID) {
	delete(s.jobs, id)
	delete(s.bound, id)
}

func (s *simple) queue(t scheduler.Task) { s.tasks = append(s.tasks, t) }

func (s *simple) ended(ref job.Ref, _ time.Duration) {
	h := s.runs[ref]
	if h == nil {
		return
	}
	delete(s.runs, ref)
	h.device.running--
	s.change(h.device, &h.need, 1)
	s.given = append(s.given, h.device.node.ID)
}

// change gives room back, or takes it with a sign of −1.
func (s *simple) change(d *device, need *scheduler.Room, sign int64) {
	host := s.hosts[d.node.ID]
	for i := range need {
		if i < scheduler.Threads {
			d.free[i] += sign * need[i]
		} else {
			host[i] += sign * need[i]
		}
	}
}

// outlook cuts as for a rack that is always busy: these policies don't look.
func (s *simple) outlook(_ job.ID, work scheduler.Work, _ int64) scheduler.Outlook {
	return scheduler.Outlook{Encoder: work.Encoders, Slots: len(s.spots), SecondsPerFrame: 1.0 / 40, Run: 30 * time.Second, After: time.Hour}
}

// number numbers a task's work, as its job is bound.
func (s *simple) number(t *scheduler.Task) int {
	work := t.Work
	if encoder := s.bound[t.Job][work.Ladder]; encoder != "" {
		work.Encoders = encoder
	}
	n, known := s.works[work]
	if !known {
		n = len(s.works)
		s.works[work] = n
		for range s.kinds {
			s.cache = append(s.cache, nil)
		}
		for _, d := range s.spots { // one of each kind
			at := n*len(s.kinds) + d.kind
			if s.cache[at] == nil {
				s.cache[at] = []scheduler.Option{}
				for _, o := range s.menus[kindOf(d.node.ID)].Options(work) {
					if o.Device == d.id {
						s.cache[at] = append(s.cache[at], o)
					}
				}
			}
		}
	}
	return n
}

func (s *simple) options(d *device, work int) []scheduler.Option {
	return s.cache[work*len(s.kinds)+d.kind]
}

// somewhere lists where a task can run: now, or with ever some time.
func (s *simple) somewhere(work int, ever bool) []spot {
	list, devices := s.list[:0], s.spots
	if !ever {
		devices = s.candidates(work)
	}
	for _, d := range devices {
		if d.down {
			continue
		}
		options := s.options(d, work)
		for i := range options {
			if ever || s.fits(d, &options[i].Need) {
				list = append(list, spot{d, &options[i]})
				break
			}
		}
	}
	s.list = list
	if !ever && len(list) == 0 {
		s.full[work] = len(s.given)
	}
	return list
}

// candidates are the devices that may have room for a work, in the rack's order:
// all of them, or those of the nodes that got room back since none had any.
func (s *simple) candidates(work int) []*device {
	since, full := s.full[work]
	if !full {
		return s.spots
	}
	delete(s.full, work)
	if len(s.given)-since > len(s.nodes)/2 {
		return s.spots
	}
	list := s.could[:0]
	for i, node := range s.given[since:] {
		if !slices.Contains(s.given[since:since+i], node) {
			list = append(list, s.nodes[node]...)
		}
	}
	slices.SortFunc(list, func(a, b *device) int { return cmp.Compare(a.index, b.index) })
	s.could = list
	return list
}

func (s *simple) fits(d *device, need *scheduler.Room) bool {
	room, host := d.free, s.hosts[d.node.ID]
	for i := scheduler.Threads; i < len(room); i++ {
		room[i] = host[i]
	}
	return room.Fits(need)
}

func (s *simple) decide(time.Time) []scheduler.Assignment {
	if s.bind {
		return s.decideBound()
	}
	var placed []scheduler.Assignment
	full := make(map[int]bool)
	var kept []scheduler.Task
	seen := 0
	for misses := 0; seen < len(s.tasks) && misses <= patience; seen++ { // what comes later waits too
		t := s.tasks[seen]
		work := s.number(&t)
		if full[work] {
			kept = append(kept, t)
			misses++
			continue
		}
		could := s.somewhere(work, false)
		if len(could) == 0 {
			full[work] = true
			kept = append(kept, t)
			continue
		}
		at, _ := s.pick(s, t, could)
		placed = append(placed, s.start(t, at))
	}
	// Those that were looked at and didn't start stay in front.
	copy(s.tasks[seen-len(kept):seen], kept)
	s.tasks = s.tasks[seen-len(kept):]
	return placed
}

// decideBound gives every new task its device, and starts what fits there.
func (s *simple) decideBound() []scheduler.Assignment {
	var placed []scheduler.Assignment
	waiting := s.tasks
	s.tasks = nil
	for _, t := range waiting {
		could := s.somewhere(s.number(&t), true)
		if len(could) == 0 {
			s.tasks = append(s.tasks, t)
			continue
		}
		at, _ := s.pick(s, t, could)
		s.hold(t, at)
		s.mine[at.device] = append(s.mine[at.device], t)
	}
	for _, d := range s.spots {
		for len(s.mine[d]) > 0 && !d.down {
			t := s.mine[d][0]
			options := s.options(d, s.number(&t))
			if len(options) == 0 { // its job was bound to another encoder meanwhile
				s.mine[d] = s.mine[d][1:]
				s.tasks = append(s.tasks, t)
				continue
			}
			if !s.fits(d, &options[0].Need) {
				break
			}
			s.mine[d] = s.mine[d][1:]
			placed = append(placed, s.start(t, spot{d, &options[0]}))
		}
	}
	return placed
}

// patience is how many tasks that can't start such a policy looks past.
const patience = 40

// hold binds a ladder to the encoder of its first task's device.
func (s *simple) hold(t scheduler.Task, at spot) {
	if t.Work.Kind != job.EncodeTask {
		return
	}
	if s.bound[t.Job] == nil {
		s.bound[t.Job] = make(map[string]string)
	}
	s.bound[t.Job][t.Work.Ladder] = at.option.Encoder
}

func (s *simple) start(t scheduler.Task, at spot) scheduler.Assignment {
	s.hold(t, at)
	s.change(at.device, &at.option.Need, -1)
	at.device.running++
	s.runs[job.Ref{Job: t.Job, Task: t.Task, Attempt: t.Attempt}] = &held{at.device, at.option.Need}
	return scheduler.Assignment{Job: t.Job, Pace: 1, Assignment: job.Assignment{
		Task: t.Task, Attempt: t.Attempt, Node: at.device.node.ID, Session: at.device.node.Session,
		Device: at.device.id, Encoder: at.option.Encoder, Threads: 1,
	}}
}
