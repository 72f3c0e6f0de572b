package scheduler

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/job"
)

func TestCutsCoverTheTimelineAndStayWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		timeline := job.Timeline{
			Rate:          job.Rational{Num: rapid.SampledFrom([]int64{24000, 25, 30, 60}).Draw(t, "rate"), Den: 1},
			Frames:        rapid.Int64Range(1, 3_000_000).Draw(t, "frames"),
			SegmentFrames: rapid.Int64Range(1, 600).Draw(t, "segment"),
		}
		if timeline.Rate.Num == 24000 {
			timeline.Rate.Den = 1001
		}
		slots := rapid.IntRange(0, 100).Draw(t, "slots")
		counts := Cut(timeline, slots)
		chunks, err := timeline.Cut(counts)
		if err != nil {
			t.Fatalf("%v can't be cut into %v: %v", timeline, counts, err)
		}
		if last := chunks[len(chunks)-1].Frames.End; last != timeline.Frames {
			t.Fatalf("the chunks end at frame %d of %d", last, timeline.Frames)
		}
		segment := timeline.At(timeline.SegmentFrames)
		for i, chunk := range chunks {
			if length := timeline.At(chunk.Frames.Len()); chunk.Segments > 1 && length > longestChunk+segment {
				t.Fatalf("chunk %d lasts %s", i, length)
			}
		}
	})
}

func TestCut(t *testing.T) {
	at25 := func(d time.Duration) job.Timeline {
		return job.Timeline{Rate: job.Rational{Num: 25, Den: 1}, Frames: int64(d.Seconds() * 25), SegmentFrames: 100}
	}
	for name, test := range map[string]struct {
		length     time.Duration
		slots      int
		fewest     int // chunks
		mostChunks int
	}{
		"one segment is one chunk":                     {3 * time.Second, 8, 1, 1},
		"a short video is cut into one for each slot":  {12 * time.Second, 3, 3, 3},
		"one slot is no reason for tiny chunks":        {time.Minute, 1, 2, 8},
		"an hour on a large rack fills every slot":     {time.Hour, 64, 112, 900},
		"ten hours on one slot lose little at a crash": {10 * time.Hour, 1, 1125, 1200},
	} {
		t.Run(name, func(t *testing.T) {
			counts := Cut(at25(test.length), test.slots)
			if len(counts) < test.fewest || len(counts) > test.mostChunks {
				t.Errorf("%s on %d slots is cut into %d chunks %v, want %d to %d", test.length, test.slots, len(counts), counts, test.fewest, test.mostChunks)
			}
		})
	}
}

func TestChunksGetShorterTowardsTheEnd(t *testing.T) {
	counts := Cut(job.Timeline{Rate: job.Rational{Num: 24, Den: 1}, Frames: 24 * 120, SegmentFrames: 96}, 2)
	for i := 1; i < len(counts); i++ {
		if counts[i] > counts[i-1] {
			t.Errorf("chunk %d of %v is longer than the one before it", i, counts)
		}
	}
}
