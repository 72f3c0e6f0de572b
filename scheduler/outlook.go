package scheduler

import (
	"math"
	"slices"
	"strings"
	"time"

	"millrace/hwaccel"
	"millrace/job"
)

// Outlook is what a job can expect of the rack as it is: how its timeline
// should be cut follows from it.
type Outlook struct {
	// Encoder is the one of the work's that suits the job best, by which all of it is
	// made; empty if no device has any.
	Encoder string
	// Parts is how the ladder is divided between two encoders, where a job that has the
	// rack to itself ends sooner so; none where Encoder makes all of it.
	Parts []Part
	// Slots is how many of its chunks can run at once.
	Slots int
	// Places is how many tasks can run at once without sharing what one of them
	// alone could use all of: a CPU is one place, whatever its threads. 0 where
	// devices write different headers: then a ladder must not be split, since the
	// headers of all of a job's chunks are those of its first.
	Places int
	// SecondsPerFrame is how long a chunk takes on one of them, for each frame.
	SecondsPerFrame float64
	// Run is how long a chunk should run, for its start to cost little, where others
	// wait for the rack; 0 where the job has it to itself and is to be done as soon
	// as all slots together can.
	Run time.Duration
	// After is for how long the devices of its encoder are busy with what waits and is
	// due later: what evens out when its last chunks end.
	After time.Duration
}

// busyAfter is how much work must wait for the rack to be busy, in seconds of
// the whole rack.
const busyAfter = 15

// Outlook looks ahead for a job's encode work of so many frames. In a busy rack
// the encoder is the one that has had least of its part of such work; in an idle
// one that with which the rack is fastest.
func (e *Engine) Outlook(id job.ID, work Work, frames int64) Outlook {
	e.refreshPrices()
	outlook := Outlook{Run: e.run(frames)}
	first := ""
	if m := e.mixOf(work, frames); e.horizon > busyAfter && outlook.Run > hastyRun {
		first = e.soonest(work, m, frames)
	}
	soonest := math.Inf(1)
	for encoder := range strings.SplitSeq(work.Encoders, ",") {
		most := e.most(work, encoder)
		slots, perSecond := most.slots, most.perSecond
		if perSecond == 0 {
			continue
		}
		ends := float64(frames) / perSecond
		if outlook.Run > 0 || 2*len(e.runs) > e.threads { // a chunk gets one thread
			ends = max(ends, shortestFrames*float64(slots)/perSecond)
		}
		if wait := e.freeIn(e.pile(work), most.binding); !math.IsInf(wait, 1) {
			ends += wait
		}
		if encoder == first || first == "" && ends < soonest {
			soonest = ends
			outlook.Encoder, outlook.Slots, outlook.Places, outlook.SecondsPerFrame = encoder, slots, most.places, float64(slots)/perSecond
		}
	}
	if outlook.Run == 0 && outlook.Encoder != "" {
		outlook.Parts = e.parts(work, frames, soonest)
	}
	if q := e.jobs[id]; q != nil && outlook.Run > 0 {
		outlook.After = e.after(q, outlook.Encoder, float64(frames)*outlook.SecondsPerFrame/float64(max(1, outlook.Slots)))
	}
	chosen := work
	if chosen.Encoders = outlook.Encoder; outlook.Encoder != "" && e.pile(chosen).mixed {
		outlook.Places = 0
	}
	return outlook
}

// shortestFrames is about how many frames a chunk of one segment has.
const shortestFrames = 100

// rateAfter is after how many attempts that were learned from a rate is found anew.
const rateAfter = 200

// rate is how many frames of a pile's work the rack makes in a second.
func (e *Engine) rate(p *pile) float64 { return e.rated(p).perSecond }

// rated is what the rack makes of a pile's work.
func (e *Engine) rated(p *pile) *capacity {
	now := 1 + e.version + e.costs.seen/rateAfter
	if p.ratedAt != now {
		p.rated, p.ratedAt = e.most(p.work, p.work.Encoders), now
	}
	return &p.rated
}

// most is what the rack makes of a work with one encoder. Where devices write different
// headers it is by those of which there is most: a job's chunks have one.
func (e *Engine) most(work Work, encoder string) (most capacity) {
	work.Encoders = encoder
	for _, c := range e.pile(work).capacities() {
		if c.perSecond > most.perSecond {
			most = c
		}
	}
	return most
}

// capacity is what the rack makes of a work with one encoder and one sort of headers.
type capacity struct {
	binding
	slots     int
	places    int     // see Outlook
	perSecond float64 // frames
	fixed     float64 // seconds for each task
	threads   float64 // of CPUs, that all slots take up
}

// run is how long a task of so many frames takes in one of the slots, in seconds.
func (c *capacity) run(frames int64) float64 {
	return c.fixed + float64(frames)*float64(c.slots)/c.perSecond
}

