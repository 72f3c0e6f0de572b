package scheduler

import (
	"math"
	"slices"
)

// costs learns how much longer work takes than profiles say: a profile is of
// one clip at a few sizes, on a device that did nothing else.
//
// It keeps a ratio of real to profiled time for each kind of work, one for each
// class of devices against that, and one for each device against its class; an
// estimate is the product. What has done little is taken to be like what it is
// part of.
type costs struct {
	works   map[string]*average // by bucket
	classes map[costKey]*average
	devices map[costKey]*average
	// errors are the latest estimates' relative errors, made before the
	// attempt was learned from.
	errors []float64
	next   int
	seen   int // observations
}

// costKey is a class or a device, and a bucket of work: encoder, ladder and
// source codec.
type costKey struct{ of, bucket string }

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
	// errorsKept is how many estimates the error measure is over.
	errorsKept = 512
	// wildest bounds a ratio: a clock that jumped must not spoil an average.
	wildest = 20
)

func newCosts() costs {
	return costs{works: make(map[string]*average), classes: make(map[costKey]*average), devices: make(map[costKey]*average)}
}

func (a *average) add(log float64) {
	a.n++
	a.log += (log - a.log) / min(a.n, learnFrom)
}

// class is the learned ratio of a bucket on a class, 1 before anything is known.
func (c *costs) class(class, bucket string) float64 {
	return math.Exp(c.works[bucket].trusted() + c.classes[costKey{class, bucket}].trusted())
}

// device is the learned ratio of a device to its class, for a bucket.
func (c *costs) device(device, bucket string) float64 {
	return math.Exp(c.devices[costKey{device, bucket}].trusted())
}

// trusted is an average's logarithm, the less of it the less it rests on; 0 of
// none.
func (a *average) trusted() float64 {
	if a == nil {
		return 0
	}
	return a.log * a.n / (a.n + trustAfter)
}

// learn takes what an attempt really took, against what the profile said and
// what was expected of it.
func (c *costs) learn(class, device, bucket string, profiled, expected, took float64) {
	if profiled <= 0 || took <= 0 || expected <= 0 {
		return
	}
	c.note(math.Abs(expected-took) / took)
	c.seen++
	log := math.Log(min(max(took/profiled, 1.0/wildest), wildest))
	if c.works[bucket] == nil {
		c.works[bucket] = &average{}
	}
	inClass, inDevice := costKey{class, bucket}, costKey{device, bucket}
	if c.classes[inClass] == nil {
		c.classes[inClass] = &average{}
	}
	if c.devices[inDevice] == nil {
		c.devices[inDevice] = &average{}
	}
	c.works[bucket].add(log)
	log -= c.works[bucket].trusted()
	c.classes[inClass].add(log)
	c.devices[inDevice].add(log - c.classes[inClass].trusted())
}

// learnOfDevice takes a ratio of real to profiled time for what says something of a
// device alone, and not of its class and the work.
func (c *costs) learnOfDevice(class, device, bucket string, ratio float64) {
	in := costKey{device, bucket}
	if c.devices[in] == nil {
		c.devices[in] = &average{}
	}
	log := math.Log(min(max(ratio, 1.0/wildest), wildest))
	c.devices[in].add(log - c.works[bucket].trusted() - c.classes[costKey{class, bucket}].trusted())
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
func (c *costs) forget(device string) {
	for key := range c.devices {
		if key.of == device {
			delete(c.devices, key)
		}
	}
}

// Recall takes over what another engine has learned of how long work takes.
func (e *Engine) Recall(from *Engine) {
	e.costs = from.costs
	for bucket, ways := range e.byBucket {
		for _, w := range ways {
			w.learned = e.costs.class(w.class.key, bucket)
		}
	}
}
