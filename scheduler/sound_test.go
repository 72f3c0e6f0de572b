package scheduler

import (
	"fmt"
	"strings"
	"testing"

	"millrace/job"
)

// TestSoundGetsTheThreadsThatItNeeds to be ready when the pictures are.
func TestSoundGetsTheThreadsThatItNeeds(t *testing.T) {
	short := func(n *Node) { n.Host[Memory] = smallTaskBytes + 2*soundBytes + 1 }
	gpus := func(threads int) Node { return gpuNode("a", threads, 4, nil) }
	for name, test := range map[string]struct {
		node   Node
		frames int64 // of the sound
		chunks int   // on GPUs
		others int   // in software, of another job that is due later
		want   int
	}{
		"a film that a rack is quickly through with":  {gpus(64), 216_000, 1, 0, 8},
		"one whose pictures take as long":             {gpus(64), 27_000, 200, 0, 1},
		"one whose pictures take a third of the time": {gpus(64), 216_000, 100, 0, 3},
		"alone, where all threads are free":           {cpuNode("a", 64, nil), 216_000, 0, 0, 8},
		"with fewer free threads":                     {cpuNode("a", 3, nil), 216_000, 0, 0, 3},
		"with little memory":                          {cpuNode("a", 64, short), 216_000, 0, 0, 3},
		"not longer than two pieces":                  {cpuNode("a", 64, nil), 2*soundPiece - 1, 0, 0, 1},
		"three pieces":                                {cpuNode("a", 64, nil), 3 * soundPiece, 0, 0, 3},
		"under a full queue":                          {cpuNode("a", 16, nil), 27_000, 0, 500, 1},
	} {
		t.Run(name, func(t *testing.T) {
			e := engineWith(test.node)
			queue(e, Job{ID: "film", Priority: 5}, onGPU, chunks(test.chunks)...)
			e.Queue(Task{Job: "film", Task: "audio", Attempt: 1, Work: Work{Kind: job.AudioTask}, Frames: test.frames})
			if test.others > 0 {
				queue(e, Job{ID: "others"}, software, chunks(test.others)...)
			}
			for _, a := range e.Decide() {
				if a.Task != "audio" {
					continue
				}
				if a.Threads != test.want {
					t.Errorf("the sound gets %d threads, want %d: all that waits takes %s", a.Threads, test.want, e.Horizon())
				}
				if why := e.Explain("film")[0].Reason; strings.Contains(why, fmt.Sprintf("in pieces, %d at once", a.Threads)) != (a.Threads > 1) {
					t.Errorf("with %d threads the sound's reason is %q", a.Threads, why)
				}
				host := e.nodes["a"]
				if used := host.whole[Memory] - host.free[Memory]; host.whole[Memory] < Unlimited && used < smallTaskBytes+int64(a.Threads-1)*soundBytes {
					t.Errorf("%d bytes are counted for %d threads", used, a.Threads)
				}
				return
			}
			t.Error("the sound waits")
		})
	}
}
