package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"millrace/hwaccel"
	"millrace/job"
)

// generation is a node with GPUs that write such headers.
func generation(id, name, headers string, gpus int) Node {
	return gpuNode(id, 32, gpus, func(d *Device) {
		d.Name, d.Encoders[0].Headers = name, headers
	})
}

// onNVENC queues a job of so many chunks that only NVENC makes.
func onNVENC(e *Engine, id job.ID, chunks int) {
	frames := slices.Repeat([]int64{900}, chunks)
	queue(e, Job{ID: id, Frames: int64(900 * chunks)}, ladderWork(func(w *Work) { w.Encoders = "h264_nvenc" }), frames...)
}

func TestDevicesThatWriteDifferentHeadersNeverShareALadder(t *testing.T) {
	for name, test := range map[string]struct {
		nodes []Node
		bind  string
		want  []string // nodes that may be used
	}{
		"one generation":                           {[]Node{generation("a", "T4", "turing", 1), generation("b", "T4", "turing", 1)}, "", []string{"a", "b"}},
		"the job begins where there is most":       {[]Node{generation("a", "L4", "ada", 1), generation("b", "T4", "turing", 3)}, "", []string{"b"}},
		"the headers that there are already count": {[]Node{generation("a", "L4", "ada", 1), generation("b", "T4", "turing", 3)}, "ada", []string{"a"}},
		"a generation that is gone leaves it waiting": {
			[]Node{generation("b", "T4", "turing", 3)}, "ada", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := engineWith(test.nodes...)
			onNVENC(e, "j", 12)
			if test.bind != "" {
				e.Bind("j", ladder5, "h264_nvenc", test.bind)
			}
			var used []string
			headers := make(map[string]bool)
			for range 40 { // decisions, each after all that ran has ended
				for _, a := range e.Decide() {
					if !slices.Contains(used, a.Node) {
						used = append(used, a.Node)
					}
					headers[a.Headers] = true
					e.End(job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}, a.Expected)
				}
			}
			slices.Sort(used)
			if !slices.Equal(used, test.want) || len(headers) > 1 {
				t.Errorf("chunks ran on %v with the headers %v, want %v and one sort of headers", used, headers, test.want)
			}
			if left := e.Waiting(); (left == 0) != (test.want != nil) {
				t.Errorf("%d chunks still wait", left)
			}
		})
	}
}

func TestJobsSpreadOverDevicesWithDifferentHeaders(t *testing.T) {
	e := engineWith(generation("a", "L4", "ada", 1), generation("b", "T4", "turing", 1))
	for i := range 20 {
		onNVENC(e, job.ID(fmt.Sprint("j", i)), 6)
	}
	chunks, of := make(map[string]int), make(map[job.ID]string)
	for e.Waiting() > 0 {
		placed := e.Decide()
		if len(placed) == 0 {
			t.Fatalf("%d chunks wait and nothing is placed", e.Waiting())
		}
		for _, a := range placed {
			if had := of[a.Job]; had != "" && had != a.Headers {
				t.Fatalf("job %s has the headers %s and %s", a.Job, had, a.Headers)
			}
			of[a.Job] = a.Headers
			chunks[a.Headers]++
			e.End(job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}, a.Expected)
		}
	}
	if chunks["ada"] < 30 || chunks["turing"] < 30 {
		t.Errorf("of 120 chunks %v were made by each generation: one of them idles", chunks)
	}
}

func TestAJobBeginsWithTheHeadersOfDevicesThatAreFree(t *testing.T) {
	busy := generation("a", "T4", "turing", 8)
	for i := range busy.Devices {
		if busy.Devices[i].Kind == hwaccel.NVIDIA {
			busy.Devices[i].Sessions = 5 // one ladder
		}
	}
	e := engineWith(busy)
	onNVENC(e, "film", 8)
	for range e.Decide() {
		e.SetNode(generation("b", "L4", "ada", 2))
	}
	onNVENC(e, "j", 2)
	placed := e.Decide()
	if len(placed) != 2 || placed[0].Node != "b" || placed[1].Node != "b" {
		t.Errorf("placed %v, want both on the idle L4s", where(placed))
	}
}

func TestALadderWhoseHeadersAreForgottenBeginsAnew(t *testing.T) {
	e := engineWith(generation("b", "T4", "turing", 1))
	onNVENC(e, "j", 2)
	e.Bind("j", ladder5, "h264_nvenc", "ada")
	if placed := e.Decide(); len(placed) > 0 {
		t.Fatalf("placed %v", where(placed))
	}
	e.Bind("j", ladder5, "h264_nvenc", "")
	if placed := e.Decide(); len(placed) != 2 || placed[1].Headers != "turing" {
		t.Errorf("placed %v, want both chunks on the T4", where(placed))
	}
}

func TestExplainSaysWhichDevicesArePassedOverForTheirHeaders(t *testing.T) {
	closed := generation("a", "NVIDIA L4", "ada", 1)
	closed.Closed = "it is draining"
	for name, nodes := range map[string][]Node{
		"none writes them":   {generation("b", "Tesla T4", "turing", 1)},
		"who does is closed": {closed, generation("b", "Tesla T4", "turing", 1)},
		"who does has no room": {func() Node {
			n := generation("a", "NVIDIA L4", "ada", 1)
			n.Devices[1].Sessions = 5
			return n
		}(), generation("b", "Tesla T4", "turing", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			e := engineWith(nodes...)
			onNVENC(e, "j", 2)
			e.Bind("j", ladder5, "h264_nvenc", "ada")
			e.Decide()
			found := e.Explain("j")
			want := "the h264_nvenc of Tesla T4 writes other headers than the chunks that are made already"
			if last := found[len(found)-1]; last.Running || !strings.Contains(last.Reason, want) {
				t.Errorf("explained by %+v, want %q", found, want)
			}
		})
	}
}

func TestHeadersPutDevicesIntoClassesOfTheirOwn(t *testing.T) {
	e := engineWith(generation("a", "T4", "turing", 1), generation("b", "T4", "turing", 1), generation("c", "T4", "ada", 1))
	onNVENC(e, "j", 1)
	if n := len(e.byWork[ladderWork(func(w *Work) { w.Encoders = "h264_nvenc" })].ways); n != 2 {
		t.Errorf("there are %d ways, want one for each sort of headers", n)
	}
}

// TestWhatFailedDoesNotWaitForDevicesThatItIsNotBegunOn: they write other headers.
func TestWhatFailedDoesNotWaitForDevicesThatItIsNotBegunOn(t *testing.T) {
	e := engineWith(generation("a", "NVIDIA L4", "ada", 4), generation("b", "Tesla T4", "turing", 1))
	queue(e, Job{ID: "j", Frames: 100_000}, onGPU)
	failed := []Place{{"a", ""}}
	e.Queue(Task{Job: "j", Task: "encode-00000", Attempt: 2, Work: onGPU, Frames: 100, FailedOn: failed})
	if placed := e.Decide(); len(placed) != 1 || placed[0].Node != "a" {
		t.Errorf("placed %v, want it on a, where all of the job ends soonest: %s", where(placed), e.Explain("j")[0].Reason)
	}
}
