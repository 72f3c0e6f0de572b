package scheduler

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"millrace/hwaccel"
	"millrace/job"
)

// Engine is the state of the rack and of the queues, and decides. It is made
// with [NewEngine] and isn't safe for use by several goroutines at once.
type Engine struct {
	epoch     time.Time
	clock     float64 // seconds since epoch
	worthFrom float64 // see worth

	nodes       map[string]*host
	classes     []*class
	hostClasses []*hostClass
	classByKey  map[string]*class
	hostsByKey  map[string]*hostClass

	piles  []*pile
	byWork map[Work]*pile
	// cleanups are the piles of what may be done anywhere in the end.
	cleanups []*pile
	// byBucket and byKind are the ways whose speed is learned together.
	byBucket, byKind map[string]*alike
	active           []*pile
	orgs             map[string]*org
	jobs             map[job.ID]*queued
	runs             map[job.Ref]*run
	// waiting counts the tasks of admitted jobs; demand weighs them.
	waiting int
	demand  float64
	threads int // of the CPUs of open nodes
	// weights is the sum of those of organisations with work waiting, virtual the
	// time by which short jobs are ordered, lengths what is known of jobs' lengths.
	weights, virtual float64
	lengths          length

	costs costs
	// version counts changes of the rack; priced and pricedAt say for which
	// demand and version the prices are, and horizon when all waiting work of
	// that moment could have been done, in seconds from then.
	version, pricedAt int
	priced            float64
	horizon           float64
	// full says that so much waits that no thread is left idle (see threads.go).
	full bool
	// mixes are what was planned of each work so far (see Outlook).
	mixes                 map[*pile]*mix
	mixed                 []*pile // in the order in which they came
	mixFrames, mixDivided float64
	mixVersion            int
}

// run is an attempt under way.
type run struct {
	ref      job.Ref
	job      *queued
	device   *device
	class    *class // of the device when it started
	way      *way
	need     Room
	frames   int64
	started  float64
	expected float64 // seconds
	profiled float64
	place    int // in the class's heap of ends
	why      choice
	// For its backup (see Backups): the pile of its work, where the task failed,
	// the frames that it has done, and when these were last more than before.
	pile     *pile
	failedOn []Place
	done     int64
	moved    float64
	// backed says that it got a backup; of is the attempt that it is itself one of.
	backed bool
	of     int
}

// end is when the attempt should be over.
func (r *run) end() float64 { return r.started + r.expected }

type endHeap = heap[*run]

func newEndHeap() endHeap {
	return endHeap{
		less: func(a, b *run) bool {
			if x, y := a.end(), b.end(); x != y {
				return x < y
			}
			return cmp.Or(cmp.Compare(a.ref.Job, b.ref.Job), cmp.Compare(a.ref.Task, b.ref.Task)) < 0
		},
		at: func(r *run) *int { return &r.place },
	}
}

// NewEngine makes an engine with nothing in it. epoch is the time that the
// first event has, or any time before it.
func NewEngine(epoch time.Time) *Engine {
	return &Engine{
		epoch: epoch, nodes: make(map[string]*host),
		classByKey: make(map[string]*class), hostsByKey: make(map[string]*hostClass),
		byWork: make(map[Work]*pile), byBucket: make(map[string]*alike), byKind: make(map[string]*alike), orgs: make(map[string]*org), jobs: make(map[job.ID]*queued),
		runs: make(map[job.Ref]*run), costs: newCosts(), pricedAt: -1, mixes: make(map[*pile]*mix),
	}
}

func (e *Engine) seconds(t time.Time) float64 { return t.Sub(e.epoch).Seconds() }

// Advance tells the time. It never goes back: an earlier time is ignored.
func (e *Engine) Advance(now time.Time) {
	e.clock = max(e.clock, e.seconds(now))
	e.deflate()
}

// Waiting is how many tasks could start if there were room.
func (e *Engine) Waiting() int { return e.waiting }

// Running is how many attempts take up room.
func (e *Engine) Running() int { return len(e.runs) }

// EstimateError is the median relative error of the latest estimates of how
// long an attempt takes, and how many estimates it is over; 0 and 0 before there
// are any.
func (e *Engine) EstimateError() (median float64, over int) {
	return e.costs.median(), len(e.costs.errors)
}

// Horizon is when all work that waits could be done, as last estimated.
func (e *Engine) Horizon() time.Duration { return time.Duration(e.horizon * float64(time.Second)) }

// SetNode adds a node or takes note of how it changed. What runs on it goes on.
func (e *Engine) SetNode(node Node) {
	node.Devices = slices.SortedFunc(slices.Values(node.Devices), func(a, b Device) int { return cmp.Compare(a.ID, b.ID) })
	h := e.nodes[node.ID]
	if h != nil && !h.gone && reflect.DeepEqual(h.node, node) {
		return
	}
	if h == nil {
		h = &host{}
		e.nodes[node.ID] = h
	}
	e.leave(h)
	// Runs point to their devices, also to one that isn't there for a while.
	old := h.known
	h.node, h.gone, h.whole = node, false, wholeHost(&node)
	h.free, h.devices = h.whole, nil
	h.reserve, h.full = node.reserve(), e.full
	inClass := e.hostClass(&node, h.whole)
	for _, spec := range node.Devices {
		d := &device{host: h, spec: spec}
		if i := slices.IndexFunc(old, func(o *device) bool { return o.spec.ID == spec.ID }); i >= 0 {
			d = old[i] // runs point to it
			d.spec = spec
		}
		d.free, d.costs = wholeDevice(&spec), e.costs.device(d.key())
		d.class, d.speed = e.class(d, inClass)
		h.devices = append(h.devices, d)
	}
	h.known = slices.Clone(h.devices)
	for _, d := range old {
		if h.running > 0 && !slices.Contains(h.devices, d) {
			d.free = wholeDevice(&d.spec)
			h.known = append(h.known, d)
		}
	}
	e.keepRuns(h)
	e.enter(h)
}

