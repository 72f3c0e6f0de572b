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
func Cut(timeline job.Timeline, slots int) []int {
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
		counts = append(counts, count)
		left -= count
	}
	return counts
}

// segmentsIn is how many whole segments a time has, at least one.
func segmentsIn(d, segment time.Duration) int {
	if segment <= 0 {
		return 1
	}
	return max(1, int(d/segment))
}
