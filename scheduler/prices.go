package scheduler

import (
	"math"
	"slices"
)

// Prices say what a second of each resource is worth while there is more to do
// than fits, so that work goes where it is best compared with other work, not
// simply where it is fastest: a fast GPU does big pictures, an idle CPU the
// small ones (comparative advantage).
//
// They are the dual of a linear program: all waiting work, spread over the rack
// so that it ends soonest (docs/scheduling.md). The program is solved
// approximately, by giving the work to the rack in small equal portions, each by
// the way that is cheapest at prices that grow exponentially with how much a
// resource has been given already (Plotkin, Shmoys and Tardos 1995).

const (
	// priceRounds is how many portions the work is divided into; priceSteepness
	// how fast prices grow. Together they find the optimum to about 1 %.
	// With many works fewer rounds do: together they have as many portions.
	priceRounds    = 160
	fewestRounds   = 40
	priceSteps     = 4000
	priceSteepness = 40
	// priceDrift is by how much the waiting work changes until prices are found anew.
	priceDrift = 0.10
	// mostSteps bounds by how many factors of e prices differ: one portion of what takes
	// long by one way and hardly any time by another can be far more load than all others,
	// and what prices make of it must stay a number.
	mostSteps = 300
)

// resources numbers what has a price: for each class its encoder, decoder,
// sessions and memory, for each class of hosts its shared dimensions.
func (e *Engine) resource(c *class, dim int) int {
	if dim >= firstOfHost {
		return len(e.classes)*firstOfHost + c.hosts.id*dims + dim
	}
	return c.id*firstOfHost + dim
}

func (e *Engine) resources() int { return len(e.classes)*firstOfHost + len(e.hostClasses)*dims }

// usage finds what a way takes up for each frame, as shares of all that there is.
func (e *Engine) usage(w *way) {
	w.use = w.use[:0]
	c := w.class
	for d, need := range w.need {
		count := c.devices
		if d >= firstOfHost {
			count = c.hosts.hosts
		}
		whole := c.whole[d]
		if need == 0 || count == 0 || whole >= Unlimited || whole <= 0 {
			continue
		}
		w.use = append(w.use, share{e.resource(c, d), float64(need) / float64(whole) / float64(count)})
	}
}

// refreshPrices finds prices anew if much has changed.
func (e *Engine) refreshPrices() {
	if e.pricedAt != e.version || math.Abs(e.demand-e.priced) > priceDrift*e.priced {
		e.reprice()
	}
}

// demand is how much of a work there is to do.
type demand struct {
	pile          *pile
	frames, tasks float64
	weight        []float64 // of the pile's ways
}

// busy is how much time a demand takes by a way, in seconds of its tasks.
func (d *demand) busy(w *way) float64 { return d.frames*w.perFrame() + d.tasks*w.fixed }

// reprice finds the prices for the work that waits, and when all of it will be
// done at the earliest.
func (e *Engine) reprice() {
	e.priced, e.pricedAt = e.demand, e.version
	var demands []demand
	for _, p := range e.piles {
		if p.tasks > 0 && len(p.ways) > 0 {
			demands = append(demands, demand{pile: p, frames: float64(p.frames), tasks: float64(p.tasks)})
		}
	}
	var price []float64
	price, e.horizon = e.solve(demands)
	e.setFull(e.horizon > fullFrom || slices.ContainsFunc(demands, func(d demand) bool { return d.pile.gpus }))
	sum := 0.0
	for _, p := range price {
		sum += p
	}
	for i := range demands {
		demands[i].pile.setPrices(price, sum)
	}
}

