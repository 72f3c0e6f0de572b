package scheduler

import (
	"fmt"
	"math"
	"slices"

	"millrace/job"
)

// Arranged is a plan with its chunks.
type Arranged struct {
	Plan job.Plan
	// Whole are the chunks whose ladders stay whole although the plan has groups.
	Whole []int
	// Encoders make the plan's renditions, in their order; empty ones where the outlook
	// has none.
	Encoders []string
}

// Arrange cuts a plan's timeline into chunks and says in which groups of renditions
// ladders are made, and by which encoders, for a rack of which a job can expect so much.
// The outlook knows only how many frames there are: its parts are taken if the job, chunk
// by chunk, ends much sooner so. It fails only for a timeline that isn't valid.
func Arrange(plan job.Plan, outlook Outlook) (a Arranged, err error) {
	plan.Groups = Split(plan, outlook)
	counts := CutFor(plan.Timeline, outlook, plan.Source.Leads)
	var pieces []piece
	soonest := math.Inf(1)
	if outlook.Run == 0 && (plan.Groups == nil || len(outlook.Parts) > 0) {
		pieces, soonest = alone(plan, outlook, counts)
	}
	if len(outlook.Parts) > 0 {
		if cut, ends := cutParts(plan, outlook.Parts); ends <= partsGain*soonest {
			plan.Groups = groupsOf(plan, outlook.Parts)
			plan.Chunks, err = cutInto(plan.Timeline, countsOf(cut))
			return Arranged{Plan: plan, Encoders: outlook.encodersOf(len(plan.Renditions))}, err
		}
		outlook.Parts = nil
	}
	a = Arranged{Plan: plan, Encoders: outlook.encodersOf(len(plan.Renditions))}
	if pieces != nil && plan.Groups == nil {
		counts = countsOf(pieces)
		for i, p := range pieces {
			if p.divided {
				a.Plan.Groups = halves(plan)
			} else {
				a.Whole = append(a.Whole, i)
			}
		}
	}
	a.Plan.Chunks, err = cutInto(plan.Timeline, counts)
	return a, err
}

func cutInto(timeline job.Timeline, counts []int) ([]job.Chunk, error) {
	chunks, err := timeline.Cut(counts)
	if err != nil {
		return nil, fmt.Errorf("cut the timeline: %w", err)
	}
	return chunks, nil
}

// encodersOf are the encoders that make the rungs of a ladder that has so many, the
// largest first.
func (o Outlook) encodersOf(rungs int) []string {
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

// halves are two groups of a plan's renditions that take about equally long; nil if it
// has only one.
func halves(plan job.Plan) [][]string {
	if len(plan.Renditions) < 2 {
		return nil
	}
	_, groups := heaviest(plan.Renditions, 2, 0)
	return groups
}

// alone looks for the way to cut a job that ends it soonest, where it has the rack to
// itself, and says when that is, in seconds: into so many segments each, single ones, or
// what is better than these. Ladders may be divided where no task could use a slot beside
// its own.
func alone(plan job.Plan, outlook Outlook, counts []int) ([]piece, float64) {
	best := piecesOf(counts)
	if outlook.Slots < 1 || outlook.SecondsPerFrame <= 0 {
		return best, math.Inf(1)
	}
	var groups [][]string
	if outlook.Places > 0 && (outlook.Places >= outlook.Slots || plan.Timeline.Segments() >= outlook.Slots) {
		groups = halves(plan)
	}
	l := playOf(plan, Part{outlook.Encoder, len(plan.Renditions), outlook.Slots, outlook.SecondsPerFrame}, groups)
	if outlook.Slots < 2 || len(counts) > mostPieces {
		return best, l.end(best)
	}
	longest := segmentsIn(longestChunk, plan.Timeline.At(plan.Timeline.SegmentFrames))
	best, soonest := improve(best, longest, len(groups) > 1, l.end)
	if segments := plan.Timeline.Segments(); segments <= mostPieces {
		if other, end := improve(piecesOf(evenly(segments, 1)), longest, len(groups) > 1, l.end); end < soonest {
			return other, end
		}
	}
	return best, soonest
}

func piecesOf(counts []int) (list []piece) {
	first := 0
	for _, count := range counts {
		list = append(list, piece{first: first, count: count})
		first += count
	}
	return list
}
