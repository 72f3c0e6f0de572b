package node

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"millrace/api"
	"millrace/cluster"
	"millrace/job"
)

// requires makes a job one that requires these.
func requires(labels ...string) func(*job.Spec) {
	return func(spec *job.Spec) { spec.Requires = labels }
}

// named makes a poll one of another node, with labels and taints.
func named(node, labels, taints string) func(*Report) {
	return func(report *Report) {
		report.Node, report.Labels, report.Taints = node, strings.Fields(labels), strings.Fields(taints)
	}
}

// reason is what is told of the only task that waits or runs.
func (r *rig) reason() string {
	r.t.Helper()
	told, err := r.explain(jobID)
	if err != nil || len(told) != 1 {
		r.t.Fatalf("explained by %+v, %v", told, err)
	}
	return told[0].Reason
}

func TestAJobWaitsForANodeWithWhatItRequiresAndSaysSo(t *testing.T) {
	r := newRigOf(t, requires("site=paris"))
	var log bytes.Buffer
	r.log = slog.New(slog.NewTextHandler(&log, nil))
	for range 3 {
		if orders := r.poll("s1", named("a", "ssd", "")); len(orders.Start) != 0 {
			t.Fatalf("a node without the label is ordered %+v", orders.Start)
		}
		r.time = r.time.Add(LeaseTime)
	}
	if why := r.reason(); !strings.Contains(why, "no node has the label site=paris") {
		t.Errorf("explained by %q", why)
	}
	if log.Len() > 0 {
		t.Errorf("logged before nodes had a while to report: %s", &log)
	}
	for range 3 {
		r.time = r.time.Add(LeaseTime)
		r.poll("s1", named("a", "ssd", ""))
	}
	if lines := strings.Count(log.String(), "a job waits for a node with what it requires"); lines != 1 || !strings.Contains(log.String(), "no node has the label site=paris") {
		t.Errorf("logged %d times:\n%s", lines, &log)
	}
	if status := r.record().Job.Status; status != job.Queued {
		t.Errorf("the job is %s", status)
	}
	if orders := r.poll("s1", named("b", "site=paris", "")); len(orders.Start) != 1 || orders.Start[0].Task.Kind != job.InspectTask {
		t.Errorf("a node that came with the label is ordered %+v", orders.Start)
	}
}

func TestEveryTaskOfAJobStaysWhereItsLabelsAre(t *testing.T) {
	r := newRigOf(t, requires("site=paris"))
	here, there := named("a", "site=paris", ""), named("b", "site=rome", "")
	change := here
	for range 20 {
		if orders := r.poll("s1", there); len(orders.Start) != 0 {
			t.Fatalf("the other node is ordered %+v", orders.Start)
		}
		change = both(here, ends(r.poll("s1", change).Start, succeed))
		if r.record().Job.Status.Terminal() {
			break
		}
	}
	if status := r.record().Job.Status; status != job.Completed {
		t.Errorf("the job is %s: %+v", status, r.record().Tasks)
	}
}

func TestANodeThatIsKeptForSomeJobsTakesNoOthers(t *testing.T) {
	r := newRig(t)
	if orders := r.poll("s1", named("a", "", "film")); len(orders.Start) != 0 {
		t.Errorf("it is ordered %+v", orders.Start)
	}
	if why := r.reason(); !strings.Contains(why, "every node is tainted (a with film)") {
		t.Errorf("explained by %q", why)
	}
	r = newRigOf(t, requires("film"))
	if orders := r.poll("s1", named("a", "", "film")); len(orders.Start) != 1 {
		t.Errorf("for a job that requires it, it is ordered %+v", orders.Start)
	}
}

func TestAJobThatRequiresAKindOfEncoderIsMadeByNoOther(t *testing.T) {
	for kind, encoder := range map[string]string{"nvenc": "h264_nvenc", "cpu": "libx264"} {
		r := newRigOf(t, requires(kind))
		r.poll("s1", func(report *Report) { report.Draining = true }) // known, without the GPU
		inspect := r.poll("s1", withGPU("")).Start
		if len(inspect) != 1 || inspect[0].Encoder != encoder {
			t.Fatalf("%s: the inspection is ordered as %+v", kind, inspect)
		}
	}
	r := newRigOf(t, requires("nvenc"))
	planned := func(order Order) Ended {
		ended := succeed(order)
		if ended.Result.Plan != nil {
			ended.Result.Plan.Renditions[0].Encoder = "h264_nvenc"
		}
		return ended
	}
	r.poll("s1", both(withGPU(""), ends(r.poll("s1", withGPU("")).Start, planned)))
	broken := withGPU("the driver is gone")
	running := r.poll("s1", withGPU("")).Start
	r.poll("s1", both(broken, ends(running, func(Order) Ended { return Ended{Stopped: true} })))
	for range 10 {
		r.time = r.time.Add(encoderGrace / 5)
		r.poll("s1", broken)
	}
	if encoder := r.record().Job.Plan.Renditions[0].Encoder; encoder != "h264_nvenc" {
		t.Errorf("when the GPU was gone the job went on with %s", encoder)
	}
	told, _ := r.explain(jobID)
	found := false
	for _, placement := range told {
		found = found || strings.Contains(placement.Reason, "encoder h264_nvenc")
	}
	if !found {
		t.Errorf("explained by %+v", told)
	}
}

func TestAJobFallsBackOnlyToNodesThatItMayUse(t *testing.T) {
	for name, other := range map[string]func(*Report){"without the label": named("b", "", ""), "with a taint": named("b", "gpu", "film")} {
		t.Run(name, func(t *testing.T) { fallsBackTo(t, other) })
	}
}

