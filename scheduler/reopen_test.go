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

// TestWhatWaitsForADeviceThatGoesIsPlaced where it failed, or where it takes longer, though
// nothing happened there.
func TestWhatWaitsForADeviceThatGoesIsPlaced(t *testing.T) {
	busy := func() *Engine {
		e := engineWith(gpuNode("a", 8, 1, nil), gpuNode("b", 8, 1, nil))
		queue(e, Job{ID: "busy"}, onGPU, 9000, 9000, 9000, 9000)
		for _, a := range e.Decide() {
			if a.Node == "a" {
				e.End(job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}, 0)
			}
		}
		queue(e, Job{ID: "j"}, onGPU)
		e.Queue(Task{Job: "j", Task: "encode-00000", Attempt: 2, Work: onGPU, Frames: 100, FailedOn: []Place{{"a", "gpu-0"}}})
		if placed := e.Decide(); placed != nil {
			t.Fatalf("placed %v, where it failed", where(placed))
		}
		return e
	}
	for name, goes := range map[string]func(*Engine){
		"a node that is removed":     func(e *Engine) { e.RemoveNode("b") },
		"a node that loses its GPUs": func(e *Engine) { e.SetNode(cpuNode("b", 8, nil)) },
		"a node that drains": func(e *Engine) {
			e.SetNode(cpuNode("b", 8, func(n *Node) { n.Closed = "it is draining" }))
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := busy()
			goes(e)
			if placed := e.Decide(); len(placed) != 1 || placed[0].Node != "a" {
				t.Errorf("placed %v, want the chunk on a: %s", where(placed), e.Explain("j")[0].Reason)
			}
		})
	}
}
