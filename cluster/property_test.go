package cluster

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"millrace/job"
)

// The legal changes, written down a second time: a slip in the job room's
// tables should not pass by being consistent with itself.
var (
	legalStatus = map[job.Status][]job.Status{
		"":              {job.Queued},
		job.Queued:      {job.Transcoding, job.Cancelled},
		job.Transcoding: {job.Completed, job.Error, job.Cancelled},
		job.Error:       {job.Queued},
		job.Cancelled:   {job.Queued},
	}
	legalTask = map[job.TaskState][]job.TaskState{
		job.TaskWaiting:  {job.TaskRunning, job.TaskDropped},
		job.TaskRunning:  {job.TaskFinished, job.TaskWaiting, job.TaskFailed, job.TaskStopping},
		job.TaskStopping: {job.TaskDropped},
		job.TaskFinished: {job.TaskWaiting, job.TaskDropped},
		job.TaskFailed:   {job.TaskWaiting},
		job.TaskDropped:  {job.TaskWaiting},
	}
)

// world draws commands that mostly make sense: of the jobs and tasks that there are.
type world struct {
	t     *rapid.T
	b     *bench
	clock time.Time
	log   []*raft.Log
}

var (
	orgs  = []string{"one", "two"}
	hooks = []string{"h1", "h2"}
	nodes = []string{"n1", "n2", "no node"}
	ids   = []job.ID{"AAAAAAAAAAA", "BBBBBBBBBBB", "CCCCCCCCCCC", "DDDDDDDDDDD"}
)

func draw[V any](w *world, label string, values []V) V {
	return rapid.SampledFrom(values).Draw(w.t, label)
}

func (w *world) job() job.ID { return draw(w, "job", ids) }

// ref names an attempt: mostly a task's latest, sometimes an older or unknown one.
func (w *world) ref(kinds ...job.TaskKind) job.Ref {
	var held, others []job.Ref
	for _, id := range ids {
		record, ok := w.b.view().Record(id)
		if !ok {
			continue
		}
		for _, task := range record.Tasks {
			ref := job.Ref{Job: id, Task: task.ID, Attempt: task.NextAttempt() - 1}
			for attempt := range task.Holders() {
				if len(kinds) == 0 || slices.Contains(kinds, task.Kind) {
					held = append(held, job.Ref{Job: id, Task: task.ID, Attempt: attempt.Number})
				}
			}
			others = append(others, ref, job.Ref{Job: id, Task: task.ID, Attempt: ref.Attempt - 1})
		}
	}
	if len(held) > 0 && rapid.IntRange(0, 4).Draw(w.t, "sane") > 0 {
		return draw(w, "held", held)
	}
	return draw(w, "any", append(others, job.Ref{Job: w.job(), Task: "encode-00000", Attempt: 1}))
}

func (w *world) assignments() []JobAssignment {
	var all []JobAssignment
	for record := range w.b.view().Unsettled() {
		for _, task := range record.Tasks {
			if record.Ready(task) || rapid.IntRange(0, 9).Draw(w.t, "insane") == 0 {
				a := assignment(record.Job.ID, task.ID, task.NextAttempt())
				a.Attempt -= rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(w.t, "old")
				all = append(all, a)
			}
			if task.Held() && rapid.IntRange(0, 2).Draw(w.t, "slow") == 0 {
				a := assignment(record.Job.ID, task.ID, task.NextAttempt())
				a.BackupOf, a.Node = rapid.IntRange(1, task.NextAttempt()).Draw(w.t, "slow attempt"), draw(w, "node", []string{"n2", "n3"})
				all = append(all, a)
			}
		}
	}
	return all
}

func (w *world) plan() job.Plan {
	return draw(w, "plan", []job.Plan{planOf(400, 100, 2, 2), planOf(400, 100, 4), planOf(250, 100, 1, 1, 1), {}})
}

