package scheduler

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"millrace/job"
)

func TestDecide(t *testing.T) {
	cpuWork := ladderWork(func(w *Work) { w.Encoders = "libx264" })
	closed := func(why string) func(*Node) { return func(n *Node) { n.Closed = why } }
	for name, test := range map[string]struct {
		nodes []Node
		queue func(e *Engine)
		want  []string
	}{
		"nothing waits, nothing starts": {[]Node{cpuNode("a", 2, nil)}, func(*Engine) {}, nil},
		"chunks spread over the nodes": {
			[]Node{cpuNode("a", 2, nil), cpuNode("b", 2, nil)},
			func(e *Engine) { queue(e, Job{ID: "j"}, cpuWork, 100, 100, 100, 100) },
			[]string{"j/encode-00000@a/cpu×1", "j/encode-00001@b/cpu×1", "j/encode-00002@a/cpu×1", "j/encode-00003@b/cpu×1"},
		},
		"what has no room waits": {
			[]Node{cpuNode("a", 2, nil)},
			func(e *Engine) { queue(e, Job{ID: "j"}, cpuWork, 100, 100, 100) },
			[]string{"j/encode-00000@a/cpu×1", "j/encode-00001@a/cpu×1"},
		},
		"a lone chunk gets the whole node": {
			[]Node{cpuNode("a", 8, nil)},
			func(e *Engine) { queue(e, Job{ID: "j"}, cpuWork, 100) },
			[]string{"j/encode-00000@a/cpu×8"},
		},
		"priority goes before age": {
			[]Node{cpuNode("a", 1, nil)},
			func(e *Engine) {
				queue(e, Job{ID: "old"}, cpuWork, 100)
				queue(e, Job{ID: "new", Queued: noon.Add(30 * time.Minute), Priority: 5}, cpuWork, 100)
			},
			[]string{"new/encode-00000@a/cpu×1"},
		},
		"age goes before priority in the end": {
			[]Node{cpuNode("a", 1, nil)},
			func(e *Engine) {
				queue(e, Job{ID: "old"}, cpuWork, 100)
				queue(e, Job{ID: "new", Queued: noon.Add(2 * time.Hour), Priority: 5}, cpuWork, 100)
			},
			[]string{"old/encode-00000@a/cpu×1"},
		},
		"a clip isn't stuck behind a film": {
			[]Node{cpuNode("a", 1, nil)},
			func(e *Engine) {
				queue(e, Job{ID: "film", Frames: 10 * 3600 * 30}, cpuWork, 900)
				queue(e, Job{ID: "clip", Frames: 900, Queued: noon.Add(time.Hour)}, cpuWork, 900)
			},
			[]string{"clip/encode-00000@a/cpu×1"},
		},
		"a deadline is a hint that counts": {
			[]Node{cpuNode("a", 1, nil)},
			func(e *Engine) {
				queue(e, Job{ID: "first", Frames: 900}, cpuWork, 900)
				queue(e, Job{ID: "urgent", Frames: 900, Queued: noon.Add(time.Minute), Deadline: noon.Add(time.Minute)}, cpuWork, 900)
			},
			[]string{"urgent/encode-00000@a/cpu×1"},
		},
		"within a job the largest goes first": {
			[]Node{cpuNode("a", 1, nil)},
			func(e *Engine) { queue(e, Job{ID: "j"}, cpuWork, 100, 200) },
			[]string{"j/encode-00001@a/cpu×1"},
		},
		"a closed node gets nothing": {
			[]Node{cpuNode("a", 8, closed("it is draining")), cpuNode("b", 1, nil)},
			func(e *Engine) { queue(e, Job{ID: "j"}, cpuWork, 100) },
			[]string{"j/encode-00000@b/cpu×1"},
		},
		"a node where it failed is the last choice": {
			[]Node{cpuNode("a", 8, nil), cpuNode("b", 1, nil)},
			func(e *Engine) {
				queue(e, Job{ID: "j"}, cpuWork)
				e.Queue(Task{Job: "j", Task: "encode-00000", Attempt: 2, Work: cpuWork, Frames: 100, FailedOn: []Place{{"a", "cpu"}}})
			},
			[]string{"j/encode-00000@b/cpu×1"},
		},
		"another GPU of the node comes before the one where it failed": {
			[]Node{gpuNode("a", 8, 2, nil)},
			func(e *Engine) {
				queue(e, Job{ID: "j"}, onGPU)
				e.Queue(Task{Job: "j", Task: "encode-00000", Attempt: 2, Work: onGPU, Frames: 100, FailedOn: []Place{{"a", "gpu-0"}}})
			},
			[]string{"j/encode-00000@a/gpu-1×1"},
		},
		"what failed on a GPU waits for another that is busy": {
			[]Node{gpuNode("a", 8, 2, func(d *Device) { d.Tasks = 1 })},
			func(e *Engine) {
				queue(e, Job{ID: "busy"}, onGPU, 9000)
				failed := e.Decide()[0].Device
				free := map[string]string{"gpu-0": "gpu-1", "gpu-1": "gpu-0"}[failed]
				queue(e, Job{ID: "j"}, onGPU)
				e.Queue(Task{Job: "j", Task: "encode-00000", Attempt: 2, Work: onGPU, Frames: 100, FailedOn: []Place{{"a", free}}})
			},
			nil,
		},
		"but not for one that is out of use": {
			[]Node{gpuNode("a", 8, 2, func(d *Device) {
				if d.ID == "gpu-1" {
					d.Out = "it is lost"
				}
			})},
			func(e *Engine) {
				queue(e, Job{ID: "j"}, onGPU)
				e.Queue(Task{Job: "j", Task: "encode-00000", Attempt: 2, Work: onGPU, Frames: 100, FailedOn: []Place{{"a", "gpu-0"}}})
			},
			[]string{"j/encode-00000@a/gpu-0×1"},
		},
		"what a machine failed at goes to another machine": {
			[]Node{gpuNode("a", 8, 2, nil), gpuNode("b", 8, 1, nil)},
			func(e *Engine) {
				queue(e, Job{ID: "j"}, onGPU)
				e.Queue(Task{Job: "j", Task: "encode-00000", Attempt: 2, Work: onGPU, Frames: 100, FailedOn: []Place{{"a", ""}}})
			},
			[]string{"j/encode-00000@b/gpu-0×1"},
		},
		"but it is a choice": {
			[]Node{cpuNode("a", 1, nil)},
			func(e *Engine) {
				queue(e, Job{ID: "j"}, cpuWork)
				e.Queue(Task{Job: "j", Task: "encode-00000", Attempt: 2, Work: cpuWork, Frames: 100, FailedOn: []Place{{"a", "cpu"}}})
			},
			[]string{"j/encode-00000@a/cpu×1"},
		},
		"work that needs more memory than there is gets all of it": {
			[]Node{cpuNode("a", 4, func(n *Node) { n.Host[Memory] = 200 << 20 })},
			func(e *Engine) { queue(e, Job{ID: "j"}, cpuWork, 100, 100) },
			[]string{"j/encode-00000@a/cpu×1"},
		},
		"a chunk waits for room on the scratch disk": {
			[]Node{cpuNode("a", 4, func(n *Node) { n.Host[Scratch] = 256 << 20 })},
			func(e *Engine) { queue(e, Job{ID: "j"}, cpuWork, 100, 100) },
			[]string{"j/encode-00000@a/cpu×1"}, // it may leave 168 MB
		},
		"work that may need more disk than there is gets all of it": {
			[]Node{cpuNode("a", 4, func(n *Node) { n.Host[Scratch] = 16 << 20 })},
			func(e *Engine) { queue(e, Job{ID: "j"}, cpuWork, 100, 100) },
			[]string{"j/encode-00000@a/cpu×1"},
		},
		"every GPU of a node is used": {
			[]Node{gpuNode("a", 32, 3, nil)},
			func(e *Engine) {
				queue(e, Job{ID: "j"}, ladderWork(func(w *Work) { w.Encoders = "h264_nvenc" }), 900, 900, 900, 900, 900, 900)
			},
			[]string{"j/encode-00000@a/gpu-0×1", "j/encode-00001@a/gpu-1×1", "j/encode-00002@a/gpu-2×1", "j/encode-00003@a/gpu-0×1", "j/encode-00004@a/gpu-1×1", "j/encode-00005@a/gpu-2×1"},
		},
		"sessions of consumer cards count for the whole host": {
			[]Node{func() Node {
				n := gpuNode("a", 32, 2, func(d *Device) { d.Consumer = true })
				n.Host[HostSessions] = 8
				return n
			}()},
			func(e *Engine) {
				queue(e, Job{ID: "j"}, ladderWork(func(w *Work) { w.Encoders = "h264_nvenc" }), 900, 900)
			},
			[]string{"j/encode-00000@a/gpu-0×1"}, // five of eight sessions
		},
		"a label that is required is kept to": {
			[]Node{cpuNode("a", 8, nil), cpuNode("b", 1, func(n *Node) { n.Labels = []string{"ssd"} })},
			func(e *Engine) {
				queue(e, Job{ID: "j"}, ladderWork(func(w *Work) { w.Encoders = "libx264"; w.Requires = "ssd" }), 100)
			},
			[]string{"j/encode-00000@b/cpu×1"},
		},
		"requiring nvenc keeps work off CPUs": {
			[]Node{cpuNode("a", 64, nil)},
			func(e *Engine) { queue(e, Job{ID: "j"}, ladderWork(func(w *Work) { w.Requires = "nvenc" }), 100) },
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := engineWith(test.nodes...)
			test.queue(e)
			if got := where(e.Decide()); !slices.Equal(got, test.want) {
				t.Errorf("placed %v, want %v", got, test.want)
			}
		})
	}
}

