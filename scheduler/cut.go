package scheduler

import (
	"time"

	"millrace/job"
)

// Bounds on a chunk. A chunk is what is lost when a node dies, so it isn't
// long; each chunk decodes from the keyframe before it and fills an encoder's
// lookahead anew, so it isn't very short either.
const (
	longestChunk  = 32 * time.Second
	shortestChunk = 8 * time.Second
)

// Cut decides how many segments each chunk of a timeline has, for a rack that
// can encode so many chunks at once. Chunks get shorter towards the end (guided
// self-scheduling): each takes an equal part of half of what is left, so that
// all slots finish at about the same time although some chunks are harder.
//
// leads says, for each segment, how much must be decoded before a chunk that
// begins there (job.Source.Leads, may be empty): a cut moves by a segment where
// that saves more than it costs in balance.
func Cut(timeline job.Timeline, slots int, leads []time.Duration) []int {
	segment := timeline.At(timeline.SegmentFrames)
	longest, shortest := segmentsIn(longestChunk, segment), segmentsIn(shortestChunk, segment)
	slots = max(1, slots)
	var counts []int
	for left := timeline.Segments(); left > 0; {
		count := (left + 2*slots - 1) / (2 * slots)
		count = min(max(count, shortest), longest, left)
		if left <= slots*shortest { // the last round: one chunk for each slot
			count = min(max(1, (left+slots-1)/slots), left)
		}
		count = cheapest(count, left, shortest, longest, leads)
		counts = append(counts, count)
		left -= count
	}
	return counts
}

// moveCost is how much decoding a cut must save to be moved by a segment: what
// the imbalance costs is half a segment's encoding, about 20 times as dear as
// its decoding, but only where this chunk is the last to end.
const moveCost = time.Second

// cheapest moves a chunk's end by at most one segment to where the next chunk
// needs less decoding before its start.
func cheapest(count, left, shortest, longest int, leads []time.Duration) int {
	next := len(leads) - left // the chunk's first segment
	if next < 0 || count >= left {
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
