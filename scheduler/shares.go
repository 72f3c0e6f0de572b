package scheduler

import (
	"math"
	"time"
)

const (
	// shareHalfLife is how long it takes for half of what an organisation had to
	// be forgotten.
	shareHalfLife = 10 * time.Minute
	// shareCredit is how many seconds of all CPU threads an organisation that
	// comes back is at most ahead of the others.
	shareCredit = 10.0
)

// comeBack limits how far an organisation that had nothing waiting is ahead of
// those that had.
func (e *Engine) comeBack(o *org) {
	least := math.Inf(1)
	for _, other := range e.orgs {
		if other != o && other.waiting > 0 {
			least = min(least, other.had)
		}
	}
	if !math.IsInf(least, 1) {
		o.had = max(o.had, least-shareCredit*float64(max(1, e.threads))*e.worth())
	}
	e.moveLanes(o)
}

// worth is what a second of the rack counts now in what organisations had.
func (e *Engine) worth() float64 {
	return math.Exp2((e.clock - e.worthFrom) / shareHalfLife.Seconds())
}

// deflate divides what all organisations had before the numbers get too large.
func (e *Engine) deflate() {
	const largest = 1 << 40
	worth := e.worth()
	if worth < largest {
		return
	}
	e.worthFrom = e.clock
	for _, o := range e.orgs {
		o.had /= worth
	}
	for _, p := range e.piles { // small ones may have become equal
		for i := len(p.lanes.items) - 1; i >= 0; i-- {
			p.lanes.down(i)
		}
	}
}

// charge counts what an organisation was given, by one of its lanes.
func (e *Engine) charge(l *lane, seconds float64) {
	o := l.org
	o.had += seconds / o.weight() * e.worth()
	e.hurried(l, seconds)
	e.moveLanes(o)
}

func (o *org) weight() float64 {
	if o.Weight <= 0 {
		return 1
	}
	return o.Weight
}

// moveLanes moves an organisation's lanes after it has had more.
func (e *Engine) moveLanes(o *org) {
	for _, l := range o.lanes {
		l.pile.lanes.sink(l)
		l.pile.hasty.sink(l)
	}
}