func TestALaddersChunksKeepTheFirstOnesEncoder(t *testing.T) {
	e := engineWith(gpuNode("a", 2, 1, nil), cpuNode("b", 4, nil))
	queue(e, Job{ID: "j"}, ladderWork(nil), 900, 900, 900, 900, 900, 900, 900, 900)
	placed := e.Decide()
	if len(placed) < 2 {
		t.Fatalf("placed %v, want more than one chunk", where(placed))
	}
	for _, a := range placed {
		if a.Encoder != placed[0].Encoder {
			t.Errorf("%s is made with %s, the first with %s", a.Task, a.Encoder, placed[0].Encoder)
		}
	}
}

func TestWorkGoesWhereItIsBestComparedWithOthers(t *testing.T) {
	// The GPU is faster at both ladders, but at the large one by more: with both
	// in the queue, the CPUs do the small one (Tdarr's complaint 908).
	nodes := []Node{gpuNode("a", 1, 1, nil)}
	for i := range 8 {
		nodes = append(nodes, cpuNode(fmt.Sprint("b", i), 8, nil))
	}
	e := engineWith(nodes...)
	small := ladderWork(func(w *Work) { w.Ladder, w.SourcePixels = "640x360", 640*360 })
	for i := range 60 {
		large, small := ladderWork(nil), small
		large.Encoders, small.Encoders = e.Outlook("", large, 9000).Encoder, e.Outlook("", small, 90_000).Encoder
		queue(e, Job{ID: job.ID(fmt.Sprint("large", i)), Org: "large"}, large, 3000, 3000, 3000)
		queue(e, Job{ID: job.ID(fmt.Sprint("small", i)), Org: "small"}, small, 30000, 30000, 30000)
		if i == 20 {
			e.refreshPrices()
		}
	}
	for _, a := range e.Decide() {
		if a.Encoder == "h264_nvenc" && a.Job[:5] == "small" {
			t.Errorf("%s takes the GPU from what needs it", a.Job)
		}
	}
}