// capacities are in the order of the pile's ways.
func (p *pile) capacities() []capacity {
	var list []capacity
	for _, w := range p.ways {
		if w.divisible != (w.class.spec.Kind == hwaccel.CPU) || w.need[Encode] == 0 && !w.divisible {
			continue // decoded on a GPU, encoded on threads that are counted with the CPU
		}
		n := w.class.devices * int(w.class.atOnce(&w.need))
		if n == 0 {
			continue
		}
		i := slices.IndexFunc(list, func(c capacity) bool { return c.binding == w.binding() })
		if i < 0 {
			i, list = len(list), append(list, capacity{binding: w.binding()})
		}
		list[i].slots += n
		if w.divisible {
			list[i].places += w.class.devices
		} else {
			list[i].places += n
		}
		list[i].perSecond += float64(n) / w.perFrame()
		list[i].fixed = w.fixed
		list[i].threads += float64(n) * float64(w.need[Threads]) / Thread
	}
	return list
}

// mix is all work of a kind that was planned so far, and how it would be
// divided best between encoders, with all other work considered.
type mix struct {
	frames float64
	// cost is what a frame costs with each encoder at the prices of all planned work.
	cost map[string]float64
}

// mixOf counts planned work and divides all of it anew if it has grown much.
func (e *Engine) mixOf(work Work, frames int64) *mix {
	p := e.pile(work)
	m := e.mixes[p]
	if m == nil {
		m = &mix{}
		e.mixes[p] = m
		e.mixed = append(e.mixed, p)
	}
	m.frames += float64(frames)
	e.mixFrames += float64(frames)
	if m.cost != nil && e.mixFrames < e.mixDivided*(1+priceDrift) && e.mixVersion == e.version {
		return m
	}
	e.mixDivided, e.mixVersion = e.mixFrames, e.version
	var demands []demand
	for _, p := range e.mixed {
		demands = append(demands, demand{pile: p, frames: e.mixes[p].frames, tasks: e.mixes[p].frames / typicalFrames})
	}
	price, _ := e.solve(demands)
	for i := range demands {
		cost := make(map[string]float64)
		for _, w := range demands[i].pile.ways {
			if c := w.costAt(price, typicalFrames); len(w.use) > 0 && (cost[w.encoder] == 0 || c < cost[w.encoder]) {
				cost[w.encoder] = c
			}
		}
		e.mixes[demands[i].pile].cost = cost
	}
	return m
}

const (
	// swing is how much later an encoder may be through, in seconds or as a part of
	// all that waits, before it loses work that costs half with it: the less the fewer
	// jobs are still to be planned, since these even it out.
	swingSeconds, swingPart = 20, 0.4
	// alone is how long a job may take with all devices of an encoder, in seconds,
	// or as a part of all that waits: a film would be the last to end on a few.
	aloneSeconds, alonePart = 10, 0.03
	// aloneFactor is how many times as long as with the fastest encoder it may take in
	// any case: in a small rack every film takes minutes.
	aloneFactor = 4
)

// soonest is the encoder whose devices are through soonest with what waits for
// them and this job, with a preference for one that the work costs less with.
func (e *Engine) soonest(work Work, m *mix, frames int64) string {
	ends := e.drains()
	longest, swing := max(aloneSeconds, e.horizon*alonePart), max(swingSeconds, e.horizon*swingPart*e.toCome())
	least := math.Inf(1)
	for _, cost := range m.cost {
		least = min(least, cost)
	}
	encoders := strings.Split(work.Encoders, ",")
	perSecond := make([]float64, len(encoders))
	for i, encoder := range encoders {
		perSecond[i] = e.most(work, encoder).perSecond
	}
	// Where all encoders take longer than that, none is much worse than the others.
	longest = max(longest, aloneFactor*float64(frames)/slices.Max(perSecond))
	best, soonest := "", math.Inf(1)
	for i, encoder := range encoders {
		if perSecond[i] == 0 || float64(frames)/perSecond[i] > longest {
			continue
		}
		end := ends[encoder] + float64(frames)/perSecond[i] + swing*(m.cost[encoder]/least-1)
		if end < soonest {
			best, soonest = encoder, end
		}
	}
	return best
}

// toCome is the part of the jobs that haven't begun that isn't planned yet.
func (e *Engine) toCome() float64 {
	held, ahead := 0, 0
	for _, o := range e.orgs { // the order doesn't matter
		held += o.held.len()
		ahead += o.ahead
	}
	return float64(held) / float64(max(1, held+ahead))
}

// drains is in how many seconds the devices of each encoder are through with
// what waits for them.
func (e *Engine) drains() map[string]float64 {
	ends := make(map[string]float64)
	for _, p := range e.piles {
		if p.tasks == 0 || p.work.Kind != job.EncodeTask {
			continue
		}
		if c := e.rated(p); c.perSecond > 0 {
			ends[p.work.Encoders] += float64(p.frames)/c.perSecond + float64(p.tasks)*c.fixed/float64(c.slots)
		}
	}
	return ends
}

// atOnce is how many tasks an idle device holds.
func (c *class) atOnce(need *Room) int64 {
	most := int64(Unlimited)
	for d := range need {
		if need[d] > 0 {
			most = min(most, c.whole[d]/need[d])
		}
	}
	return most
}
