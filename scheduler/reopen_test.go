package scheduler

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"millrace/job"
)

// What is remembered of where there is no room must always be so: else a task would
// wait beside a free device.
func TestWhereNoRoomIsRememberedThereIsNone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDrill()
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			d.step(t)
			d.checkRoomless(t)
			if rapid.Bool().Draw(t, "decide") { // several events may come before
				d.decide(t)
				d.checkRoomless(t)
			}
		}
	})
}

func (d *drill) checkRoomless(t *rapid.T) {
	for _, p := range d.piles {
		if !p.listed || !p.roomless {
			continue
		}
		for id, h := range d.Engine.nodes {
			if d.hostHasRoom(h, p) && !slices.Contains(p.roomy, h) {
				t.Fatalf("%s has room for %v, and isn't known to", id, p.work)
			}
		}
	}
}

// More hosts than a pile keeps in mind get room between two decisions.
func TestAfterManyEndsAtOnceAllOfTheirRoomIsFound(t *testing.T) {
	e := NewEngine(noon)
	const hosts = 3 * roomyMost
	for i := range hosts {
		e.SetNode(cpuNode(string(rune('a'+i)), 1, nil))
	}
	work := ladderWork(func(w *Work) { w.Encoders = "libx264" })
	queue(e, Job{ID: "j"}, work, slices.Repeat([]int64{300}, 2*hosts)...)
	placed := e.Decide()
	if more := e.Decide(); len(placed) != hosts || len(more) != 0 {
		t.Fatalf("placed %d, then %d on %d hosts of one thread", len(placed), len(more), hosts)
	}
	for _, a := range placed {
		e.End(job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}, a.Expected)
	}
	if placed = e.Decide(); len(placed) != hosts {
		t.Errorf("placed %d when all %d ended", len(placed), hosts)
	}
}
