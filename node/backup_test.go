package node

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace/cluster"
	"millrace/job"
)

// from makes a poll one of another node, with one thread.
func from(node string) func(*Report) {
	return func(report *Report) {
		report.Node = node
		report.Profiles[0].Room.Threads = 1
	}
}

// lastChunk brings a job to where its only chunk that isn't finished runs on node a.
func lastChunk(t *testing.T) (*rig, Order) {
	t.Helper()
	r := newRig(t)
	a := from("a")
	orders := r.poll("s1", a).Start
	orders = r.poll("s1", both(a, ends(orders, succeed))).Start
	for range 20 {
		if len(orders) == 0 {
			orders = r.poll("s1", a).Start
		}
		if left := unfinished(r); left == 1 && orders[0].Task.Kind == job.EncodeTask {
			break
		}
		orders = r.poll("s1", both(a, ends(orders, succeed))).Start
	}
	if len(orders) != 1 || unfinished(r) != 1 {
		t.Fatalf("the last orders are %+v, and %d chunks are left", orders, unfinished(r))
	}
	return r, orders[0]
}

// stalled lets that chunk stand still, until node b is ordered to do it too.
func stalled(t *testing.T) (r *rig, slow, backup Order) {
	t.Helper()
	r, slow = lastChunk(t)
	for range 8 {
		r.poll("s1", both(from("a"), runs([]Order{slow})))
		if started := r.poll("s1", from("b")).Start; len(started) > 0 {
			return r, slow, started[0]
		}
		r.time = r.time.Add(5 * time.Second)
	}
	t.Fatal("the idle node gets nothing")
	return nil, slow, backup
}

func unfinished(r *rig) int {
	left := 0
	for _, task := range r.record().Tasks {
		if task.Kind == job.EncodeTask && task.State != job.TaskFinished {
			left++
		}
	}
	return left
}

func (r *rig) encodes(id job.TaskID) (states []job.Outcome) {
	for _, attempt := range r.record().Task(id).Attempts {
		states = append(states, attempt.Outcome)
	}
	return states
}

