package scheduler

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/job"
)

var (
	software = ladderWork(func(w *Work) { w.Encoders = "libx264" })
	onGPU    = ladderWork(func(w *Work) { w.Encoders = "h264_nvenc" })
)

// decodeOnly makes GPUs that can't encode.
func decodeOnly(d *Device) { d.Encoders = nil }

// chunks are so many of 300 frames, which take a thread of a test's CPU 18 s.
func chunks(n int) []int64 { return slices.Repeat([]int64{300}, n) }

func TestAFullQueueLeavesNoThreadIdle(t *testing.T) {
	for name, test := range map[string]struct {
		node   Node
		chunks int     // in software, beside what fills the GPUs
		least  float64 // threads that are taken
		parts  int     // encodes on a part of a thread
	}{
		"a part of a thread is left":     {gpuNode("a", 4, 1, nil), 200, 3.92, 1},
		"a lone job's threads are whole": {gpuNode("a", 4, 1, nil), 4, 3, 0},
		"none but whole ones are left":   {cpuNode("a", 4, nil), 200, 4, 0},
		"a CPU encodes for its GPU":      {gpuNode("a", 4, 1, decodeOnly), 200, 4, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e := engineWith(test.node)
			queue(e, Job{ID: "gpu"}, onGPU, chunks(4)...)
			queue(e, Job{ID: "cpu"}, software, chunks(test.chunks)...)
			parts, placed := 0, e.Decide()
			for _, a := range placed {
				if a.Pace == 1 {
					continue
				}
				parts++
				whole := placed[slices.IndexFunc(placed, func(b Assignment) bool { return b.Encoder == a.Encoder && b.Pace == 1 })]
				if want := whole.Expected.Seconds() / a.Pace; math.Abs(a.Expected.Seconds()-want) > 0.1 || a.Pace < float64(leastPart)/Thread || a.Threads != 1 {
					t.Errorf("%s has %.2f of a thread and takes %s, one with a whole thread %s", a.Task, a.Pace, a.Expected, whole.Expected)
				}
			}
			h := e.nodes["a"]
			if taken := float64(h.whole[Threads]-h.free[Threads]) / Thread; parts != test.parts || taken < test.least || h.free[Threads] < 0 {
				t.Errorf("%.2f of 4 threads are taken, by %d encodes with a part of one: %v", taken, parts, where(placed))
			}
		})
	}
}

func TestWhatWouldBeAmongTheLastToEndGetsAWholeThread(t *testing.T) {
	for frames, parts := range map[int64]int{300: 1, 2400: 0} { // 18 s and 140 s on one thread
		e := engineWith(gpuNode("a", 4, 1, nil))
		queue(e, Job{ID: "gpu"}, onGPU, chunks(4)...)
		queue(e, Job{ID: "cpu"}, software, slices.Repeat([]int64{frames}, int(9600/frames))...)
		got := 0
		for _, a := range e.Decide() {
			if a.Threads == 1 && a.Pace < 1 {
				got++
			}
		}
		if got != parts || !e.full {
			t.Errorf("with %s to go %d chunks of %d frames begin with a part of a thread", e.Horizon(), got, frames)
		}
	}
}

// TestAWholeThreadAnywhereGoesBeforeAPartWhereTheSourceIs: reading a source again costs
// less than to take up to 1.7 times as long.
func TestAWholeThreadAnywhereGoesBeforeAPartWhereTheSourceIs(t *testing.T) {
	e := engineWith(gpuNode("a", 2, 1, nil))
	queue(e, Job{ID: "film"}, software, chunks(200)...)
	first := e.Decide()
	part := slices.IndexFunc(first, func(a Assignment) bool { return a.Pace < 1 })
	if len(first) != 2 || part < 0 {
		t.Fatalf("placed %v, want a chunk with a whole thread and one with a part", where(first))
	}
	e.End(job.Ref{Job: "film", Task: first[part].Task, Attempt: 1}, 0)
	e.SetNode(gpuNode("b", 2, 1, nil))
	if second := e.Decide(); len(second) != 3 || second[0].Node != "b" || second[0].Pace != 1 {
		t.Errorf("placed %v, the first with %.2f threads", where(second), second[0].Pace)
	}
}

