package node

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"millrace/cluster"
	"millrace/hwaccel"
	"millrace/job"
)

const jobID job.ID = "5KQfnXCg8Qh"

// rig is a leader on a real state, with a clock of its own and workers that
// are played by the test.
type rig struct {
	*leader
	t    testing.TB
	peer *cluster.Peer
	time time.Time
}

func newRig(t testing.TB) *rig {
	t.Helper()
	return newRigOf(t, func(*job.Spec) {})
}

// newRigOf is a rig whose job is another.
func newRigOf(t testing.TB, change func(*job.Spec)) *rig {
	t.Helper()
	peer, err := cluster.Open(t.Context(), cluster.Config{
		DataDir: t.TempDir(), RaftAddr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
		HeartbeatTimeout: 20 * time.Millisecond, ElectionTimeout: 20 * time.Millisecond, LeaderLease: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	if err := peer.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, peer: peer, time: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)}
	r.leader = newLeader(peer.Office(), slog.New(slog.DiscardHandler), func() time.Time { return r.time })
	r.begin()
	r.propose(cluster.CreateOrganisation{Organisation: cluster.Organisation{ID: "o", Created: r.time}})
	spec := job.Spec{
		Input: job.Location{URL: "file:///in.mp4"}, Output: job.Location{URL: "file:///out/"},
		Resolutions: []job.Resolution{240}, Codec: job.H264, Outputs: []job.OutputKind{job.HLS}, SegmentDuration: 4 * time.Second,
	}
	change(&spec)
	r.propose(cluster.CreateJob{ID: jobID, Org: "o", At: r.time, Spec: spec})
	return r
}

func (r *rig) propose(command cluster.Command) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		_, err := r.peer.Propose(ctx, command)
		if err == nil {
			return
		}
		// On a busy machine a peer that is ready may be elected anew: nothing was done.
		if !errors.Is(err, cluster.ErrNoLeader) || ctx.Err() != nil {
			r.t.Fatalf("%s: %v", command.Name(), err)
		}
		<-again.C
	}
}

// poll plays one poll of worker a with two CPU threads, and a scheduling step
// before it.
func (r *rig) poll(session string, change func(*Report)) Orders {
	r.t.Helper()
	report := Report{Node: "a", Session: session, Profiles: []hwaccel.Profile{{
		Device:   hwaccel.Device{ID: "cpu", Kind: hwaccel.CPU},
		Encoders: []hwaccel.EncoderProfile{{Encoder: "libx264", Works: true}},
		Room:     hwaccel.Room{Threads: 2, MemoryBytes: 8 << 30},
	}}}
	if change != nil {
		change(&report)
	}
	if _, err := r.note(report); err != nil {
		r.t.Fatal(err)
	}
	r.schedule()
	orders, err := r.Poll(r.t.Context(), report)
	if err != nil {
		r.t.Fatal(err)
	}
	r.schedule()
	return orders
}