func (w *world) command() Command {
	w.clock = w.clock.Add(time.Duration(rapid.IntRange(-30, 90).Draw(w.t, "seconds")) * time.Second)
	at := w.clock
	switch draw(w, "command", []string{
		"create", "create", "start", "start", "start", "start", "plan", "plan", "finish", "finish", "finish", "finish", "finish",
		"fail", "lose", "encoder", "cancel", "retry", "retry", "put", "delete", "deliver", "redeliver", "prune", "drain", "forget", "limits", "expel", "readmit",
	}) {
	case "create":
		c := createJob(draw(w, "org", orgs), w.job())
		c.At, c.Spec.Output.URL = at, "s3://bucket/"+draw(w, "output", []string{"a", "b", "c"})
		c.IdempotencyKey, c.RequestHash = draw(w, "key", []string{"", "", "k1", "k2"}), draw(w, "hash", []string{"x", "y"})
		return c
	case "start":
		return StartAttempts{Assignments: w.assignments(), At: at}
	case "plan":
		ref, plan := w.ref(job.InspectTask), w.plan()
		return PlanJob{Ref: ref, Plan: plan, Tasks: job.PlanTasks(ref.Job, createJob("one", ref.Job).Spec, plan), At: at}
	case "finish":
		return FinishTask{Ref: w.ref(job.EncodeTask, job.PackageTask, job.CleanupTask), At: at,
			Result: job.Result{Tracks: []job.Track{{Name: "720p"}}, Published: []job.Published{{Kind: job.HLS}}}}
	case "fail":
		return FailTask{Ref: w.ref(), Failure: *job.Fail(draw(w, "code", []job.Code{job.MediaCorrupt, job.EncoderFailed, job.EncoderFailed}), "it broke"),
			Redo: []job.TaskID{"encode-00000", "inspect"}, At: at}
	case "lose":
		return LoseAttempts{Refs: []job.Ref{w.ref(), w.ref()}, Outcome: draw(w, "outcome", []job.Outcome{job.OutcomeLost, job.OutcomeStopped, "odd"}), At: at}
	case "encoder":
		return ChangeEncoder{Job: w.job(), At: at, Change: job.EncoderChange{From: draw(w, "from", []string{"", "libx264"}), To: draw(w, "to", []string{"libx264", "libx265"}), Reason: "it broke"}}
	case "cancel":
		return CancelJob{Org: draw(w, "org", orgs), ID: w.job(), At: at}
	case "retry":
		return RetryJob{Org: draw(w, "org", orgs), ID: w.job(), At: at}
	case "put":
		return PutWebhook{Webhook{ID: draw(w, "hook", hooks), Org: draw(w, "org", orgs), Created: at}}
	case "delete":
		return DeleteWebhook{Org: draw(w, "org", orgs), ID: draw(w, "hook", hooks)}
	case "deliver":
		return RecordDelivery{Event: rapid.Uint64Range(1, 20).Draw(w.t, "event"), Delivery: Delivery{At: at},
			Done: rapid.Bool().Draw(w.t, "done"), PauseWebhook: draw(w, "pause", []string{"", "", "it answers 410"})}
	case "redeliver":
		return Redeliver{Org: draw(w, "org", orgs), Webhook: draw(w, "hook", hooks), Event: rapid.Uint64Range(1, 20).Draw(w.t, "event")}
	case "drain":
		return SetDrain{Node: draw(w, "node", nodes), Draining: rapid.Bool().Draw(w.t, "draining"), At: at}
	case "forget":
		return ForgetNode{Node: draw(w, "node", nodes), At: at}
	case "limits":
		return SetLimits{Org: draw(w, "org", orgs), At: at, Limits: Limits{MaxQueued: draw(w, "queued", []int{0, 1, 2}), MinutesPerDay: draw(w, "minutes", []int{0, 1, -1})}}
	case "expel":
		return expelPeer{Peer: draw(w, "peer", nodes), At: at}
	case "readmit":
		return readmitPeer{Peer: draw(w, "peer", nodes), At: at}
	default:
		return Prune{JobsBefore: at.Add(-5 * time.Minute), KeepJobs: draw(w, "keep", []int{0, 1, 3}),
			IdempotencyBefore: at.Add(-5 * time.Minute), DeliveriesBefore: at.Add(-5 * time.Minute)}
	}
}

func TestRandomCommandsNeverReachAnIllegalState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, b: newBench(t), clock: noon.Add(11 * time.Hour)} // some worlds live to see midnight
		for _, org := range orgs {
			_ = w.apply(createOrg(org))
		}
		views := []*view{w.b.view()}
		for range rapid.IntRange(1, 120).Draw(t, "commands") {
			command := w.command()
			before := w.b.view()
			rows := w.b.bytes()
			err := w.apply(command)
			if halt := w.b.m.haltError(); halt != nil {
				t.Fatal(halt)
			}
			if err != nil && !sameRows(rows, w.b.bytes()) {
				t.Fatalf("%s was refused (%v) and changed the state", command.Name(), err)
			}
			checkState(t, w.b.view())
			checkChange(t, command, before, w.b.view())
			views = append(views, w.b.view())
			checkChangedJobs(t, rapid.SampledFrom(views).Draw(t, "earlier"), w.b.view())
		}
		checkReplay(t, w)
	})
}

func (w *world) apply(command Command) error {
	entry, err := encodeCommand(command)
	if err != nil {
		w.t.Fatal(err)
	}
	w.b.index++
	entry.Index, entry.Type = w.b.index, raft.LogCommand
	w.log = append(w.log, &entry)
	return w.b.m.Apply(&entry).(answer).err
}

