package node

import (
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/cluster"
	"millrace/job"
	"millrace/scheduler"
)

// second queues another job with a spec that is changed.
func (r *rig) second(change func(*job.Spec)) job.ID {
	r.t.Helper()
	const id job.ID = "5KQfnXCg8Qi"
	spec := r.record().Job.Spec
	spec.Output = job.Location{URL: "file:///other/"}
	change(&spec)
	r.propose(cluster.CreateJob{ID: id, Org: "o", At: r.time.Add(time.Second), Spec: spec})
	return id
}

func TestAJobRunsOnlyWhereItsLabelsAre(t *testing.T) {
	r := newRig(t)
	id := r.second(func(spec *job.Spec) { spec.Requires = []string{"site=paris"} })
	for _, order := range r.poll("s1", nil).Start {
		if order.Ref.Job == id {
			t.Fatal("it was started on a node without the label")
		}
	}
	if why := r.rack.explain(id); len(why) != 1 || !strings.Contains(why[0].Reason, "site=paris") {
		t.Errorf("the job waits because of %+v", why)
	}
	found := false
	for _, order := range r.poll("s1", func(report *Report) { report.Labels = []string{"ssd", "site=paris"} }).Start {
		found = found || order.Ref.Job == id
	}
	if !found {
		t.Error("the node has the label now, and the job still waits")
	}
}

func TestAJobThatRequiresAnEncoderWaitsForIt(t *testing.T) {
	r := newRig(t)
	id := r.second(func(spec *job.Spec) { spec.Requires = []string{"nvenc"} })
	for _, order := range r.poll("s1", nil).Start {
		if order.Ref.Job == id {
			t.Fatal("it was started though nothing in the cluster has NVENC")
		}
	}
	if why := r.rack.explain(id); len(why) != 1 || !strings.Contains(why[0].Reason, "h264_nvenc") {
		t.Errorf("the job waits because of %+v", why)
	}
}

func TestTheSchedulerIsToldOfDeadlineAndPreference(t *testing.T) {
	at := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	spec := job.Spec{Codec: job.H264, Deadline: at, Prefer: job.PreferEnergy, Requires: []string{"cpu", "ssd"}}
	record := job.Record{Job: &job.Job{ID: jobID, Spec: spec}}
	if told := describeJob(record); !told.Deadline.Equal(at) {
		t.Errorf("the deadline is %s", told.Deadline)
	}
	work := encodeWork(spec, &job.Plan{}, nil)
	if work.Prefer != "energy" || work.Requires != "cpu,ssd" {
		t.Errorf("the work is %+v", work)
	}
	if audio := describeTask(record, &job.Task{Kind: job.AudioTask}); audio.Work.Requires != "ssd" {
		t.Errorf("sound requires %q", audio.Work.Requires)
	}
	if encoders := encodersFor(spec); encoders != "libx264" {
		t.Errorf("encoders of the CPU are %s", encoders)
	}
}

func TestAJobIsPlannedForAnEncoderOfTheNodesThatItRequires(t *testing.T) {
	r := newRig(t)
	id := r.second(func(spec *job.Spec) { spec.Requires = []string{"ssd"} })
	r.poll("s1", func(report *Report) { report.Labels = []string{"ssd"} })
	work := r.rack.jobs[id].encode
	if got := r.rack.engine.Encoder(work); got != "libx264" {
		t.Errorf("with the label ssd %q is taken", got)
	}
	if work.Requires = "tape"; r.rack.engine.Encoder(work) != "" {
		t.Error("an encoder of a node without the label is taken")
	}
	view := r.peer.Stale()
	if !r.offered(view, made{encoder: "libx264", labels: "ssd"}) || r.offered(view, made{encoder: "libx264", labels: "ssd,tape"}) {
		t.Error("what nodes offer doesn't depend on their labels")
	}
}

// TestWhereATaskFailedIsADeviceOrAMachine, by what it failed with.
func TestWhereATaskFailedIsADeviceOrAMachine(t *testing.T) {
	failed := func(node, device string, code job.Code) *job.Attempt {
		return &job.Attempt{Node: node, Device: device, Outcome: job.OutcomeFailed, Failure: &job.Failure{Code: code}}
	}
	task := &job.Task{Kind: job.CleanupTask}
	for _, a := range []*job.Attempt{
		failed("a", "gpu-0", job.EncoderFailed), failed("a", "gpu-0", job.HardwareLost),
		failed("b", "gpu-0", job.HardwareSessions), failed("c", "cpu", job.OutputUnreachable),
		{Node: "d", Device: "cpu", Outcome: job.OutcomeLost},
		failed("e", "gpu-0", job.EncoderStalled), failed("e", "gpu-1", job.HardwareDriver), // two of its devices
	} {
		task.Attempts = append(task.Attempts, *a)
	}
	want := []scheduler.Place{{Node: "a", Device: "gpu-0"}, {Node: "c"}, {Node: "e", Device: "gpu-0"}, {Node: "e"}}
	if got := describeTask(job.Record{Job: &job.Job{}}, task).FailedOn; !slices.Equal(got, want) {
		t.Errorf("it failed on %v, want %v", got, want)
	}
}
