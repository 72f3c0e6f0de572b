package node

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"millrace/api"
	"millrace/cluster"
	"millrace/hwaccel"
	"millrace/job"
	"millrace/scheduler"
)

// BenchmarkStep is how long the leader takes from one event in the state to its
// decision, with 10,000 jobs of 50 chunks that haven't ended and 1,000 nodes of 16
// threads that are full: an attempt ends, and the step finds what starts in its
// place. It leaves out what the state takes to agree on both.
func BenchmarkStep(b *testing.B) {
	r := newRig(b)
	placed := r.fill(10_000, 1000)
	placed = slices.DeleteFunc(placed, func(a scheduler.Assignment) bool { return a.Job == jobID })
	b.Logf("%d attempts run", len(placed))
	var times []time.Duration
	for b.Loop() {
		b.StopTimer()
		if len(placed) == 0 {
			b.Fatal("nothing is placed any more")
		}
		a := placed[0]
		r.time = r.time.Add(time.Millisecond)
		r.propose(cluster.FinishTask{Ref: job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}, At: r.time})
		b.StartTimer()
		started := time.Now()
		view := r.peer.Stale()
		r.lostAttempts(view)
		r.encoderChanges(view)
		next, _ := r.place(view)
		times = append(times, time.Since(started))
		b.StopTimer()
		placed = append(placed[1:], next...)
		r.starts(next)
		b.StartTimer()
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-µs")
}

// fill makes jobs of 50 chunks, and nodes of 16 threads that are full of them.
func (r *rig) fill(jobs, nodes int) []scheduler.Assignment {
	r.plan(jobs, 50)
	for i := range nodes {
		r.worker(fmt.Sprintf("n%04d", i), 16)
	}
	placed, _ := r.place(r.peer.Stale())
	r.starts(placed)
	return placed
}

// plan makes jobs that are inspected and cut into so many chunks.
func (r *rig) plan(jobs, chunks int) {
	var proposals sync.WaitGroup
	free := make(chan struct{}, 64)
	for i := range jobs {
		free <- struct{}{}
		proposals.Go(func() {
			defer func() { <-free }()
			r.planOne(job.ID(fmt.Sprintf("j%010d", i)), chunks, nil)
		})
	}
	proposals.Wait()
}

func (r *rig) planOne(id job.ID, chunks int, change func(*job.Spec)) {
	r.t.Helper()
	timeline := job.Timeline{Rate: job.Rational{Num: 25, Den: 1}, Frames: int64(100 * chunks), SegmentFrames: 100}
	cut, err := timeline.Cut(slices.Repeat([]int{1}, chunks))
	if err != nil {
		r.t.Fatal(err)
	}
	spec := r.record().Job.Spec
	spec.Output.URL = fmt.Sprintf("file:///out/%s/", id)
	if change != nil {
		change(&spec)
	}
	plan := job.Plan{
		Source: job.Source{Identity: "v1", Width: 426, Height: 240, VideoCodec: "h264"}, Timeline: timeline, Chunks: cut,
		Renditions: []job.Rendition{{Name: "240p", Width: 426, Height: 240, Codec: job.H264, Encoder: "libx264"}},
	}
	inspect := job.Ref{Job: id, Task: job.TaskID(job.InspectTask), Attempt: 1}
	r.propose(cluster.CreateJob{ID: id, Org: "o", At: r.time, Spec: spec})
	r.propose(cluster.StartAttempts{At: r.time, Assignments: []cluster.JobAssignment{{Job: id, Assignment: job.Assignment{
		Task: inspect.Task, Attempt: 1, Node: "n0000", Session: "s", Device: "cpu", Threads: 1,
	}}}})
	r.propose(cluster.PlanJob{Ref: inspect, Plan: plan, Tasks: job.PlanTasks(id, spec, plan), At: r.time})
}

// worker is a node that polls once.
func (r *rig) worker(id string, threads int) {
	_, err := r.note(Report{Node: id, Session: "s", Profiles: []hwaccel.Profile{{
		Device:   hwaccel.Device{ID: "cpu", Kind: hwaccel.CPU},
		Encoders: []hwaccel.EncoderProfile{{Encoder: "libx264", Works: true}},
		Room:     hwaccel.Room{Threads: threads, MemoryBytes: int64(threads) << 30},
	}}})
	if err != nil {
		r.t.Fatal(err)
	}
}

// starts puts decisions into the state.
func (r *rig) starts(placed []scheduler.Assignment) {
	if _, err := r.start(r.t.Context(), placed); err != nil {
		r.t.Fatal(err)
	}
}

// BenchmarkProgress is what the leader takes to tell of progress, with 10,000 jobs of
// 50 chunks and 16,000 attempts that run on 1,000 nodes: to somebody new, and to
// somebody who was told before and since then one node has reported, or all have.
func BenchmarkProgress(b *testing.B) {
	r := newRig(b)
	const nodes = 1000
	placed := r.fill(10_000, nodes)
	running := make(map[string][]job.Ref)
	for _, a := range placed {
		running[a.Node] = append(running[a.Node], job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt})
	}
	frames := int64(0)
	report := func(nodes int) {
		frames++
		for i := range nodes {
			report := Report{Node: fmt.Sprintf("n%04d", i), Session: "s"}
			for _, ref := range running[report.Node] {
				report.Running = append(report.Running, Running{Ref: ref, Frames: frames % 100})
			}
			if _, err := r.note(report); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, how := range []struct {
		name     string
		reported int
		anew     bool
	}{{"anew", 0, true}, {"one node", 1, false}, {"all nodes", nodes, false}} {
		b.Run(how.name, func(b *testing.B) {
			told, err := r.progresses(api.ProgressMark{})
			for b.Loop() {
				if err != nil {
					b.Fatal(err)
				}
				mark := told.Mark
				if how.anew {
					mark = api.ProgressMark{}
				}
				report(how.reported)
				told, err = r.progresses(mark)
			}
			b.ReportMetric(float64(len(told.Jobs)), "jobs-told")
		})
	}
}
