package scheduler

import "math"

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
	priceRounds    = 160
	priceSteepness = 60
	// tightness is by how much a way may cost more than the cheapest and still be
	// one of the best.
	tightness = 0.03
	// priceDrift is by how much the waiting work changes until prices are found anew.
	priceDrift = 0.10
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

// reprice finds the prices for the work that waits, and when all of it will be
// done at the earliest.
func (e *Engine) reprice() {
	e.priced, e.pricedAt = e.demand, e.version
	load := make([]float64, e.resources())
	price := make([]float64, len(load))
	var works []*pile
	for _, p := range e.piles {
		if p.tasks > 0 && len(p.ways) > 0 {
			works = append(works, p)
		}
	}
	for _, p := range works {
		for _, w := range p.ways {
			e.usage(w)
		}
	}
	// The first estimate of the end: all work spread evenly.
	scale := e.spread(works, load)
	for round := 1; round <= priceRounds; round++ {
		e.fillPrices(price, load, scale*float64(round)/priceRounds)
		for _, p := range works {
			best := cheapestWay(p.ways, price)
			if best == nil {
				continue
			}
			amount := p.busy(best) / priceRounds
			for _, s := range best.use {
				load[s.resource] += s.amount * amount
			}
		}
		highest := 0.0
		for _, x := range load {
			highest = max(highest, x)
		}
		scale = highest * priceRounds / float64(round)
	}
	e.horizon = scale
	e.fillPrices(price, load, scale)
	sum := 0.0
	for _, p := range price {
		sum += p
	}
	for _, p := range works {
		p.setPrices(price, sum)
	}
}

// busy is how much time a pile's work takes by a way.
func (p *pile) busy(w *way) float64 {
	return float64(p.frames)*w.perFrame() + float64(p.tasks)*w.fixed
}

// spread is an upper estimate of the end.
func (e *Engine) spread(works []*pile, load []float64) float64 {
	highest := 0.0
	for _, p := range works {
		open := 0
		for _, w := range p.ways {
			if len(w.use) > 0 {
				open++
			}
		}
		for _, w := range p.ways {
			for _, s := range w.use {
				load[s.resource] += s.amount * p.busy(w) / float64(open)
			}
		}
	}
	for i := range load {
		highest = max(highest, load[i])
		load[i] = 0
	}
	return highest
}

func (e *Engine) fillPrices(price, load []float64, scale float64) {
	if scale <= 0 {
		scale = 1
	}
	highest := 0.0
	for _, x := range load {
		highest = max(highest, x)
	}
	for i, x := range load {
		price[i] = math.Exp(priceSteepness * (x - highest) / scale)
	}
}

// costAt is a frame's cost by a way, its part of the fixed time included.
func (w *way) costAt(price []float64, framesPerTask float64) float64 {
	sum := 0.0
	for _, s := range w.use {
		sum += s.amount * price[s.resource]
	}
	return sum * (w.perFrame() + w.fixed/framesPerTask)
}

func cheapestWay(ways []*way, price []float64) *way {
	var best *way
	least := 0.0
	for _, w := range ways {
		if len(w.use) == 0 {
			continue
		}
		if cost := w.costAt(price, w.typical()); best == nil || cost < least {
			best, least = w, cost
		}
	}
	return best
}

// typical is how many frames a task has for its fixed time to count little.
func (w *way) typical() float64 {
	if w.seconds == 0 {
		return 1
	}
	return typicalFrames
}

const typicalFrames = 500

// setPrices notes what each way costs and which are the best.
func (p *pile) setPrices(price []float64, sum float64) {
	p.cost = 0
	for _, w := range p.ways {
		w.cost = math.Inf(1)
		if len(w.use) == 0 {
			continue
		}
		w.cost = w.costAt(price, w.typical()) / sum
		if p.cost == 0 || w.cost < p.cost {
			p.cost = w.cost
		}
	}
	for _, w := range p.ways {
		w.tight = w.cost <= p.cost*(1+tightness)
	}
}
