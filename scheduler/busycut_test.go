package scheduler

import (
	"fmt"
	"math"
	"testing"
	"time"

	"millrace/job"
)

// TestCutForAFullQueue: chunks run for as long as is said, within bounds, and all
// of a job are about alike if much comes after it.
func TestCutForAFullQueue(t *testing.T) {
	timeline := job.Timeline{Rate: job.Rational{Num: 30, Den: 1}, Frames: 30 * 600, SegmentFrames: 120}
	for name, test := range map[string]struct {
		outlook           Outlook
		shortest, longest int // segments
	}{
		"slow devices get few segments":          {Outlook{Slots: 100, SecondsPerFrame: 1.0 / 12, Run: 30 * time.Second, After: time.Minute}, 2, 3},
		"fast ones four minutes at most":         {Outlook{Slots: 100, SecondsPerFrame: 1.0 / 600, Run: 30 * time.Second, After: time.Minute}, 50, 60},
		"what nothing comes after is cut short":  {Outlook{Slots: 100, SecondsPerFrame: 1.0 / 60, Run: time.Minute}, 3, 3},
		"a short job gets chunks of seconds":     {Outlook{Slots: 100, SecondsPerFrame: 1.0 / 300, Run: 2 * time.Second}, 4, 5},
		"one segment is the least":               {Outlook{Slots: 100, SecondsPerFrame: 1, Run: 2 * time.Second}, 1, 1},
		"an idle rack has a chunk for each slot": {Outlook{Slots: 75, SecondsPerFrame: 1.0 / 12}, 1, 2},
		"a rack that isn't known is one slot":    {Outlook{Run: time.Minute}, 2, 8},
	} {
		t.Run(name, func(t *testing.T) {
			counts := CutFor(timeline, test.outlook, nil)
			sum := 0
			for i, n := range counts {
				sum += n
				if n > test.longest || n < test.shortest && i < len(counts)-1 {
					t.Errorf("chunk %d of %v has %d segments, want %d to %d", i, counts, n, test.shortest, test.longest)
				}
			}
			if sum != timeline.Segments() {
				t.Errorf("%v are %d segments of %d", counts, sum, timeline.Segments())
			}
		})
	}
}

func TestChunksAreLongerTheMoreWaits(t *testing.T) {
	work := ladderWork(func(w *Work) { w.Encoders = "libx264" })
	e := engineWith(cpuNode("a", 8, nil))
	var runs []time.Duration
	for _, more := range []int{0, 10, 200} {
		for i := range more {
			queue(e, Job{ID: job.ID(fmt.Sprint(more, "-", i)), Frames: 600}, work, 600)
		}
		run := e.Outlook("", work, 9000).Run
		if most := e.Horizon() * 3 / 4; run > most+time.Millisecond {
			t.Errorf("a chunk runs for %s of the %s that all takes: with harder pictures it would be the last", run, e.Horizon())
		}
		runs = append(runs, run)
	}
	if runs[0] != 0 || runs[1] <= runs[0] || runs[2] < runs[1] || runs[2] != busyRun {
		t.Errorf("with more and more waiting, chunks run for %v", runs)
	}
}

// TestTheLastJobsChunksGetShorter: they run for no longer than all that is left.
func TestTheLastJobsChunksGetShorter(t *testing.T) {
	timeline := job.Timeline{Rate: job.Rational{Num: 30, Den: 1}, Frames: 30 * 7200, SegmentFrames: 120}
	outlook := Outlook{Slots: 20, SecondsPerFrame: 1.0 / 150, Run: time.Minute, After: 10 * time.Second}
	counts := CutFor(timeline, outlook, nil)
	perSegment := outlook.SecondsPerFrame * 120
	left := timeline.Segments()
	for i, n := range counts {
		if i > 0 && n > counts[i-1] {
			t.Errorf("chunk %d of %v is longer than the one before", i, counts)
		}
		rest := outlook.After.Seconds() + float64(left)*perSegment/20
		if run := float64(n) * perSegment; run > max(lastRun.Seconds(), rest) {
			t.Errorf("chunk %d of %v runs for %.1f s, with %.1f s to come", i, counts, run, rest)
		}
		left -= n
	}
	if first, last := counts[0], counts[len(counts)-1]; first < 4*last {
		t.Errorf("the first chunk has %d segments, the last %d", first, last)
	}
}

// TestWhatComesAfterAJobIsDueLater: by how long jobs take alone, and no more than four
// times what its own organisation has.
func TestWhatComesAfterAJobIsDueLater(t *testing.T) {
	work := ladderWork(func(w *Work) { w.Encoders = "libx264" })
	e := engineWith(cpuNode("a", 8, nil))
	after := func(org string, frames int64) float64 {
		id := job.ID(fmt.Sprint(org, frames))
		e.SetJob(Job{ID: id, Org: org, Queued: noon, Frames: frames})
		return e.Outlook(id, work, frames).After.Seconds()
	}
	queue(e, Job{ID: "long", Org: "a", Frames: 90_000}, work, 30_000, 30_000, 30_000)
	queue(e, Job{ID: "longer", Org: "b", Frames: 900_000}, work, 300_000, 300_000, 300_000)
	perSecond := e.rate(e.pile(work))
	for _, test := range []struct {
		org    string
		frames int64
		want   float64 // in frames
	}{
		{"a", 1_000_000, 0},
		{"b", 300_000, 900_000},
		{"b", 9_000, 990_000},
		{"a", 9_000, 4 * 90_000},
		{"c", 9_000, 0},
	} {
		if got, want := after(test.org, test.frames), test.want/perSecond; math.Abs(got-want) > 0.01*want {
			t.Errorf("after a job of %d frames of %s come %.0f s, want %.0f s", test.frames, test.org, got, want)
		}
	}
}