func TestASlowAttemptsBackupMayWriteOnceTheOtherHasStopped(t *testing.T) {
	r, slow, backup := stalled(t)
	a, b := from("a"), from("b")
	if backup.Ref.Task != slow.Ref.Task || backup.BackupOf != slow.Ref.Attempt || backup.Ref.Attempt != slow.Ref.Attempt+1 {
		t.Fatalf("the backup of %s is %s, of attempt %d", slow.Ref, backup.Ref, backup.BackupOf)
	}
	told, err := r.explain(jobID)
	if err != nil || !slices.ContainsFunc(told, func(p job.Placement) bool {
		return p.Node == "b" && strings.Contains(p.Reason, "it is a backup of attempt 1 on a, which is slow")
	}) {
		t.Errorf("it is explained by %+v (%v)", told, err)
	}
	r.poll("s1", both(b, runs([]Order{backup})))

	claim := Claim{Node: "b", Session: "s1", Ref: backup.Ref, Alone: true}
	if held, err := r.Confirm(t.Context(), claim); held || err == nil || !strings.Contains(err.Error(), "just being stopped") {
		t.Fatalf("while the slow one runs, the backup is told %v, %v", held, err)
	}
	if got := r.encodes(slow.Ref.Task); !slices.Equal(got, []job.Outcome{job.OutcomeStopped, job.OutcomeRunning}) {
		t.Errorf("the attempts are %v", got)
	}
	orders := r.poll("s1", both(a, runs([]Order{slow})))
	if !slices.Equal(orders.Stop, []job.Ref{slow.Ref}) {
		t.Fatalf("the slow one's node is ordered %+v", orders)
	}
	if held, err := r.Confirm(t.Context(), claim); held || err == nil || !strings.Contains(err.Error(), "still being stopped on a") {
		t.Fatalf("before it has stopped, the backup is told %v, %v", held, err)
	}
	// It finished all the same, late.
	if orders = r.poll("s1", both(a, ends([]Order{slow}, succeed))); len(orders.Acknowledged) != 1 {
		t.Errorf("the late report is answered with %+v", orders)
	}
	if held, err := r.Confirm(t.Context(), claim); !held || err != nil {
		t.Fatalf("once it has stopped, the backup is told %v, %v", held, err)
	}
	r.poll("s1", both(b, ends([]Order{backup}, succeed)))
	if got := r.encodes(slow.Ref.Task); !slices.Equal(got, []job.Outcome{job.OutcomeStopped, job.OutcomeFinished}) {
		t.Errorf("the attempts are %v", got)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(backupCounters{r.leader})
	families, err := registry.Gather()
	if err != nil || len(families) != 2 {
		t.Fatalf("a scrape finds %v (%v)", families, err)
	}
	for _, family := range families {
		if got := family.GetMetric()[0].GetCounter().GetValue(); got != 1 {
			t.Errorf("%s is %v, want 1", family.GetName(), got)
		}
	}
}

func TestAnAttemptThatDoesNotStopHoldsUpItsBackupForAWhileOnly(t *testing.T) {
	r, slow, backup := stalled(t)
	claim := Claim{Node: "b", Session: "s1", Ref: backup.Ref, Alone: true}
	for range 10 {
		r.poll("s1", both(from("a"), runs([]Order{slow})))
		r.poll("s1", both(from("b"), runs([]Order{backup})))
		if held, _ := r.Confirm(t.Context(), claim); held {
			break
		}
		r.time = r.time.Add(LeaseTime / 2)
	}
	ended := r.record().Task(slow.Ref.Task).Attempts[0].Ended
	if waited := r.time.Sub(ended); waited < stopGrace || waited > stopGrace+LeaseTime {
		t.Errorf("it waits for %s", waited)
	}
}

func TestABackupIsStoppedWhenTheSlowAttemptIsFirst(t *testing.T) {
	r, slow, backup := stalled(t)
	r.poll("s1", both(from("b"), runs([]Order{backup})))
	r.poll("s1", both(from("a"), ends([]Order{slow}, succeed)))
	if orders := r.poll("s1", both(from("b"), runs([]Order{backup}))); !slices.Equal(orders.Stop, []job.Ref{backup.Ref}) {
		t.Errorf("the backup's node is ordered %+v", orders)
	}
	if held, err := r.Confirm(t.Context(), Claim{Node: "b", Session: "s1", Ref: backup.Ref, Alone: true}); held || err != nil {
		t.Errorf("the backup is told %v, %v, want that it doesn't hold the task", held, err)
	}
	if r.backups.won != 0 {
		t.Errorf("%d backups won", r.backups.won)
	}
	// Its room is free again once that is known.
	r.poll("s1", from("b"))
	if running := r.rack.engine.Running(); running > 1 { // the package task
		t.Errorf("%d attempts take up room", running)
	}
}

func TestABackupOutlivesTheSlowAttemptsNode(t *testing.T) {
	r, slow, backup := stalled(t)
	for range 3 {
		r.poll("s1", both(from("b"), runs([]Order{backup})))
		r.time = r.time.Add(LeaseTime / 2)
	}
	r.poll("s1", both(from("b"), runs([]Order{backup})))
	if got := r.encodes(slow.Ref.Task); !slices.Equal(got, []job.Outcome{job.OutcomeLost, job.OutcomeRunning}) {
		t.Fatalf("the attempts are %v", got)
	}
	if held, err := r.Confirm(t.Context(), Claim{Node: "b", Session: "s1", Ref: backup.Ref, Alone: true}); !held || err != nil {
		t.Errorf("the backup is told %v, %v", held, err)
	}
	r.poll("s1", both(from("b"), ends([]Order{backup}, succeed)))
	if task := r.record().Task(slow.Ref.Task); task.State != job.TaskFinished || task.Failures != 0 {
		t.Errorf("the task is %s with %d failures", task.State, task.Failures)
	}
}

func TestTheSlowAttemptOutlivesItsBackupAndGetsNoOther(t *testing.T) {
	for name, end := range map[string]Ended{
		"which failed":   {Failure: job.Fail(job.EncoderFailed, "killed")},
		"which was lost": {Stopped: true},
	} {
		r, slow, backup := stalled(t)
		r.poll("s1", both(from("b"), ends([]Order{backup}, func(Order) Ended { return end })))
		for range 5 {
			r.time = r.time.Add(5 * time.Second)
			r.poll("s1", both(from("a"), runs([]Order{slow})))
			if again := r.poll("s1", from("b")).Start; len(again) > 0 {
				t.Fatalf("after its backup, %s, the slow one gets %s", name, again[0].Ref)
			}
		}
		r.poll("s1", both(from("a"), ends([]Order{slow}, succeed)))
		if task := r.record().Task(slow.Ref.Task); task.State != job.TaskFinished {
			t.Errorf("the task is %s", task.State)
		}
	}
}

func TestACancelledJobStopsBothAttemptsBeforeItsCleanup(t *testing.T) {
	r, slow, backup := stalled(t)
	a, b := from("a"), from("b")
	r.poll("s1", both(b, runs([]Order{backup})))
	r.propose(cluster.CancelJob{Org: "o", ID: jobID, At: r.time})
	for _, of := range []struct {
		node  func(*Report)
		order Order
	}{{a, slow}, {b, backup}} {
		orders := r.poll("s1", both(of.node, runs([]Order{of.order})))
		if !slices.Equal(orders.Stop, []job.Ref{of.order.Ref}) || len(orders.Start) > 0 {
			t.Errorf("%s: the node is ordered %+v", of.order.Ref, orders)
		}
	}
	stopped := func(Order) Ended { return Ended{Stopped: true} }
	if orders := r.poll("s1", both(a, ends([]Order{slow}, stopped))); len(orders.Start) > 0 {
		t.Errorf("while the backup runs, %s starts", orders.Start[0].Ref)
	}
	orders := r.poll("s1", both(b, ends([]Order{backup}, stopped)))
	if len(orders.Start) == 0 {
		orders = r.poll("s1", b)
	}
	if len(orders.Start) == 0 {
		orders = r.poll("s1", a)
	}
	if len(orders.Start) != 1 || orders.Start[0].Task.Kind != job.CleanupTask {
		t.Errorf("then a node is ordered %+v", orders)
	}
}

func TestANewLeaderKnowsBothAttempts(t *testing.T) {
	r, slow, backup := stalled(t)
	a, b := both(from("a"), runs([]Order{slow})), both(from("b"), runs([]Order{backup}))
	r.poll("s1", b)
	r.begin()
	r.schedule()
	for _, poll := range []func(*Report){a, b, a, b} {
		if orders := r.poll("s1", poll); len(orders.Start)+len(orders.Stop) > 0 {
			t.Errorf("a node that goes on is ordered %+v", orders)
		}
	}
	if running := r.rack.engine.Running(); running != 2 {
		t.Errorf("%d attempts take up room, want both", running)
	}
	// What is fenced may still write while its worker hasn't reported to this leader.
	claim := Claim{Node: "b", Session: "s1", Ref: backup.Ref, Alone: true}
	if held, err := r.Confirm(t.Context(), claim); held || err == nil {
		t.Errorf("at first the backup is told %v, %v", held, err)
	}
	r.begin()
	if held, err := r.Confirm(t.Context(), claim); held || err == nil {
		t.Errorf("before the slow one's worker has reported the backup is told %v, %v", held, err)
	}
	r.time = r.time.Add(LeaseTime + time.Second)
	if held, err := r.Confirm(t.Context(), claim); !held || err != nil {
		t.Errorf("when its lease is over the backup is told %v, %v", held, err)
	}
}

// upgrading is a cluster with a peer that knows no backups, and no plans of several
// encoders.
type upgrading struct{ state }

func (u upgrading) Understands(command cluster.Command) bool {
	plan, is := command.(cluster.PlanJob)
	return !is || !plan.Plan.InParts()
}

func (u upgrading) Propose(ctx context.Context, command cluster.Command) (any, error) {
	starts, _ := command.(cluster.StartAttempts)
	if slices.ContainsFunc(starts.Assignments, func(a cluster.JobAssignment) bool { return a.BackupOf != 0 }) {
		return nil, cluster.ErrUpgrading
	}
	return u.state.Propose(ctx, command)
}

func TestAPeerThatKnowsNoBackupsHoldsUpNothingElse(t *testing.T) {
	r, slow := lastChunk(t)
	r.leader.state = upgrading{r.leader.state}
	for range 8 {
		r.poll("s1", both(from("a"), runs([]Order{slow})))
		if started := r.poll("s1", from("b")).Start; len(started) > 0 {
			t.Fatalf("%s is started", started[0].Ref)
		}
		r.time = r.time.Add(5 * time.Second)
	}
	if running := r.rack.engine.Running(); running != 1 {
		t.Errorf("%d attempts take up room", running)
	}
	r.poll("s1", both(from("a"), ends([]Order{slow}, succeed)))
	if task := r.record().Task(slow.Ref.Task); task.State != job.TaskFinished {
		t.Errorf("the task is %s", task.State)
	}
}
