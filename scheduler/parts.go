package scheduler

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"millrace/hwaccel"
	"millrace/job"
)

// Part is some rungs of a ladder that are made with an encoder of their own.
type Part struct {
	Encoder string
	// Rungs is how many there are: the next ones of the ladder, the largest first.
	Rungs int
	// Slots and SecondsPerFrame are as in Outlook, for these rungs.
	Slots           int
	SecondsPerFrame float64
}

// partsGain is what a job's time must shrink to for its ladder to be made in parts:
// every frame is then decoded twice, and two kinds of devices draw power.
const partsGain = 0.85

// EncodersOf are the encoders that make the rungs of a ladder that has so many, the
// largest first.
func (o Outlook) EncodersOf(rungs int) []string {
	encoders := slices.Repeat([]string{o.Encoder}, rungs)
	next := 0
	for _, part := range o.Parts {
		for range part.Rungs {
			encoders[next] = part.Encoder
			next++
		}
	}
	return encoders
}

// parts looks for the way to make a ladder's upper rungs with one encoder and its lower
// ones with another that ends a job of so many frames soonest: a GPU makes the large
// pictures, and threads that nobody else needs the small ones. It is nil where that
// isn't much sooner than in so many seconds, which the whole ladder takes with one.
func (e *Engine) parts(work Work, frames int64, whole float64) (best []Part) {
	rungs, encoders := strings.Split(work.Ladder, ","), strings.Split(work.Encoders, ",")
	soonest, sound := whole*partsGain, float64(frames)*audioSeconds // which takes one thread as long
	if sound > soonest {
		return nil
	}
	for cut := 1; cut < len(rungs); cut++ {
		upper, lower := work, work
		upper.Ladder, lower.Ladder = strings.Join(rungs[:cut], ","), strings.Join(rungs[cut:], ",")
		for _, a := range encoders {
			for _, b := range encoders {
				if a == b {
					continue
				}
				first, second := e.helped(upper, a), e.helped(lower, b)
				end := max(e.partEnd(upper, first, second, frames), e.partEnd(lower, second, first, frames))
				if end < soonest {
					soonest, best = end, []Part{first.part(cut), second.part(len(rungs) - cut)}
				}
			}
		}
	}
	return best
}

// helped is what the rack makes of a work with one encoder where GPUs decode for the CPUs
// of their hosts, as far as half of their decoders goes: the other part needs them too.
func (e *Engine) helped(work Work, encoder string) capacity {
	c := e.most(work, encoder)
	work.Encoders = encoder
	p := e.pile(work)
	for _, w := range p.ways {
		if w.binding() != c.binding || !w.divisible {
			continue
		}
		alone := w.class.devices * int(w.class.atOnce(&w.need))
		for _, other := range p.ways {
			if other.binding() != c.binding || other.class.hosts != w.class.hosts || other.need[Decode] == 0 || other.perFrame() >= w.perFrame() {
				continue
			}
			n := min(alone, other.class.devices*int(other.class.whole[Decode]/2/other.need[Decode]))
			c.perSecond += float64(n) * (1/other.perFrame() - 1/w.perFrame())
			alone -= n
		}
	}
	return c
}

// partEnd is in how many seconds a part of a ladder is made, beside the other one.
func (e *Engine) partEnd(work Work, c, beside capacity, frames int64) float64 {
	if c.perSecond == 0 {
		return math.Inf(1)
	}
	perSecond := c.perSecond
	if c.threads >= float64(c.slots) { // these are CPUs, and the other's devices need a part of their threads
		perSecond *= max(0, 1-beside.threads/c.threads)
	}
	work.Encoders = c.encoder
	// Of its last chunks each has one slot.
	return e.freeIn(e.pile(work), c.binding) + max(float64(frames), float64(min(frames, shortestFrames)*int64(c.slots)))/perSecond
}

func (c *capacity) part(rungs int) Part {
	return Part{Encoder: c.encoder, Rungs: rungs, Slots: c.slots, SecondsPerFrame: float64(c.slots) / c.perSecond}
}

// arrangeParts is Arrange for a ladder that is made in parts: each is a task of its own
// in all chunks, which are cut so that the last of both ends soonest.
func arrangeParts(plan job.Plan, parts []Part) (_ job.Plan, err error) {
	plan.Groups = nil
	var plays []*lone
	first := 0
	for _, part := range parts {
		own := plan
		own.Renditions = plan.Renditions[first : first+part.Rungs]
		first += part.Rungs
		var names []string
		for _, rendition := range own.Renditions {
			names = append(names, rendition.Name)
		}
		plan.Groups = append(plan.Groups, names)
		if row, _ := hwaccel.Encoder(part.Encoder); row.Kind != hwaccel.CPU {
			own.Audio = nil // a thread makes it
		}
		plays = append(plays, newLone(own, part.Slots, part.SecondsPerFrame, nil))
	}
	end := func(pieces []piece) float64 {
		last := 0.0
		for _, play := range plays {
			last = max(last, play.end(pieces))
		}
		return last
	}
	var best []piece
	longest, soonest := segmentsIn(longestChunk, plan.Timeline.At(plan.Timeline.SegmentFrames)), math.Inf(1)
	single := slices.Repeat([]int{1}, plan.Timeline.Segments())
	for _, counts := range [][]int{
		Cut(plan.Timeline, parts[0].Slots, parts[0].SecondsPerFrame, plan.Source.Leads),
		Cut(plan.Timeline, parts[1].Slots, parts[1].SecondsPerFrame, plan.Source.Leads), single,
	} {
		pieces := piecesOf(counts)
		ends := end(pieces)
		if len(pieces) <= mostPieces {
			pieces, ends = improve(pieces, longest, false, end)
		}
		if ends < soonest {
			best, soonest = pieces, ends
		}
	}
	if plan.Chunks, err = plan.Timeline.Cut(countsOf(best)); err != nil {
		return plan, fmt.Errorf("cut the timeline: %w", err)
	}
	return plan, nil
}

func countsOf(pieces []piece) (counts []int) {
	for _, p := range pieces {
		counts = append(counts, p.count)
	}
	return counts
}