// fallsBackTo has a job's GPU go, and sees that another node isn't used in its place.
func fallsBackTo(t *testing.T, other func(*Report)) {
	t.Helper()
	r := newRigOf(t, requires("gpu"))
	gpu := both(withGPU(""), named("a", "gpu", ""), func(report *Report) { report.Profiles[0].Encoders[0].Works = false })
	r.poll("s1", other)
	r.poll("s1", both(gpu, ends(r.poll("s1", gpu).Start, planned)))
	gone := func(report *Report) { gpu(report); report.Profiles = report.Profiles[:1] }
	r.poll("s1", both(gone, ends(r.poll("s1", gpu).Start, func(Order) Ended { return Ended{Stopped: true} })))
	for range 10 {
		r.time = r.time.Add(encoderGrace / 5)
		r.poll("s1", gone)
		if orders := encodes(r.poll("s1", other)); len(orders) != 0 {
			t.Fatalf("the other node is ordered %+v", orders)
		}
	}
	if encoder := r.record().Job.Plan.Renditions[0].Encoder; encoder != "h264_nvenc" {
		t.Errorf("the job changed to %s, which only another node has", encoder)
	}
}

func TestACancelledJobIsCleanedUpThoughItsNodeIsGoneForGood(t *testing.T) {
	r := newRigOf(t, requires("gone"))
	running := r.poll("s1", named("b", "gone", "")).Start
	if len(running) != 1 {
		t.Fatalf("%d orders, want the inspect task", len(running))
	}
	r.propose(cluster.CancelJob{Org: "o", ID: jobID, At: r.time})
	r.schedule()
	if err := r.expel("b"); err != nil {
		t.Fatal(err)
	}
	r.schedule()
	other := named("a", "", "")
	if orders := r.poll("s1", other); len(orders.Start) != 0 {
		t.Fatalf("another node is ordered %+v, though the node may come back", orders.Start)
	}
	var started []Order
	for range 4 {
		r.time = r.time.Add(LeaseTime)
		if started = r.poll("s1", other).Start; len(started) > 0 {
			break
		}
	}
	if len(started) != 1 || started[0].Task.Kind != job.CleanupTask {
		t.Fatalf("another node is ordered %+v, want to clean up", started)
	}
	r.poll("s1", both(other, ends(started, succeed)))
	for range r.peer.Stale().Unsettled() {
		t.Error("the job isn't settled")
	}
}

func TestAJobThatPrefersEnergyIsMadeByTheEncoderThatTakesLeast(t *testing.T) {
	r := newRigOf(t, func(spec *job.Spec) { spec.Prefer = job.PreferEnergy })
	joules := func(report *Report) {
		withGPU("")(report)
		for i, least := range []float64{0.2, 0.8} {
			encoder := &report.Profiles[i].Encoders[0]
			encoder.FramesPerSecond = map[string]float64{"1080p": 50}
			encoder.JoulesPerFrame = map[string]float64{"1080p": least}
		}
	}
	orders := r.poll("s1", joules).Start
	if len(orders) != 1 || orders[0].Encoder != "libx264" {
		t.Fatalf("the inspection is ordered as %+v, want with the encoder that takes least energy", orders)
	}
	r.poll("s1", both(joules, ends(orders, succeed)))
	told, err := r.explain(jobID)
	if err != nil || len(told) == 0 || !strings.Contains(told[0].Reason, "it takes least energy on") {
		t.Errorf("explained by %+v, %v", told, err)
	}
}

func TestWhatAJobWaitsForIsInItsView(t *testing.T) {
	r := newRigOf(t, requires("gold"))
	r.poll("s1", nil)
	progress, known := r.Progress(jobID)
	if !known || !strings.Contains(progress.WaitsFor, "no node has the label gold") {
		t.Fatalf("the leader knows %+v, %v", progress, known)
	}
	if view := job.NewView(r.record().Job, progress); view.WaitsFor != progress.WaitsFor {
		t.Errorf("the view has %q", view.WaitsFor)
	}
	waiting, err := r.progresses(api.ProgressMark{})
	if err != nil {
		t.Fatal(err)
	}
	r.poll("s1", named("b", "gold", ""))
	if progress, _ := r.Progress(jobID); progress.WaitsFor != "" {
		t.Errorf("when a node with the label has come it waits for %q", progress.WaitsFor)
	}
	r.time = r.time.Add(unmetEvery)
	r.schedule()
	going, err := r.progresses(waiting.Mark)
	if err != nil {
		t.Fatal(err)
	}
	told := waiting
	board := r.follower(func() (Moved, error) { return told, nil })
	board.Refresh(t.Context())
	if told, _ := board.Progress(jobID); told.WaitsFor != progress.WaitsFor {
		t.Errorf("a follower knows %+v", told)
	}
	told, r.time = going, r.time.Add(boardFresh)
	board.Refresh(t.Context())
	if told, _ := board.Progress(jobID); told.WaitsFor != "" || going.All {
		t.Errorf("when it waits no more a follower knows %+v", told)
	}
}

func TestAJobWhoseNodesGoLaterSaysThatItWaits(t *testing.T) {
	r := newRigOf(t, requires("gold"))
	gold, other := named("b", "gold", ""), named("a", "", "")
	change := gold
	for range 3 { // inspected, and its chunks begun
		change = both(gold, ends(r.poll("s1", change).Start, succeed))
	}
	if err := r.expel("b"); err != nil {
		t.Fatal(err)
	}
	r.time = r.time.Add(unmetEvery)
	r.poll("s1", other)
	if status := r.record().Job.Status; status != job.Transcoding {
		t.Fatalf("the job is %s", status)
	}
	if progress, _ := r.Progress(jobID); !strings.Contains(progress.WaitsFor, "take nothing now: b/cpu: the node was removed") {
		t.Errorf("it waits for %q", progress.WaitsFor)
	}
}
