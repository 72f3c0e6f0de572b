package scheduler

import (
	"fmt"

	"millrace/job"
)

// Arrange cuts a plan's timeline into chunks and says in which groups of renditions
// ladders are made (the outlook's parts, where it has any), for a rack of which a job can
// expect so much, and which chunks' ladders stay whole all the same. It fails only for a
// timeline that isn't valid.
func Arrange(plan job.Plan, outlook Outlook) (_ job.Plan, whole []int, err error) {
	if len(outlook.Parts) > 0 {
		plan, err = arrangeParts(plan, outlook.Parts)
		return plan, nil, err
	}
	plan.Groups = Split(plan, outlook)
	counts := CutFor(plan.Timeline, outlook, plan.Source.Leads)
	if outlook.Run == 0 && plan.Groups == nil {
		pieces := alone(plan, outlook, counts)
		counts = nil
		for i, p := range pieces {
			counts = append(counts, p.count)
			if p.divided {
				plan.Groups = halves(plan)
			} else {
				whole = append(whole, i)
			}
		}
	}
	if plan.Chunks, err = plan.Timeline.Cut(counts); err != nil {
		return plan, nil, fmt.Errorf("cut the timeline: %w", err)
	}
	return plan, whole, nil
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
// itself: into so many segments each, single ones, or what is better than these.
// Ladders may be divided where no task could use a slot beside its own.
func alone(plan job.Plan, outlook Outlook, counts []int) []piece {
	best := piecesOf(counts)
	if outlook.Slots < 2 || outlook.SecondsPerFrame <= 0 || len(counts) > mostPieces {
		return best
	}
	var groups [][]string
	if outlook.Places > 0 && (outlook.Places >= outlook.Slots || plan.Timeline.Segments() >= outlook.Slots) {
		groups = halves(plan)
	}
	l := newLone(plan, outlook.Slots, outlook.SecondsPerFrame, groups)
	longest := segmentsIn(longestChunk, plan.Timeline.At(plan.Timeline.SegmentFrames))
	best, soonest := improve(best, longest, len(groups) > 1, l.end)
	if segments := plan.Timeline.Segments(); segments <= mostPieces {
		if other, end := improve(piecesOf(evenly(segments, 1)), longest, len(groups) > 1, l.end); end < soonest {
			return other
		}
	}
	return best
}

func piecesOf(counts []int) (list []piece) {
	first := 0
	for _, count := range counts {
		list = append(list, piece{first: first, count: count})
		first += count
	}
	return list
}