// TestAGPUWhoseQueueWasEmptyStartsAtOnce, however much waits for the CPU beside it.
func TestAGPUWhoseQueueWasEmptyStartsAtOnce(t *testing.T) {
	clip := ladderWork(func(w *Work) { w.Encoders, w.Ladder, w.SourcePixels = "h264_nvenc", "854x480,640x360,426x240", hd })
	for _, threads := range []int{2, 4, 16} {
		for _, gpus := range []int{1, 4} {
			e := engineWith(gpuNode("a", threads, gpus, nil))
			queue(e, Job{ID: "sound"}, Work{Kind: job.EncodeTask})
			e.Queue(Task{Job: "sound", Task: "audio", Attempt: 1, Work: Work{Kind: job.AudioTask}, Frames: 9000})
			queue(e, Job{ID: "cpu"}, software, chunks(500)...)
			if placed := e.Decide(); len(placed) < threads-1 {
				t.Errorf("%d threads have room for %v only", threads, where(placed))
			}
			queue(e, Job{ID: "gpu"}, onGPU, chunks(2*gpus)...)
			devices := make(map[string]bool)
			first := e.Decide()
			for _, a := range first {
				devices[a.Device] = true
			}
			if len(devices) != gpus {
				t.Errorf("of %d GPUs beside %d threads %v start", gpus, threads, devices)
			}
			if gpus > 1 {
				continue
			}
			for _, a := range first {
				e.End(job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}, 0)
			}
			e.RemoveJob("gpu")
			queue(e, Job{ID: "clip"}, clip, 900)
			if placed := e.Decide(); len(placed) == 0 || placed[len(placed)-1].Job != "clip" {
				t.Errorf("beside %d threads a clip of small pictures waits: %s", threads, e.Explain("clip")[0].Reason)
			}
		}
	}
}

func TestThreadsAreKeptForGPUsThatEncodeOnly(t *testing.T) {
	out := gpuNode("a", 4, 1, func(d *Device) { d.Out = "it is too hot" })
	for name, test := range map[string]struct {
		node Node
		want int64
	}{
		"one of 600 frames of 1080p a second": {gpuNode("a", 4, 1, nil), 120},
		"several, each 300 ladders":           {gpuNode("a", 4, 3, nil), 180},
		"one that can't encode":               {gpuNode("a", 4, 1, decodeOnly), 0},
		"one that is out":                     {out, 0},
		"none":                                {cpuNode("a", 4, nil), 0},
		"beside the only thread":              {gpuNode("a", 1, 1, nil), 0},
	} {
		if got := test.node.reserve(); got != test.want {
			t.Errorf("%s: %d thousandths of a thread are kept, want %d", name, got, test.want)
		}
	}
}

// TestALoneJobGetsWholeThreads although GPUs may come to need a part of one.
func TestALoneJobGetsWholeThreads(t *testing.T) {
	e := engineWith(gpuNode("a", 2, 1, nil))
	queue(e, Job{ID: "clip"}, software, chunks(2)...)
	if placed := e.Decide(); len(placed) != 2 || placed[0].Pace != 1 || placed[1].Pace != 1 {
		t.Errorf("of two chunks on two threads %v start", where(placed))
	}
}

// TestWhatIsLastGetsWhatWasKept for GPUs while more waited.
func TestWhatIsLastGetsWhatWasKept(t *testing.T) {
	e := engineWith(gpuNode("a", 2, 1, nil))
	queue(e, Job{ID: "film"}, software, chunks(500)...)
	for _, a := range e.Decide() {
		if a.Pace < 1 {
			e.End(job.Ref{Job: "film", Task: a.Task, Attempt: 1}, 0)
		}
	}
	for i := range 499 {
		e.Withdraw("film", job.EncodeTaskID(i))
	}
	if placed := e.Decide(); len(placed) != 1 || placed[0].Pace != 1 {
		t.Errorf("beside a chunk on one of two threads %v start", where(placed))
	}
}

