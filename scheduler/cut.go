package scheduler

import (
	"math"
	"time"

	"millrace/job"
)

// Bounds on a chunk. A chunk is what is lost when a node dies, so it isn't
// long; each chunk decodes from the keyframe before it and fills an encoder's
// lookahead anew, so it doesn't run very shortly either: what that costs, about
// half a second on a core, is to be little of it.
const (
	longestChunk  = 32 * time.Second // of pictures
	shortestChunk = 8 * time.Second  // of pictures, where speeds aren't known or high
	shortestRun   = 6 * time.Second
)

// Cut decides how many segments each chunk of a timeline has, for a rack that
// can encode so many chunks at once, each in so many seconds for a frame (0 if that
// isn't known). Chunks get shorter towards the end (guided self-scheduling): each
// takes an equal part of half of what is left, so that all slots finish at about the
// same time although some chunks are harder. Where a frame takes long even a single
// segment is long enough: one more or less is then a good part of all the work.
//
// leads says, for each segment, how much must be decoded before a chunk that
// begins there (job.Source.Leads, may be empty): a cut moves by a segment where
// that saves more than it costs in balance.
func Cut(timeline job.Timeline, slots int, secondsPerFrame float64, leads []time.Duration) []int {
	segments := timeline.Segments()
	if segments == 0 {
		return nil
	}
	// A rest of less than half a segment isn't worth a chunk: it goes with the last.
	rest := 0
	if segments > 1 && 2*timeline.Segment(segments-1).Len() < timeline.SegmentFrames {
		rest = 1
	}
	segment := timeline.At(timeline.SegmentFrames)
	longest, shortest := segmentsIn(longestChunk, segment), segmentsIn(shortestChunk, segment)
	if run := secondsPerFrame * float64(timeline.SegmentFrames); run > 0 {
		shortest = min(shortest, int(math.Ceil(shortestRun.Seconds()/run)))
	}
	var counts []int
	for left := segments - rest; left > 0; {
		count := (left + 2*slots - 1) / max(1, 2*slots)
		if slots <= 1 { // there is nothing to balance
			count = longest
		}
		count = min(max(count, shortest), longest, left)
		if slots > 1 && left <= slots*shortest { // the last round: one chunk for each slot
			count = min(max(1, (left+slots-1)/slots), left)
		}
		count = cheapest(count, left, shortest, longest, leads[:max(0, len(leads)-rest)])
		counts = append(counts, count)
		left -= count
	}
	counts[len(counts)-1] += rest
	return counts
}

// moveCost is how much decoding a cut must save to be moved by a segment: what
// the imbalance costs is half a segment's encoding, about 20 times as dear as
// its decoding, but only where this chunk is one of the last to end.
const moveCost = time.Second

// cheapest moves a chunk's end by at most one segment to where the next chunk
// needs less decoding before its start. A chunk of one or two segments is left as it
// is: it is one of the last, and a segment more would be a good part of it.
func cheapest(count, left, shortest, longest int, leads []time.Duration) int {
	next := len(leads) - left // the chunk's first segment
	if next < 0 || count >= left || count < 3 {
		return count
	}
	best, cost := count, leads[next+count]
	for _, c := range []int{count - 1, count + 1} {
		if c < shortest || c > longest || c >= left {
			continue
		}
		if moved := leads[next+c] + moveCost; moved < cost {
			best, cost = c, moved
		}
	}
	return best
}

// segmentsIn is how many whole segments a time has, at least one.
func segmentsIn(d, segment time.Duration) int {
	if segment <= 0 {
		return 1
	}
	return max(1, int(d/segment))
}
