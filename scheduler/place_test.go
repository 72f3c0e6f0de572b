package scheduler

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"millrace/job"
)

// TestAFullQueueGoesBackToWhereTheSourceIs: two films share eight nodes, and one
// chunk of each ends: the next goes to the node that has read of its own source.
func TestAFullQueueGoesBackToWhereTheSourceIs(t *testing.T) {
	work := ladderWork(func(w *Work) { w.Encoders = "libx264" })
	for first := range 4 {
		for second := range 4 {
			var nodes []Node
			for i := range 8 {
				nodes = append(nodes, cpuNode(fmt.Sprint("n", i), 1, nil))
			}
			e := engineWith(nodes...)
			for _, id := range []job.ID{"a", "b"} {
				queue(e, Job{ID: id, Org: string(id), Frames: 60_000}, work, slices.Repeat([]int64{600}, 100)...)
			}
			runs := make(map[job.ID][]Assignment)
			for _, a := range e.Decide() {
				runs[a.Job] = append(runs[a.Job], a)
			}
			read := make(map[string]job.ID) // by node
			for id, index := range map[job.ID]int{"a": first, "b": second} {
				a := runs[id][index]
				read[a.Node] = id
				e.End(job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}, a.Expected)
			}
			for _, a := range e.Decide() {
				if read[a.Node] != a.Job {
					t.Errorf("%s of film %s goes to %s, which has read of film %s", a.Task, a.Job, a.Node, read[a.Node])
				}
			}
		}
	}
}

// faster makes a node's first device so many times as fast.
func faster(times float64) func(*Node) {
	return func(node *Node) {
		for _, speed := range node.Devices[0].Encoders {
			for pixels := range speed.FramesPerSecond {
				speed.FramesPerSecond[pixels] *= times
			}
		}
	}
}

// TestTheLastChunksTakeAnyFreeDevice: what waits doesn't wait for one device that
// is a little faster, behind all others of its work.
func TestTheLastChunksTakeAnyFreeDevice(t *testing.T) {
	work := ladderWork(func(w *Work) { w.Encoders = "libx264" })
	e := engineWith(cpuNode("fast", 1, faster(1.2)))
	queue(e, Job{ID: "first"}, work, 600)
	if len(e.Decide()) != 1 {
		t.Fatal("the first job didn't start")
	}
	e.Advance(noon.Add(time.Hour)) // overdue: it may end at any moment
	e.SetNode(cpuNode("slow", 8, nil))
	queue(e, Job{ID: "film"}, work, slices.Repeat([]int64{600}, 6)...)
	if placed := e.Decide(); len(placed) < 5 {
		t.Errorf("%d of 6 chunks started on 8 free threads, the others wait for one thread", len(placed))
	}
}

// TestAFasterDeviceIsWaitedForWhileItIsAboutToEnd, and not when it is late: nobody
// knows how long what it does still takes.
func TestAFasterDeviceIsWaitedForWhileItIsAboutToEnd(t *testing.T) {
	work := ladderWork(func(w *Work) { w.Encoders = "libx264" })
	for name, test := range map[string]struct {
		after  float64 // of what was expected
		frames int64   // that are done by then
		placed int
	}{
		"about to end":            {0.97, 0, 0},
		"just late":               {1.01, 0, 0},
		"as late as it took":      {2, 0, 1},
		"late, with little to do": {2, 590, 0},
		"late, with much to do":   {1.01, 100, 1},
	} {
		t.Run(name, func(t *testing.T) {
			e := engineWith(cpuNode("fast", 1, faster(1.3)))
			queue(e, Job{ID: "first"}, work, 600)
			first := e.Decide()
			if len(first) != 1 {
				t.Fatal("the first job didn't start")
			}
			now := noon.Add(time.Duration(test.after * float64(first[0].Expected)))
			e.Advance(now)
			if test.frames > 0 {
				e.Progress(job.Ref{Job: "first", Task: first[0].Task, Attempt: 1}, test.frames)
			}
			e.SetNode(cpuNode("slow", 1, nil))
			queue(e, Job{ID: "second"}, work, 600)
			if placed := e.Decide(); len(placed) != test.placed {
				t.Errorf("%d attempts start on the slower device, want %d", len(placed), test.placed)
			}
		})
	}
}
