package scheduler

import (
	"fmt"
	"slices"
	"testing"

	"millrace/job"
)

// TestALongChunkDoesNotWaitForItsTurnAtTheEnd, where all else would be done before it;
// but what takes a moment doesn't wait for it either.
func TestALongChunkDoesNotWaitForItsTurnAtTheEnd(t *testing.T) {
	work := ladderWork(func(w *Work) { w.Encoders = "libx264" })
	for name, test := range map[string]struct {
		others int
		short  bool
		first  job.ID
	}{
		"near the end":          {20, false, "long"},
		"with much to do":       {2000, false, "before"},
		"where a short job is":  {20, true, "clip"},
		"where nothing is long": {2, false, "before"},
	} {
		t.Run(name, func(t *testing.T) {
			e := engineWith(cpuNode("a", 4, nil))
			queue(e, Job{ID: "before", Frames: 40_000}, work, slices.Repeat([]int64{60}, test.others)...)
			frames := int64(600)
			if test.others < 20 {
				frames = 60
			}
			queue(e, Job{ID: "long", Frames: 60_000}, work, frames)
			if test.short {
				queue(e, Job{ID: "clip", Frames: 60}, work, 60)
			}
			placed := e.Decide()
			if len(placed) == 0 || placed[0].Job != test.first {
				t.Errorf("placed %v, want %s first", where(placed), test.first)
			}
		})
	}
}

// TestSoundGoesBeforeALongChunk: it is one task, which must not be the last to end.
func TestSoundGoesBeforeALongChunk(t *testing.T) {
	e := engineWith(cpuNode("a", 1, nil))
	queue(e, Job{ID: "film", Frames: 1000}, ladderWork(func(w *Work) { w.Encoders = "libx264" }), 600)
	e.Queue(Task{Job: "film", Task: "audio", Attempt: 1, Work: Work{Kind: job.AudioTask}, Frames: 1000})
	if placed := e.Decide(); len(placed) != 1 || placed[0].Task != "audio" {
		t.Errorf("placed %v, want the sound first", where(placed))
	}
}

// TestAnOrganisationOfLongChunksDoesNotKeepOthersWaiting, however many of them come.
func TestAnOrganisationOfLongChunksDoesNotKeepOthersWaiting(t *testing.T) {
	work := ladderWork(func(w *Work) { w.Encoders = "libx264" })
	e := engineWith(cpuNode("a", 1, nil))
	now, n := noon, 0
	come := func(org string, frames int64) {
		n++
		queue(e, Job{ID: job.ID(fmt.Sprintf("%s%04d", org, n)), Org: org, Frames: frames, Queued: now}, work, frames)
	}
	come("long", 1200)
	come("modest", 450)
	had := make(map[byte]int)
	for range 60 {
		for _, a := range e.Decide() {
			had[a.Job[0]]++
			if a.Job[0] == 'l' {
				come("long", 1200)
			} else {
				come("modest", 450)
			}
			now = now.Add(a.Expected)
			e.Advance(now)
			e.End(job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}, a.Expected)
		}
	}
	if had['m'] < 20 || had['l'] < 10 {
		t.Errorf("%d long chunks and %d of the other organisation's began", had['l'], had['m'])
	}
}