// solve spreads demands over the rack so that they end soonest, about, and
// gives the prices at which each goes its cheapest way, and when they end.
func (e *Engine) solve(demands []demand) (prices []float64, end float64) {
	load := make([]float64, e.resources())
	price, sum := make([]float64, len(load)), make([]float64, len(load))
	for i := range demands {
		demands[i].weight = make([]float64, len(demands[i].pile.ways))
		for _, w := range demands[i].pile.ways {
			e.usage(w)
		}
	}
	end = spread(demands, load) // the first estimate
	rounds := min(max(priceSteps/max(1, len(demands)), fewestRounds), priceRounds)
	for round := 1; round <= rounds; round++ {
		t := newTide(load, end*float64(round)/float64(rounds))
		for i, x := range load {
			price[i] = t.price(x)
		}
		if round > rounds/2 { // the first ones know little
			addNormal(sum, price)
		}
		for i := range demands {
			d := &demands[i]
			d.divide(price, 1/float64(rounds), load, t)
		}
		highest := 0.0
		for _, x := range load {
			highest = max(highest, x)
		}
		end = highest * float64(rounds) / float64(round)
	}
	// Prices jump with every portion; what they are on average is the dual.
	return sum, end
}

// addNormal adds prices, made to sum up to 1.
func addNormal(sum, price []float64) {
	total := 0.0
	for _, p := range price {
		total += p
	}
	for i, p := range price {
		sum[i] += p / total
	}
}

// spread is an upper estimate of the end: every demand by all of its ways alike.
func spread(demands []demand, load []float64) float64 {
	highest := 0.0
	for i := range demands {
		d := &demands[i]
		open := 0
		for _, w := range d.pile.ways {
			if len(w.use) > 0 {
				open++
			}
		}
		for _, w := range d.pile.ways {
			for _, s := range w.use {
				load[s.resource] += s.amount * d.busy(w) / float64(open)
			}
		}
	}
	for i := range load {
		highest = max(highest, load[i])
		load[i] = 0
	}
	return highest
}

// tide is what prices are measured by in a round: the highest load when it began, and
// by how much more load a price grows by a factor of e.
type tide struct{ highest, step float64 }

func newTide(load []float64, scale float64) tide {
	if scale <= 0 {
		scale = 1
	}
	t := tide{step: scale / priceSteepness}
	for _, x := range load {
		t.highest = max(t.highest, x)
	}
	return t
}

func (t tide) price(load float64) float64 {
	return math.Exp(min(max((load-t.highest)/t.step, -mostSteps), mostSteps))
}

// costAt is a frame's cost by a way, its part of the fixed time included.
func (w *way) costAt(price []float64, framesPerTask float64) float64 {
	sum := 0.0
	for _, s := range w.use {
		sum += s.amount * price[s.resource]
	}
	return sum * (w.perFrame() + w.fixed/framesPerTask)
}

// divide gives a part of a demand to its ways: nearly all of it to those that
// cost little more than the cheapest. All of it to one would overshoot where a
// portion is much for a small resource; so would all demands' portions at the same
// prices, which therefore change with each.
func (d *demand) divide(price []float64, part float64, load []float64, t tide) {
	least := 0.0
	for i, w := range d.pile.ways {
		d.weight[i] = 0
		if len(w.use) > 0 {
			d.weight[i] = w.costAt(price, w.typical())
			if least == 0 || d.weight[i] < least {
				least = d.weight[i]
			}
		}
	}
	sum := 0.0
	for i, cost := range d.weight {
		if cost > 0 {
			x := least / cost
			x *= x
			x *= x
			x *= x
			x *= x
			x *= x // to the power of 64
			d.weight[i] = x
			sum += x
		}
	}
	for i, w := range d.pile.ways {
		if d.weight[i] < 1e-3 {
			continue
		}
		share := d.weight[i] / sum * part
		amount := d.busy(w) * share
		for _, s := range w.use {
			load[s.resource] += s.amount * amount
			price[s.resource] = t.price(load[s.resource])
		}
	}
}

// typical is how many frames a task has for its fixed time to count little.
func (w *way) typical() float64 {
	if w.seconds == 0 {
		return 1
	}
	return typicalFrames
}

const typicalFrames = 500

// setPrices notes what each way costs.
func (p *pile) setPrices(price []float64, sum float64) {
	for _, w := range p.ways {
		w.cost = math.Inf(1)
		if len(w.use) > 0 {
			w.cost = w.costAt(price, w.typical()) / sum
		}
	}
}