func (r *rig) schedule() {
	r.t.Helper()
	if _, err := r.step(r.t.Context(), r.peer.Stale()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) record() job.Record {
	r.t.Helper()
	record, found := r.peer.Stale().Record(jobID)
	if !found {
		r.t.Fatal("the job is gone")
	}
	return record
}

// ends reports that the attempts of the orders have ended, each as result says.
func ends(orders []Order, result func(Order) Ended) func(*Report) {
	return func(report *Report) {
		for _, order := range orders {
			ended := result(order)
			ended.Ref = order.Ref
			report.Ended = append(report.Ended, ended)
		}
	}
}

func runs(orders []Order) func(*Report) {
	return func(report *Report) {
		for _, order := range orders {
			report.Running = append(report.Running, Running{Ref: order.Ref, Frames: 10})
		}
	}
}

// succeed makes up the result of any order.
func succeed(order Order) Ended {
	if order.Task.Kind == job.InspectTask {
		return Ended{Result: &job.Result{Plan: &job.Plan{
			Source:     job.Source{Identity: "v1", Width: 426, Height: 240},
			Timeline:   job.Timeline{Rate: job.Rational{Num: 25, Den: 1}, Frames: 500, SegmentFrames: 100},
			Renditions: []job.Rendition{{Name: "240p", Width: 426, Height: 240, Codec: job.H264, Encoder: "libx264"}},
		}}}
	}
	return Ended{Result: &job.Result{}}
}

func TestAJobGoesThroughItsTasks(t *testing.T) {
	r := newRig(t)
	var kinds []job.TaskKind
	var change func(*Report)
	for range 20 {
		orders := r.poll("s1", change)
		for _, order := range orders.Start {
			kinds = append(kinds, order.Task.Kind)
		}
		change = ends(orders.Start, succeed)
		if r.record().Job.Status.Terminal() {
			break
		}
	}
	if status := r.record().Job.Status; status != job.Completed {
		t.Fatalf("the job is %s after the tasks %v", status, kinds)
	}
	if kinds[0] != job.InspectTask || kinds[len(kinds)-1] != job.PackageTask {
		t.Errorf("the tasks ran in the order %v", kinds)
	}
}

func TestAnAttemptOfARestartedWorkerIsLostAtOnceAndCountsAgainstNobody(t *testing.T) {
	r := newRig(t)
	first := r.poll("s1", nil).Start
	if len(first) != 1 {
		t.Fatalf("%d orders, want the inspect task", len(first))
	}
	second := r.poll("s2", nil).Start
	if len(second) != 1 || second[0].Ref.Attempt != 2 {
		t.Fatalf("the restarted worker is ordered %+v, want attempt 2", second)
	}
	task := r.record().Task(first[0].Ref.Task)
	if task.Attempts[0].Outcome != job.OutcomeLost || task.Failures != 0 {
		t.Errorf("the first attempt is %+v with %d failures, want lost and none", task.Attempts[0], task.Failures)
	}
}

func TestASilentWorkerKeepsItsLeaseAndNoLonger(t *testing.T) {
	r := newRig(t)
	ref := r.poll("s1", nil).Start[0].Ref
	r.time = r.time.Add(LeaseTime)
	r.schedule()
	if task := r.record().Task(ref.Task); task.State != job.TaskRunning {
		t.Fatalf("the task is %s within the lease", task.State)
	}
	r.time = r.time.Add(time.Millisecond)
	r.schedule()
	if task := r.record().Task(ref.Task); task.Attempts[0].Outcome != job.OutcomeLost {
		t.Fatalf("the attempt is %s after the lease", task.Attempts[0].Outcome)
	}
	orders := r.poll("s1", ends([]Order{{Ref: ref}}, func(Order) Ended { return succeed(Order{Task: job.Task{Kind: job.InspectTask}}) }))
	if len(orders.Acknowledged) != 1 {
		t.Errorf("the late report is not acknowledged, so the worker would repeat it for ever")
	}
	if plan := r.record().Job.Plan; plan != nil {
		t.Errorf("the late report was taken: %+v", plan)
	}
}

func TestANewLeaderGivesWorkersAWholeLease(t *testing.T) {
	r := newRig(t)
	ref := r.poll("s1", nil).Start[0].Ref
	r.time = r.time.Add(time.Hour)
	r.begin() // a new term, whose leader has heard of nobody
	r.schedule()
	if task := r.record().Task(ref.Task); task.State != job.TaskRunning {
		t.Fatalf("the task is %s at the start of the term", task.State)
	}
	if orders := r.poll("s1", runs([]Order{{Ref: ref}})); len(orders.Start)+len(orders.Stop) != 0 {
		t.Errorf("a worker that goes on with its attempt is ordered %+v", orders)
	}
}

func TestOrdersAreRepeatedUntilTheWorkerReportsThem(t *testing.T) {
	r := newRig(t)
	first := r.poll("s1", nil).Start
	again := r.poll("s1", nil).Start
	if len(again) != 1 || again[0].Ref != first[0].Ref {
		t.Fatalf("a worker that never got its order is told %+v", again)
	}
	if orders := r.poll("s1", runs(first)); len(orders.Start) != 0 {
		t.Errorf("a worker that runs it is told to start %+v", orders.Start)
	}
}

func TestACancelledJobIsStoppedThenCleanedUp(t *testing.T) {
	r := newRig(t)
	running := r.poll("s1", nil).Start
	r.propose(cluster.CancelJob{Org: "o", ID: jobID, At: r.time})
	orders := r.poll("s1", runs(running))
	if len(orders.Stop) != 1 || len(orders.Start) != 0 {
		t.Fatalf("the worker is ordered %+v, want to stop the attempt and start nothing", orders)
	}
	orders = r.poll("s1", ends(running, func(Order) Ended { return Ended{Stopped: true} }))
	if len(orders.Start) == 0 {
		orders = r.poll("s1", nil)
	}
	if len(orders.Start) != 1 || orders.Start[0].Task.Kind != job.CleanupTask {
		t.Fatalf("the worker is ordered %+v, want to clean up", orders)
	}
	r.poll("s1", ends(orders.Start, succeed))
	for record := range r.peer.Stale().Unsettled() {
		t.Errorf("the job is not settled: %+v", record.Tasks)
	}
}

func TestAnAttemptThatWasCancelledBeforeItWasSentIsDroppedWithoutIt(t *testing.T) {
	r := newRig(t)
	r.poll("s1", func(report *Report) { report.Draining = true }) // the worker is known
	if _, err := r.note(Report{Node: "a", Session: "s1", Profiles: r.workers["a"].report.Profiles}); err != nil {
		t.Fatal(err)
	}
	r.schedule() // starts the inspect task; no poll takes the order
	r.propose(cluster.CancelJob{Org: "o", ID: jobID, At: r.time})
	r.schedule()
	if task := r.record().Task(job.TaskID(job.InspectTask)); task.State != job.TaskDropped {
		t.Errorf("the inspect task is %s, want dropped", task.State)
	}
}

func TestAFailedTaskIsTriedThreeTimesWithPauses(t *testing.T) {
	r := newRig(t)
	fail := func(Order) Ended {
		return Ended{Failure: job.Fail(job.EncoderFailed, "ffmpeg was killed"), LastWords: "Killed"}
	}
	for try := 1; try <= job.MaxFailures; try++ {
		orders := r.poll("s1", nil)
		if len(orders.Start) != 1 || orders.Start[0].Ref.Attempt != try {
			t.Fatalf("try %d: orders %+v", try, orders.Start)
		}
		r.poll("s1", ends(orders.Start, fail))
		if early := r.poll("s1", nil); len(early.Start) != 0 {
			t.Fatalf("try %d is followed by another at once", try)
		}
		r.time = r.time.Add(storePause)
	}
	failed := r.record().Job
	if failed.Status != job.Error || failed.Failure.Code != job.EncoderFailed {
		t.Errorf("the job is %s with %v", failed.Status, failed.Failure)
	}
}

func TestAPollOfAPeerThatDoesNotLeadIsRefused(t *testing.T) {
	r := newRig(t)
	r.end()
	if _, err := r.Poll(t.Context(), Report{Node: "a"}); !errors.Is(err, cluster.ErrNotLeader) {
		t.Errorf("the answer is %v", err)
	}
	r.begin()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Poll(ctx, Report{Node: "a", Wait: time.Hour}); !errors.Is(err, context.Canceled) {
		t.Errorf("a poll whose client has gone ends with %v", err)
	}
}

func TestProgressNeverGoesBack(t *testing.T) {
	r := newRig(t)
	inspect := r.poll("s1", nil).Start
	encodes := r.poll("s1", ends(inspect, succeed)).Start
	if len(encodes) == 0 {
		encodes = r.poll("s1", nil).Start
	}
	show := func(frames int64) float64 {
		r.poll("s1", func(report *Report) {
			for _, order := range encodes {
				report.Running = append(report.Running, Running{Ref: order.Ref, Frames: frames})
			}
		})
		progress, running := r.Progress(jobID)
		if !running {
			t.Fatal("no progress is known")
		}
		return progress.Percent
	}
	before := show(90)
	if after := show(10); before <= inspectedPercent || after < before {
		t.Errorf("progress went from %.1f to %.1f", before, after)
	}
}
