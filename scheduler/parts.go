package scheduler

import (
	"math"
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

// parts looks for the way to make a ladder's upper rungs with one encoder and its lower
// ones with another that ends a job of so many frames soonest: a GPU makes the large
// pictures, and threads that nobody else needs the small ones. It is nil where that
// isn't much sooner than in so many seconds, which the whole ladder takes with one.
func (e *Engine) parts(work Work, frames int64, whole float64) (best []Part) {
	rungs, encoders := strings.Split(work.Ladder, ","), strings.Split(work.Encoders, ",")
	soonest := whole * partsGain
	if soundAtLeast(frames) > soonest {
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

// playOf is how some rungs of a plan, or all of them, would be made, in groups where a
// piece is divided.
func playOf(plan job.Plan, part Part, groups [][]string) *lone {
	if row, _ := hwaccel.Encoder(part.Encoder); row.Kind != hwaccel.CPU {
		plan.Audio = nil // a thread makes it
	}
	return newLone(plan, part.Slots, part.SecondsPerFrame, groups)
}

// groupsOf are a plan's renditions by parts: each is a task of its own in all chunks.
func groupsOf(plan job.Plan, parts []Part) (groups [][]string) {
	for _, own := range divided(plan, parts) {
		var names []string
		for _, rendition := range own {
			names = append(names, rendition.Name)
		}
		groups = append(groups, names)
	}
	return groups
}

// divided are the renditions of each of a plan's parts.
func divided(plan job.Plan, parts []Part) (list [][]job.Rendition) {
	left := plan.Renditions
	for _, part := range parts {
		list, left = append(list, left[:part.Rungs]), left[part.Rungs:]
	}
	return list
}

// mostPlayed is how many pieces are played at most, if there are fewer in any way to cut.
const mostPlayed = 1000

// cutParts cuts a timeline so that the last of a plan's parts ends soonest, and says when
// that is, in seconds. One part may need many short chunks and the other few long ones,
// since each takes it a start: so all lengths are tried.
func cutParts(plan job.Plan, parts []Part) (best []piece, soonest float64) {
	var plays []*lone
	longest := segmentsIn(longestChunk, plan.Timeline.At(plan.Timeline.SegmentFrames))
	var ways [][]piece
	own := plan
	for i, renditions := range divided(plan, parts) {
		part := parts[i]
		own.Renditions = renditions
		plays = append(plays, playOf(own, part, nil))
		ways = append(ways, piecesOf(Cut(plan.Timeline, part.Slots, part.SecondsPerFrame, plan.Source.Leads)))
	}
	for length := longest; length > 0; length-- {
		ways = append(ways, piecesOf(evenly(plan.Timeline.Segments(), length)))
	}
	end := func(pieces []piece) float64 {
		last := 0.0
		for _, play := range plays {
			last = max(last, play.end(pieces))
		}
		return last
	}
	soonest = math.Inf(1)
	for _, pieces := range ways {
		if best != nil && len(pieces) > mostPlayed {
			continue
		}
		ends := end(pieces)
		if len(pieces) <= mostPieces {
			pieces, ends = improve(pieces, longest, false, end)
		}
		if ends < soonest {
			best, soonest = pieces, ends
		}
	}
	return best, soonest
}

// evenly cuts so many segments into chunks of as many each, but for the last.
func evenly(segments, length int) (counts []int) {
	for ; segments > 0; segments -= length {
		counts = append(counts, min(segments, length))
	}
	return counts
}

func countsOf(pieces []piece) (counts []int) {
	for _, p := range pieces {
		counts = append(counts, p.count)
	}
	return counts
}
