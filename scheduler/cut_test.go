package scheduler

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/job"
)

func TestCutsCoverTheTimelineAndStayWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		timeline := job.Timeline{
			Rate:          job.Rational{Num: rapid.SampledFrom([]int64{24000, 25, 30, 60}).Draw(t, "rate"), Den: 1},
			Frames:        rapid.Int64Range(1, 30_000).Draw(t, "frames"),
			SegmentFrames: rapid.Int64Range(1, 600).Draw(t, "segment"),
		}
		if timeline.Rate.Num == 24000 {
			timeline.Rate.Den = 1001
		}
		slots := rapid.IntRange(0, 100).Draw(t, "slots")
		var leads []time.Duration
		if rapid.Bool().Draw(t, "leads known") {
			for range timeline.Segments() {
				leads = append(leads, time.Duration(rapid.IntRange(0, 10_000).Draw(t, "lead"))*time.Millisecond)
			}
		}
		counts := Cut(timeline, slots, rapid.SampledFrom([]float64{0, 0.001, 0.02, 0.1, 3}).Draw(t, "seconds per frame"), leads)
		chunks, err := timeline.Cut(counts)
		if err != nil {
			t.Fatalf("%v can't be cut into %v: %v", timeline, counts, err)
		}
		if last := chunks[len(chunks)-1].Frames.End; last != timeline.Frames {
			t.Fatalf("the chunks end at frame %d of %d", last, timeline.Frames)
		}
		segment := timeline.At(timeline.SegmentFrames)
		for i, chunk := range chunks {
			if length := timeline.At(chunk.Frames.Len()); chunk.Segments > 1 && length > longestChunk+2*segment {
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
			counts := Cut(at25(test.length), test.slots, 0, nil)
			if len(counts) < test.fewest || len(counts) > test.mostChunks {
				t.Errorf("%s on %d slots is cut into %d chunks %v, want %d to %d", test.length, test.slots, len(counts), counts, test.fewest, test.mostChunks)
			}
		})
	}
}

func TestChunksGetShorterTowardsTheEnd(t *testing.T) {
	counts := Cut(job.Timeline{Rate: job.Rational{Num: 24, Den: 1}, Frames: 24 * 120, SegmentFrames: 96}, 2, 0, nil)
	for i := 1; i < len(counts); i++ {
		if counts[i] > counts[i-1] {
			t.Errorf("chunk %d of %v is longer than the one before it", i, counts)
		}
	}
}

// TestASlowRackEndsTogether: where a segment takes seconds, the slots are through
// within one of each other, although some begin later and some pictures are harder.
func TestASlowRackEndsTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(2, 8).Draw(t, "slots")
		timeline := job.Timeline{Rate: job.Rational{Num: 24, Den: 1}, SegmentFrames: 96}
		timeline.Frames = 96 * rapid.Int64Range(2*int64(slots), 100).Draw(t, "segments")
		ends := make([]float64, slots) // in segments of middling pictures
		for i := range ends {
			ends[i] = rapid.Float64Range(0, 0.5).Draw(t, "begins")
		}
		hardest := 0.0
		for _, count := range Cut(timeline, slots, 0.09, nil) {
			slices.Sort(ends) // each goes to the slot that is free first
			for range count {
				hard := rapid.Float64Range(0.8, 1.25).Draw(t, "hardness")
				hardest = max(hardest, hard)
				ends[0] += hard
			}
		}
		if gap := slices.Max(ends) - slices.Min(ends); gap > hardest {
			t.Errorf("%d slots end %.2f segments after each other: %v", slots, gap, ends)
		}
	})
}

func TestWhatIsNotCut(t *testing.T) {
	for name, test := range map[string]struct {
		frames   int64
		slots    int
		perFrame float64
		want     []int
	}{
		"a few frames go with the last chunk":       {775, 2, 0.09, []int{2, 2, 1, 1, 1, 2}},
		"half a segment is a chunk":                 {820, 2, 0.09, []int{3, 2, 1, 1, 1, 1}},
		"fast slots have few single segments":       {1440, 2, 0.001, []int{4, 3, 2, 2, 2, 1, 1}},
		"one slot has nothing to be balanced with":  {1440, 1, 0.09, []int{8, 7}},
		"more slots than segments have one of each": {384, 8, 0.09, []int{1, 1, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			timeline := job.Timeline{Rate: job.Rational{Num: 24, Den: 1}, Frames: test.frames, SegmentFrames: 96}
			if counts := Cut(timeline, test.slots, test.perFrame, nil); !slices.Equal(counts, test.want) {
				t.Errorf("cut into %v, want %v", counts, test.want)
			}
		})
	}
}

func TestCutsMoveToWhereLittleMustBeDecoded(t *testing.T) {
	timeline := job.Timeline{Rate: job.Rational{Num: 24, Den: 1}, Frames: 24 * 60, SegmentFrames: 96}
	plain := Cut(timeline, 2, 0, nil)
	leads := make([]time.Duration, timeline.Segments())
	leads[plain[0]] = 5 * time.Second // just before a keyframe
	moved := Cut(timeline, 2, 0, leads)
	if moved[0] == plain[0] || moved[0] < plain[0]-1 || moved[0] > plain[0]+1 {
		t.Errorf("the first cut is after %d segments, %d without regard to keyframes", moved[0], plain[0])
	}
}

// TestAShortChunkStaysAsItIs although decoding would be saved: nothing comes after it
// that could even it out.
func TestAShortChunkStaysAsItIs(t *testing.T) {
	timeline := job.Timeline{Rate: job.Rational{Num: 24, Den: 1}, Frames: 768, SegmentFrames: 96}
	leads := make([]time.Duration, timeline.Segments())
	for i := range leads {
		leads[i] = time.Duration(i%3) * 4 * time.Second // keyframes 12 s apart
	}
	if counts, want := Cut(timeline, 2, 0.09, leads), Cut(timeline, 2, 0.09, nil); !slices.Equal(counts, want) {
		t.Errorf("cut into %v where keyframes are far apart, else into %v", counts, want)
	}
}