// RemoveNode forgets a node. Attempts that run on it keep their place until
// they are ended.
func (e *Engine) RemoveNode(id string) {
	h := e.nodes[id]
	if h == nil || h.gone {
		return
	}
	e.leave(h)
	h.gone = true
	for _, d := range h.devices {
		e.costs.forget(d.key())
	}
	e.forget(h)
}

// forget drops a host that is gone once nothing runs on it.
func (e *Engine) forget(h *host) {
	if h.gone && h.running == 0 {
		delete(e.nodes, h.node.ID)
	}
}

// keepRuns takes the room of what runs on a host that changed.
func (e *Engine) keepRuns(h *host) {
	if h.running == 0 {
		return
	}
	for _, r := range e.runs { // the order doesn't matter: it is a sum
		if r.device.host == h {
			h.free.take(&r.need, firstOfHost, dims)
			r.device.free.take(&r.need, 0, firstOfHost)
		}
	}
}

// leave takes a host's devices out of the trees, enter puts them in.
func (e *Engine) leave(h *host) {
	e.version++
	e.awake()
	if h.gone || len(h.devices) == 0 {
		return
	}
	if h.node.Closed == "" {
		h.devices[0].class.hosts.hosts--
		e.threads -= int(h.whole[Threads] / Thread)
	}
	for _, d := range h.devices {
		d.class.tree.remove(d)
		if d.closed() == "" {
			d.class.devices--
		}
	}
}

func (e *Engine) enter(h *host) {
	if len(h.devices) > 0 && h.node.Closed == "" {
		h.devices[0].class.hosts.hosts++
		e.threads += int(h.whole[Threads] / Thread)
	}
	for _, d := range h.devices {
		d.class.tree.add(d)
		if d.closed() == "" {
			d.class.devices++
		}
	}
	e.reopen(h)
	e.unblock()
}

func (e *Engine) hostClass(node *Node, whole Room) *hostClass {
	key := hostKey(node)
	c := e.hostsByKey[key]
	if c == nil {
		c = &hostClass{id: len(e.hostClasses), whole: whole}
		e.hostClasses, e.hostsByKey[key] = append(e.hostClasses, c), c
	}
	return c
}

// class finds or makes a device's class, and the device's speed against it.
func (e *Engine) class(d *device, hosts *hostClass) (*class, float64) {
	spec, key := roundSpeeds(d.spec)
	key += " on " + hostKey(&d.host.node)
	c := e.classByKey[key]
	if c == nil {
		c = &class{id: len(e.classes), key: key, spec: spec, hosts: hosts, labels: d.host.node.Labels, taints: d.host.node.Taints, ends: newEndHeap()}
		c.whole = hosts.whole
		device := wholeDevice(&spec)
		c.whole.give(&device, 0, firstOfHost)
		by := Encode
		switch {
		case spec.Kind == hwaccel.CPU:
			by = Spare
		case c.whole[Encode] == 0:
			by = Decode
		}
		for i := range d.host.node.Devices {
			if cpu := &d.host.node.Devices[i]; cpu.Kind == hwaccel.CPU {
				rounded, _ := roundSpeeds(*cpu)
				c.cpu = &rounded
			}
		}
		c.tree = newTree(by)
		e.classes, e.classByKey[key] = append(e.classes, c), c
		for _, p := range e.piles {
			e.addWays(p, c)
			p.measure()
		}
	}
	return c, speedRatio(d.spec, c.spec)
}

// pile finds or makes the pile of a work.
func (e *Engine) pile(work Work) *pile {
	p := e.byWork[work]
	if p == nil {
		p = newPile(work, len(e.piles))
		e.piles, e.byWork[work] = append(e.piles, p), p
		for _, c := range e.classes {
			e.addWays(p, c)
		}
		p.measure()
		e.version++
		if work.Kind == job.CleanupTask {
			p.homeless = e.clock
			e.cleanups = append(e.cleanups, p)
		}
	}
	return p
}

func (e *Engine) addWays(p *pile, c *class) {
	list := waysOf(p.work, c)
	for i := range list {
		w := &list[i]
		w.pile = p
		w.findParts()
		w.recall(&e.costs)
		w.alike, w.akin = join(e.byBucket, w.bucket, w), join(e.byKind, w.kind, w)
		p.ways, c.ways, p.gpus = append(p.ways, w), append(c.ways, w), p.gpus || w.need[Encode] > 0
	}
	if len(list) > 0 {
		p.mixed = p.isMixed()
	}
}

// join adds a way to those whose speed is learned together under a name.
func join(by map[string]*alike, name string, w *way) *alike {
	if by[name] == nil {
		by[name] = &alike{}
	}
	by[name].ways = append(by[name].ways, w)
	return by[name]
}