func TestQuotaHoldsJobsBack(t *testing.T) {
	work := ladderWork(func(w *Work) { w.Encoders = "libx264" })
	e := engineWith(cpuNode("a", 8, nil))
	e.SetOrg(Org{ID: "o", Running: 1})
	queue(e, Job{ID: "first"}, work, 100, 100)
	queue(e, Job{ID: "second", Queued: noon.Add(1)}, work, 100)
	placed := e.Decide()
	if len(placed) != 2 || placed[0].Job != "first" || placed[1].Job != "first" {
		t.Fatalf("placed %v, want both chunks of the first job only", where(placed))
	}
	for _, a := range placed {
		e.End(job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}, time.Second)
	}
	e.RemoveJob("first")
	if placed := e.Decide(); len(placed) != 1 || placed[0].Job != "second" {
		t.Errorf("placed %v after the first job ended, want the second's chunk", where(placed))
	}
}

func TestEqualOrganisationsGetEqualShares(t *testing.T) {
	work := ladderWork(func(w *Work) { w.Encoders = "libx264" })
	e := engineWith(cpuNode("a", 4, nil))
	e.SetOrg(Org{ID: "double", Weight: 2})
	now := noon
	for i := range 400 { // the greedy one came first, with more
		queue(e, Job{ID: job.ID(fmt.Sprint("g", i)), Org: "greedy"}, work, 300)
		if i%2 == 0 {
			queue(e, Job{ID: job.ID(fmt.Sprint("m", i)), Org: "modest"}, work, 300)
			queue(e, Job{ID: job.ID(fmt.Sprint("d", i)), Org: "double"}, work, 300)
		}
	}
	had := make(map[byte]int)
	running := e.Decide()
	for len(running) < 300 {
		a := running[0]
		running = running[1:]
		now = now.Add(a.Expected / 4)
		e.Advance(now)
		e.End(job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}, a.Expected)
		had[a.Job[0]]++
		placed := e.Decide()
		running = append(running, placed...)
		if had['g']+had['m']+had['d'] == 200 {
			break
		}
	}
	if had['g'] < 48 || had['g'] > 52 || had['m'] < 48 || had['m'] > 52 {
		t.Errorf("of 200 tasks the greedy organisation had %d, the modest %d, the one of double weight %d", had['g'], had['m'], had['d'])
	}
}
