package scheduler

import (
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	nvenc := ladderWork(func(w *Work) { w.Encoders = "h264_nvenc" })
	for name, test := range map[string]struct {
		node  Node
		org   Org
		queue func(e *Engine)
		want  string
	}{
		"no encoder": {
			cpuNode("a", 4, nil), Org{ID: "o"}, func(e *Engine) { queue(e, Job{ID: "j"}, nvenc, 900) },
			"no device of the cluster can do this: encoder h264_nvenc",
		},
		"no label": {
			cpuNode("a", 4, nil), Org{ID: "o"},
			func(e *Engine) { queue(e, Job{ID: "j"}, ladderWork(func(w *Work) { w.Requires = "ssd" }), 900) },
			"label ssd",
		},
		"drain": {
			gpuNode("a", 4, 1, nil), Org{ID: "o"},
			func(e *Engine) {
				node := gpuNode("a", 4, 1, nil)
				node.Closed = "it is draining"
				e.SetNode(node)
				queue(e, Job{ID: "j"}, nvenc, 900)
			},
			"a/gpu-0: it is draining",
		},
		"sessions": {
			gpuNode("a", 4, 1, func(d *Device) { d.Sessions = 5 }), Org{ID: "o"},
			func(e *Engine) {
				queue(e, Job{ID: "other"}, nvenc, 900)
				e.Decide()
				queue(e, Job{ID: "j"}, nvenc, 900)
			},
			"0 encode sessions free, 5 needed",
		},
		"quota": {
			cpuNode("a", 4, nil), Org{ID: "o", Running: 1},
			func(e *Engine) { queue(e, Job{ID: "other"}, nvenc, 900); queue(e, Job{ID: "j"}, nvenc, 900) },
			"quota is 1 jobs at once",
		},
		"minutes": {
			cpuNode("a", 4, nil), Org{ID: "o", Closed: "its 60 minutes for the day are used up"},
			func(e *Engine) { queue(e, Job{ID: "j"}, nvenc, 900) },
			"its 60 minutes for the day are used up",
		},
		"running": {
			cpuNode("a", 4, nil), Org{ID: "o"},
			func(e *Engine) { queue(e, Job{ID: "j"}, ladderWork(nil), 900) },
			"it ends soonest on cpu",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := engineWith(test.node)
			e.SetOrg(test.org)
			test.queue(e)
			e.Decide()
			found := e.Explain("j")
			if len(found) != 1 || !strings.Contains(found[0].Reason, test.want) {
				t.Errorf("explained by %+v, want %q", found, test.want)
			}
		})
	}
}

// TestExplainWhatWaitsForAnotherDeviceThanWhereItFailed.
func TestExplainWhatWaitsForAnotherDeviceThanWhereItFailed(t *testing.T) {
	e := engineWith(gpuNode("a", 8, 2, func(d *Device) { d.Tasks = 1 }))
	queue(e, Job{ID: "busy"}, onGPU, 9000)
	free := map[string]string{"gpu-0": "gpu-1", "gpu-1": "gpu-0"}[e.Decide()[0].Device]
	queue(e, Job{ID: "j"}, onGPU)
	e.Queue(Task{Job: "j", Task: "encode-00000", Attempt: 2, Work: onGPU, Frames: 100, FailedOn: []Place{{"a", free}}})
	if placed := e.Decide(); placed != nil {
		t.Fatalf("placed %v", where(placed))
	}
	want := "it failed on a/" + free + ", and waits for another device that can do it"
	if got := e.Explain("j")[0].Reason; got != want {
		t.Errorf("it waits since %q, want %q", got, want)
	}
}
