package node

import (
	"fmt"
	"testing"

	"millrace/cluster"
	"millrace/hwaccel"
	"millrace/job"
)

// planned is the plan that the leader makes of an inspection's, which was done for
// NVENC, of so many frames.
func (r *rig) planned(id job.ID, frames int64) job.Plan {
	r.t.Helper()
	ref := job.Ref{Job: id, Task: job.TaskID(job.InspectTask), Attempt: 1}
	r.propose(cluster.StartAttempts{At: r.time, Assignments: []cluster.JobAssignment{{Job: id, Assignment: job.Assignment{
		Task: ref.Task, Attempt: 1, Node: "a", Session: "s1", Device: "cpu", Threads: 1,
	}}}})
	row, _ := hwaccel.Encoder("h264_nvenc")
	r.propose(r.planCommand(ref, job.Plan{
		Source:   job.Source{Identity: "v1", Width: 1920, Height: 1080, VideoCodec: "h264", Rate: job.Rational{Num: 25, Den: 1}},
		Timeline: job.Timeline{Rate: job.Rational{Num: 25, Den: 1}, Frames: frames, SegmentFrames: 100}, DelayFrames: row.DelayFrames,
		Renditions: []job.Rendition{{Name: "1080p", Width: 1920, Height: 1080, Codec: job.H264, Encoder: row.Encoder, CRF: row.CRF[job.Standard]}},
	}, r.time))
	record, _ := r.peer.Stale().Record(id)
	return *record.Job.Plan
}

// TestJobsAreBoundToAllEncodersOfTheRack: what the rack does most with isn't all that
// it has.
func TestJobsAreBoundToAllEncodersOfTheRack(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*job.Spec)
		cpu    bool // whether any job is made by libx264
	}{
		"any encoder":    {func(*job.Spec) {}, true},
		"only NVENC":     {requires("nvenc"), false},
		"least energy":   {func(spec *job.Spec) { spec.Prefer = job.PreferEnergy }, false},
		"only a CPU":     {requires("cpu"), true},
		"another's disk": {requires("ssd"), false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigOf(t, func(spec *job.Spec) { spec.Quality = job.Standard })
			r.poll("s1", both(named("a", "", ""), func(report *Report) {
				report.Profiles[0].Encoders[0].FramesPerSecond = map[string]float64{"1080p": 600}
				report.Profiles[0].Room = hwaccel.Room{Threads: 64, MemoryBytes: 256 << 30}
			}))
			r.poll("s2", both(named("b", "ssd", ""), withGPU("")))
			bound := make(map[string]int)
			for i := range 40 {
				id := job.ID(fmt.Sprintf("j%010d", i))
				spec := r.record().Job.Spec
				spec.Output.URL = fmt.Sprintf("file:///out/%s/", id)
				test.change(&spec)
				r.propose(cluster.CreateJob{ID: id, Org: "o", At: r.time, Spec: spec})
				plan := r.planned(id, 9000)
				r.schedule()
				for _, rendition := range plan.Renditions {
					row, _ := hwaccel.Encoder(rendition.Encoder)
					if rendition.CRF != row.CRF[job.Standard] || plan.DelayFrames != row.DelayFrames {
						t.Fatalf("%s has CRF %v and a delay of %d frames", rendition.Encoder, rendition.CRF, plan.DelayFrames)
					}
					bound[rendition.Encoder]++
				}
			}
			if bound["libx264"] > 0 != test.cpu || bound["h264_nvenc"] > 0 == (name == "only a CPU") {
				t.Errorf("jobs are bound to %v", bound)
			}
		})
	}
}

// TestAJobThatIsPlannedAgainKeepsItsEncoder, so that its finished chunks are kept.
func TestAJobThatIsPlannedAgainKeepsItsEncoder(t *testing.T) {
	for name, test := range map[string]struct {
		nodes func(*Report)
		want  string
	}{
		"it is offered":       {withGPU(""), "libx264"},
		"it isn't any longer": {both(withGPU(""), func(report *Report) { report.Profiles = report.Profiles[1:] }), "h264_nvenc"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.poll("s1", test.nodes)
			earlier := *r.record().Job
			row, _ := hwaccel.Encoder("h264_nvenc")
			plan := job.Plan{DelayFrames: row.DelayFrames, Renditions: []job.Rendition{
				{Name: "240p", Codec: job.H264, Encoder: "h264_nvenc", CRF: row.CRF[job.Standard]},
			}}
			old := madeBy(plan, []string{"libx264"}, job.Standard)
			if old.Renditions[0].CRF == plan.Renditions[0].CRF || plan.Renditions[0].Encoder != "h264_nvenc" {
				t.Fatalf("%+v and %+v share their renditions or a quality", old, plan)
			}
			old.DelayFrames += 2 // an encoder before it had a longer delay
			earlier.Plan = &old
			again := r.asBefore(plan, &earlier)
			if got := again.Renditions[0].Encoder; got != test.want {
				t.Errorf("it is made by %s, want %s", got, test.want)
			}
			if kept := again.DelayFrames == old.DelayFrames && again.Renditions[0] == old.Renditions[0]; kept != (test.want == "libx264") {
				t.Errorf("planned as %+v after %+v", again, old)
			}
		})
	}
}