// checkChangedJobs checks what a view tells of the changes since an earlier one.
func checkChangedJobs(t *rapid.T, earlier, now *view) {
	changed, gone, known := now.ChangedJobs(earlier.index)
	if !known {
		t.Fatalf("what changed after %d isn't known at %d", earlier.index, now.index)
	}
	told := make(map[job.ID]bool)
	for _, j := range changed {
		if record, is := now.Record(j.ID); !is || record.Job != j || told[j.ID] {
			t.Fatalf("%s is told of as another than it is, or twice", j.ID)
		}
		told[j.ID] = true
	}
	for _, id := range gone {
		if _, is := now.Record(id); is || told[id] {
			t.Fatalf("%s isn't gone, or told of twice", id)
		}
		told[id] = true
	}
	for _, id := range ids {
		before, was := earlier.Record(id)
		after, is := now.Record(id)
		if (was != is || was && before.Job != after.Job) && !told[id] {
			t.Fatalf("%s changed between %d and %d, and isn't told of", id, earlier.index, now.index)
		}
	}
}

// checkState checks what must hold at every moment.
func checkState(t *rapid.T, v *view) {
	outputs, counts := map[string]job.ID{}, map[job.Status]int{}
	tallies := map[string]Tally{}
	for _, id := range ids {
		record, ok := v.Record(id)
		if !ok {
			continue
		}
		counts[record.Job.Status]++
		tally := tallies[record.Job.Org]
		switch record.Job.Status {
		case job.Queued:
			tally.Queued++
		case job.Transcoding:
			tally.Running++
		}
		tallies[record.Job.Org] = tally
		for _, task := range record.Tasks {
			checkTask(t, record, task)
		}
		packaged := record.Task("package") != nil && record.Task("package").State == job.TaskFinished
		if packaged != (record.Job.Status == job.Completed) {
			t.Fatalf("job %s is %s, packaged: %v", id, record.Job.Status, packaged)
		}
		if record.Job.Status.Terminal() != !record.Job.Ended.IsZero() || record.Job.Started.After(record.Job.Ended) && !record.Job.Ended.IsZero() {
			t.Fatalf("job %s is %s, started %s, ended %s", id, record.Job.Status, record.Job.Started, record.Job.Ended)
		}
		if !slices.IsSortedFunc(record.Tasks, func(a, b *job.Task) int { return compareTask(a, b.ID) }) {
			t.Fatalf("the tasks of job %s are in no order", id)
		}
		if !record.Job.Status.Terminal() {
			key := outputKey(record.Job.Spec.Output)
			if other, taken := outputs[key]; taken {
				t.Fatalf("jobs %s and %s both write to %s", id, other, key)
			}
			outputs[key] = id
		}
	}
	for _, org := range orgs {
		if tally := v.Tally(org); tally != tallies[org] {
			t.Fatalf("organisation %s has %+v jobs, the count says %+v", org, tallies[org], tally)
		}
	}
	for status, count := range v.Counts() {
		if count != counts[status] {
			t.Fatalf("%d jobs are %s, the count says %d", counts[status], status, count)
		}
	}
	last := uint64(0)
	for event := range v.Outbox() {
		if event.Done || event.Number <= last {
			t.Fatalf("event %d (done: %v) comes after %d in the outbox", event.Number, event.Done, last)
		}
		last = event.Number
	}
}

func checkTask(t *rapid.T, record job.Record, task *job.Task) {
	if record.Job.Status.Terminal() && task.Kind != job.CleanupTask && (task.State == job.TaskRunning || task.State == job.TaskWaiting) {
		t.Fatalf("job %s is %s and its task %s is %s", record.Job.ID, record.Job.Status, task.ID, task.State)
	}
	live, number, on := 0, 0, map[string]bool{}
	for _, attempt := range task.Attempts {
		if attempt.Outcome == job.OutcomeRunning {
			live++
			on[attempt.Node] = true
		}
		if attempt.Number <= number {
			t.Fatalf("%s: attempt %d follows %d", task.ID, attempt.Number, number)
		}
		number = attempt.Number
	}
	if held := task.Held(); held != (live > 0) || live > job.MaxHolders || live > 1 && task.Kind != job.EncodeTask || live != len(on) {
		t.Fatalf("%s is %s with %d live attempts on %v", task.ID, task.State, live, on)
	}
}

