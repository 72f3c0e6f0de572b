package scheduler

import (
	"math"
	"slices"
)

// costs learns how much longer work takes than profiles say: a profile is of
// one clip at a few sizes, on a device that did nothing else.
//
// It keeps a ratio of real to profiled time for each kind of work with one ladder, one
// for each class of devices against that, and one for each device against its class; an
// estimate is the product. What has done little is taken to be like what it is part of,
// and a ladder that was made little like others of that kind of work.
type costs struct {
	kinds   map[string]*average // by encoder, source codec and density
	works   map[string]*learned // by bucket: a kind and a ladder
	devices map[string]deviceCosts
	// errors are the latest estimates' relative errors, made before the
	// attempt was learned from.
	errors []float64
	next   int
	seen   int // observations
}

// learned is what was learned of one kind of work with one ladder. Ways hold it, and
// devices hold their deviceCosts, so that no decision has to find them by their names.
type learned struct {
	average
	kind    *average
	classes map[string]*average // by the class's key
}

// deviceCosts is what was learned of one device.
type deviceCosts map[*learned]*average

// average is an exponentially weighted mean of logarithms of ratios: at first
// the plain mean, so that the first few count alike.
type average struct {
	log float64
	n   float64
}

const (
	// learnFrom is how many observations an average goes back to.
	learnFrom = 32
	// trustAfter is how many observations it takes until they weigh as much as what
	// was known before.
	trustAfter = 1
	// errorsKept is how many estimates the error measure is over: more than one film's
	// chunks, which may all be wrong alike.
	errorsKept = 4096
	// wildest bounds a ratio: a clock that jumped must not spoil an average.
	wildest = 20
)

func newCosts() costs {
	return costs{kinds: make(map[string]*average), works: make(map[string]*learned), devices: make(map[string]deviceCosts)}
}

func (a *average) add(log float64) {
	a.n++
	a.log += (log - a.log) / min(a.n, learnFrom)
}

// of finds or makes what is learned of a bucket, which is of a kind.
func (c *costs) of(kind, bucket string) *learned {
	if c.kinds[kind] == nil {
		c.kinds[kind] = &average{}
	}
	work := c.works[bucket]
	if work == nil {
		work = &learned{kind: c.kinds[kind], classes: make(map[string]*average)}
		c.works[bucket] = work
	}
	return work
}

// on finds or makes what is learned of a work on a class.
func (l *learned) on(class string) *average {
	if l.classes[class] == nil {
		l.classes[class] = &average{}
	}
	return l.classes[class]
}

// device finds or makes what is learned of a device.
func (c *costs) device(key string) deviceCosts {
	if c.devices[key] == nil {
		c.devices[key] = make(deviceCosts)
	}
	return c.devices[key]
}

// ratio is the learned ratio of the device to its class, for a work.
func (d deviceCosts) ratio(work *learned) float64 { return math.Exp(d[work].trusted()) }

// recall takes a way's averages from what was learned.
func (w *way) recall(c *costs) {
	w.work = c.of(w.kind, w.bucket)
	w.onClass = w.work.on(w.class.key)
	w.follow(w.ratio())
}

// ratio is the logarithm of how much longer work takes by a way than its profile
// says, 0 before anything is known.
func (w *way) ratio() float64 { return w.work.trusted() + w.onClass.trusted() }

// follow makes a ratio that was learned the way's own.
func (w *way) follow(ratio float64) { w.followed, w.learned = ratio, math.Exp(ratio) }

// trusted is an average's logarithm, the less of it the less it rests on; 0 of
// none.
func (a *average) trusted() float64 {
	if a == nil {
		return 0
	}
	return a.log * a.n / (a.n + trustAfter)
}

// trusted is a ladder's logarithm, the more that of its kind of work the less it rests on.
func (l *learned) trusted() float64 {
	return l.average.trusted() + l.kind.trusted()*trustAfter/(l.n+trustAfter)
}

// learn takes what an attempt really took, against what the profile said and
// what was expected of it.
func (c *costs) learn(w *way, device deviceCosts, profiled, expected, took float64) {
	if profiled <= 0 || took <= 0 || expected <= 0 {
		return
	}
	c.note(math.Abs(expected-took) / took)
	c.seen++
	log := math.Log(min(max(took/profiled, 1.0/wildest), wildest))
	w.work.kind.add(log)
	w.work.add(log)
	log -= w.work.trusted()
	w.onClass.add(log)
	device.of(w.work).add(log - w.onClass.trusted())
}

// learn takes a ratio of real to profiled time for what says something of a
// device alone, and not of its class and the work.
func (d deviceCosts) learn(w *way, ratio float64) {
	log := math.Log(min(max(ratio, 1.0/wildest), wildest))
	d.of(w.work).add(log - w.ratio())
}

// of finds or makes what is learned of a work on the device.
func (d deviceCosts) of(work *learned) *average {
	if d[work] == nil {
		d[work] = &average{}
	}
	return d[work]
}

func (c *costs) note(relative float64) {
	if len(c.errors) < errorsKept {
		c.errors = append(c.errors, relative)
		return
	}
	c.errors[c.next] = relative
	c.next = (c.next + 1) % errorsKept
}

// median is the median of the latest relative errors, 0 before there are any.
func (c *costs) median() float64 {
	if len(c.errors) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(c.errors))[len(c.errors)/2]
}

// forget drops a device that is gone for good.
func (c *costs) forget(device string) { delete(c.devices, device) }

// Recall takes over what another engine has learned of how long work takes.
func (e *Engine) Recall(from *Engine) {
	e.costs = from.costs
	for _, p := range e.piles {
		for _, w := range p.ways {
			w.recall(&e.costs)
		}
	}
	for _, h := range e.nodes {
		for _, d := range h.known {
			d.costs = e.costs.device(d.key())
		}
	}
}