// TestThreadsThatNothingWaitsForGoToEncodesButForTheGPUs: the GPU starts beside them.
func TestThreadsThatNothingWaitsForGoToEncodesButForTheGPUs(t *testing.T) {
	e := engineWith(gpuNode("a", 4, 1, nil))
	queue(e, Job{ID: "cpu"}, software, 2400, 300)
	threads := 0
	for _, a := range e.Decide() {
		threads += a.Threads
	}
	queue(e, Job{ID: "gpu"}, onGPU, 300)
	if placed := e.Decide(); threads != 4 || len(placed) != 1 {
		t.Errorf("two encodes have %d of 4 threads, and beside them starts %v", threads, where(placed))
	}
}

// TestALoneEncodeLeavesItsGPUsRoomToStart, and has a small host's CPU all the same.
func TestALoneEncodeLeavesItsGPUsRoomToStart(t *testing.T) {
	for _, threads := range []int{2, 4} {
		e := engineWith(gpuNode("a", threads, 1, nil))
		queue(e, Job{ID: "cpu"}, software, 300)
		if placed := e.Decide(); len(placed) != 1 || placed[0].Threads != threads {
			t.Errorf("placed %v on %d threads", where(placed), threads)
		}
		queue(e, Job{ID: "gpu"}, onGPU, 300)
		if placed := e.Decide(); len(placed) != 1 {
			t.Errorf("the GPU beside %d threads waits: %s", threads, e.Explain("gpu")[0].Reason)
		}
	}
}

// TestANewLeaderCountsPartsOfThreads: which attempts have one nobody tells it.
func TestANewLeaderCountsPartsOfThreads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		node := gpuNode("a", rapid.IntRange(2, 8).Draw(t, "threads"), rapid.IntRange(1, 4).Draw(t, "gpus"), nil)
		old := engineWith(node)
		queue(old, Job{ID: "gpu"}, onGPU, chunks(rapid.IntRange(0, 8).Draw(t, "on GPUs"))...)
		queue(old, Job{ID: "cpu"}, software, chunks(rapid.IntRange(1, 500).Draw(t, "in software"))...)
		placed := old.Decide()
		e := engineWith(node)
		for _, id := range []job.ID{"gpu", "cpu"} {
			e.SetJob(Job{ID: id, Org: "o", Queued: noon, Started: true})
		}
		for i, a := range rapid.Permutation(placed).Draw(t, "order") {
			work := software
			if a.Job == "gpu" {
				work = onGPU
			}
			if !e.Adopt(Run{
				Ref: job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}, Work: work, Frames: 300, Node: a.Node, Device: a.Device,
				Encoder: a.Encoder, Threads: a.Threads, Started: noon.Add(time.Duration(i) * time.Second),
			}) {
				t.Fatalf("%+v isn't adopted", a)
			}
		}
		if h, before := e.nodes["a"], old.nodes["a"]; h.free[Threads] < 0 || h.free[Threads] > before.free[Threads] {
			t.Fatalf("%d thousandths of threads are left of %d, %d were", h.free[Threads], h.whole[Threads], before.free[Threads])
		}
		(&drill{Engine: e}).checkRoom(t)
	})
}

func TestExplainSaysWhatOfAThreadIsLacking(t *testing.T) {
	for gpus, want := range map[int][]string{
		4: {"no more than 0.76 CPU threads were left for it", "0.24 CPU threads free, 0.60 needed"},
		// Of three threads 0.72 are the GPUs', and two are taken.
		12: {"0.28 CPU threads free beside what its host's GPUs need, 0.60 needed"},
	} {
		e := engineWith(gpuNode("a", 3, gpus, nil))
		queue(e, Job{ID: "cpu"}, software, chunks(500)...)
		e.Decide()
		text := ""
		for _, p := range e.Explain("cpu") {
			text += p.Reason + "\n"
		}
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("explained by %s, want %q", text, part)
			}
		}
	}
}

// TestAnAttemptOnAPartOfAThreadTeachesNothing: what the operating system gave it may
// be more than its part.
func TestAnAttemptOnAPartOfAThreadTeachesNothing(t *testing.T) {
	e := engineWith(gpuNode("a", 3, 4, nil))
	queue(e, Job{ID: "cpu"}, software, chunks(500)...)
	for _, a := range e.Decide() {
		before := e.costs.seen
		e.End(job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}, 18*time.Second)
		if learned := e.costs.seen > before; learned != (a.Pace == 1) {
			t.Errorf("an attempt with %.2f of its threads is learned from: %v", a.Pace, learned)
		}
	}
}
