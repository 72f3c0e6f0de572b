package scheduler

import (
	"strings"
	"testing"
)

func TestWorkThatPrefersEnergyGoesWhereItTakesLeast(t *testing.T) {
	watts := func(node Node, cpu, gpu float64) Node {
		for i := range node.Devices {
			node.Devices[i].Encoders[0].Watts = gpu
		}
		node.Devices[0].Encoders[0].Watts = cpu
		return node
	}
	thrifty := ladderWork(func(w *Work) { w.Prefer = PreferEnergy })
	for name, test := range map[string]struct {
		nodes   []Node
		work    Work
		want    string
		because string
	}{
		"the slow CPU of few watts": {
			[]Node{watts(cpuNode("fast", 16, nil), 400, 0), watts(cpuNode("slow", 2, nil), 10, 0)},
			thrifty, "@slow/cpu", "it takes least energy on cpu",
		},
		"without the preference the fast one": {
			[]Node{watts(cpuNode("fast", 16, nil), 400, 0), watts(cpuNode("slow", 2, nil), 10, 0)},
			ladderWork(nil), "@fast/cpu", "it ends soonest",
		},
		"the GPU, its host's CPU included": {
			[]Node{watts(gpuNode("a", 16, 1, nil), 200, 70)}, thrifty, "@a/gpu-0", "it takes least energy on nvidia",
		},
		"the CPU beside a GPU that draws much": {
			[]Node{watts(gpuNode("a", 16, 1, nil), 20, 700)}, thrifty, "@a/cpu", "it takes least energy on cpu",
		},
		"one whose draw isn't known comes after one whose is": {
			[]Node{watts(cpuNode("fast", 16, nil), 0, 0), watts(cpuNode("slow", 2, nil), 500, 0)},
			thrifty, "@slow/cpu", "whose draw is known",
		},
		"by time where none is known": {
			[]Node{cpuNode("fast", 16, nil), cpuNode("slow", 2, nil)}, thrifty, "@fast/cpu", "it ends soonest on cpu, of the devices with room; what the devices draw isn't known",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := engineWith(test.nodes...)
			queue(e, Job{ID: "j"}, test.work, 900)
			if got := strings.Join(where(e.Decide()), " "); !strings.Contains(got, test.want) {
				t.Errorf("placed at %q, want %s", got, test.want)
			}
			if told := e.Explain("j"); len(told) != 1 || !strings.Contains(told[0].Reason, test.because) {
				t.Errorf("explained by %+v, want %q", told, test.because)
			}
		})
	}
}

func TestTheEncoderOfAJobThatPrefersEnergyTakesLeast(t *testing.T) {
	node := gpuNode("a", 64, 1, nil) // the CPU is faster in all
	both := Work{Encoders: "h264_nvenc,libx264", Prefer: PreferEnergy}
	e := engineWith(node)
	if got := e.Encoder(both); got != "libx264" {
		t.Errorf("of no known draw: %q", got)
	}
	node = gpuNode("a", 64, 1, nil)
	node.Devices[0].Encoders[0].Watts, node.Devices[1].Encoders[0].Watts = 500, 50
	e.SetNode(node)
	if got := e.Encoder(both); got != "h264_nvenc" {
		t.Errorf("50 W at 600 frames a second against 500 W at 2,560: %q", got)
	}
	if got := e.Encoder(Work{Encoders: both.Encoders}); got != "libx264" {
		t.Errorf("without the preference: %q", got)
	}
}