// checkChange checks what one command may do.
func checkChange(t *rapid.T, command Command, before, after *view) {
	type told struct {
		webhook string
		job     job.ID
		status  job.Status
	}
	expected := map[told]int{}
	for _, id := range ids {
		old, existed := before.Record(id)
		record, exists := after.Record(id)
		if !exists {
			if _, pruning := command.(Prune); existed && (!pruning || !old.Job.Status.Terminal()) {
				t.Fatalf("%s forgot job %s, which was %s", command.Name(), id, old.Job.Status)
			}
			continue
		}
		from := job.Status("")
		if existed {
			from = old.Job.Status
		}
		if from == record.Job.Status && existed {
			checkTasks(t, command, old, record)
			continue
		}
		if !slices.Contains(legalStatus[from], record.Job.Status) {
			t.Fatalf("%s took job %s from %q to %s", command.Name(), id, from, record.Job.Status)
		}
		if existed {
			checkTasks(t, command, old, record)
			for _, webhook := range before.Webhooks(record.Job.Org) {
				expected[told{webhook.Org + "/" + webhook.ID, id, record.Job.Status}]++
			}
		}
	}
	for _, org := range orgs {
		for _, hook := range hooks {
			known := map[uint64]bool{}
			for event := range before.Deliveries(org, hook) {
				known[event.Number] = true
			}
			for event := range after.Deliveries(org, hook) {
				if !known[event.Number] {
					expected[told{org + "/" + hook, event.Job.ID, event.Job.Status}]--
				}
			}
		}
	}
	checkNodes(t, command, before, after)
	checkLimits(t, command, before, after)
	for event, missing := range expected {
		if missing != 0 {
			t.Fatalf("%s: %d events too few of %+v", command.Name(), missing, event)
		}
	}
}

// checkNodes checks that a node's state is what was last decided about it.
func checkNodes(t *rapid.T, command Command, before, after *view) {
	for _, id := range nodes {
		old, existed := before.NodeState(id)
		now, exists := after.NodeState(id)
		drain, _ := command.(SetDrain)
		forget, _ := command.(ForgetNode)
		valid := checkNodeID(id) == nil
		switch {
		case drain.Node == id && valid:
			if !exists || now.Draining != drain.Draining || existed && old.Draining == now.Draining && !now.Changed.Equal(old.Changed) {
				t.Fatalf("%+v made %+v of %+v", drain, now, old)
			}
		case forget.Node == id && valid:
			if exists {
				t.Fatalf("%+v left %+v", forget, now)
			}
		case existed != exists || now != old:
			t.Fatalf("%s made %+v of %+v", command.Name(), now, old)
		}
	}
}

func checkTasks(t *rapid.T, command Command, before, after job.Record) {
	for _, task := range after.Tasks {
		old := before.Task(task.ID)
		if old == nil {
			continue
		}
		if task.NextAttempt() < old.NextAttempt() {
			t.Fatalf("%s: the attempts of %s went back from %d to %d", command.Name(), task.ID, old.NextAttempt(), task.NextAttempt())
		}
		won := 0
		for attempt := range old.Holders() {
			i := slices.IndexFunc(task.Attempts, func(a job.Attempt) bool { return a.Number == attempt.Number })
			if i >= 0 && task.Attempts[i].Outcome == job.OutcomeFinished {
				won++
			}
		}
		if finished := task.State == job.TaskFinished && old.State == job.TaskRunning; won > 1 || finished != (won == 1) {
			t.Fatalf("%s took %s from %s to %s, and %d of its attempts finished it", command.Name(), task.ID, old.State, task.State, won)
		}
		_, planning := command.(PlanJob) // makes its tasks anew, whatever they were
		if old.State != task.State && !slices.Contains(legalTask[old.State], task.State) && !planning {
			t.Fatalf("%s took %s from %s to %s", command.Name(), task.ID, old.State, task.State)
		}
	}
}

// checkReplay applies the log again in batches, and restores a snapshot: all
// three states are the same to the byte.
func checkReplay(t *rapid.T, w *world) {
	want := w.b.bytes()
	again := &bench{t: t, m: newMachine()}
	for rest := w.log; len(rest) > 0; {
		n := rapid.IntRange(1, len(rest)).Draw(t, "batch")
		again.m.ApplyBatch(rest[:n])
		rest = rest[n:]
	}
	if !bytes.Equal(want, again.bytes()) {
		t.Fatalf("the same log made another state")
	}
	restored := &bench{t: t, m: newMachine()}
	old := restored.view()
	if err := restored.m.Restore(io.NopCloser(bytes.NewReader(want))); err != nil {
		t.Fatal(err)
	}
	<-old.Changed()
	if !bytes.Equal(want, restored.bytes()) {
		t.Fatalf("a snapshot restored is another state")
	}
	if got, want := fmt.Sprint(restored.view().Counts()), fmt.Sprint(w.b.view().Counts()); got != want {
		t.Fatalf("restored counts %s, they were %s", got, want)
	}
	checkState(t, restored.view())
}
