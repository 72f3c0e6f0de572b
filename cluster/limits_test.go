package cluster

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/job"
)

func TestAnOrganisationsQueueHasItsLimit(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	b.do(createOrg("other"))
	if org := b.do(SetLimits{Org: "default", Limits: Limits{Weight: 2, MaxRunning: 3, MaxQueued: 2}}).(*Organisation); org.MaxQueued != 2 || org.Created.IsZero() {
		t.Errorf("limited: %+v", org)
	}
	for _, id := range []job.ID{"j1", "j2"} {
		b.do(createJob("default", id))
	}
	if _, err := b.try(createJob("default", "j3")); !errors.Is(err, ErrQueueFull) {
		t.Fatalf("a third job in a queue for two: %v", err)
	}
	b.do(createJob("default", "j1")) // the same command again is no new job
	b.do(createJob("other", "j4"))   // another's queue is another's

	b.do(CancelJob{Org: "default", ID: "j1", At: noon})
	b.do(createJob("default", "j3"))
	b.do(SetLimits{Org: "default"})
	b.do(createJob("default", "j5"))
	if org, _ := b.view().Organisation("default"); org.Limits != (Limits{}) {
		t.Errorf("freed: %+v", org)
	}
}

func TestLimitsThatNobodyCanHaveAreRefused(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	for _, limits := range []Limits{{Weight: -1}, {Weight: 101}, {MaxRunning: -1}, {MaxQueued: -1}, {MinutesPerDay: -1}, {MinutesPerDay: maxLimit + 1}} {
		if _, err := b.try(SetLimits{Org: "default", Limits: limits}); !errors.Is(err, ErrLimits) {
			t.Errorf("%+v: %v", limits, err)
		}
	}
	if _, err := b.try(SetLimits{Org: "nobody"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("of nobody: %v", err)
	}
}

// usedOn is what the bench's organisation has of its minutes.
func usedOn(b *bench, at time.Time) time.Duration {
	org, _ := b.view().Organisation("default")
	return org.UsedOn(at)
}

// encode starts a task of a planned job.
func encode(id job.ID, task job.TaskID, attempt int, at time.Time) StartAttempts {
	c := start(id, task, attempt)
	c.At = at
	return c
}

const clip = 16 * time.Second // the video of the bench's jobs

func TestAJobsVideoCountsOnceForTheDayOnWhichItIsBegun(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	b.do(SetLimits{Org: "default", Limits: Limits{MinutesPerDay: 1}, At: noon})
	midnight := time.Date(noon.Year(), noon.Month(), noon.Day()+1, 0, 0, 0, 0, time.UTC)
	late := midnight.Add(-time.Nanosecond)

	b.planned("default", jobA)
	b.planned("default", jobB)
	if used := usedOn(b, noon); used != 0 {
		t.Errorf("to inspect two jobs took %s", used)
	}
	b.do(encode(jobA, "encode-00000", 1, late))
	b.do(encode(jobA, "encode-00001", 1, late))
	if used := usedOn(b, late); used != clip {
		t.Errorf("a job of %s took %s", clip, used)
	}
	b.do(LoseAttempts{Refs: []job.Ref{{Job: jobA, Task: "encode-00000", Attempt: 1}}, Outcome: job.OutcomeLost, At: late})
	b.do(encode(jobA, "encode-00000", 2, midnight))
	b.do(encode(jobB, "encode-00000", 1, midnight))
	if used := usedOn(b, midnight); used != clip {
		t.Errorf("the next day's job of %s took %s", clip, used)
	}
	if used := usedOn(b, noon); used != clip {
		t.Errorf("a leader whose clock is behind is told of %s", used)
	}

	b.do(CancelJob{Org: "default", ID: jobB, At: midnight})
	b.do(LoseAttempts{Refs: []job.Ref{{Job: jobB, Task: "encode-00000", Attempt: 1}}, Outcome: job.OutcomeStopped, At: midnight})
	b.do(start(jobB, "cleanup", 1))
	b.do(FinishTask{Ref: job.Ref{Job: jobB, Task: "cleanup", Attempt: 1}, At: midnight})
	b.do(RetryJob{Org: "default", ID: jobB, At: midnight})
	record, _ := b.view().Record(jobB)
	attempt := record.Task("inspect").NextAttempt()
	b.do(start(jobB, "inspect", attempt))
	plan := planOf(400, 100, 2, 2)
	b.do(PlanJob{Ref: job.Ref{Job: jobB, Task: "inspect", Attempt: attempt}, Plan: plan, Tasks: job.PlanTasks(jobB, record.Job.Spec, plan), At: midnight})
	b.do(encode(jobB, "encode-00000", 2, midnight))
	if used := usedOn(b, midnight); used != 2*clip {
		t.Errorf("with another run the day has %s", used)
	}
}

func TestWhatIsEncodedWhenLimitsAreFirstSetGoesOnUncounted(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	b.planned("default", jobA)
	b.planned("default", jobB)
	b.do(encode(jobA, "encode-00000", 1, noon))
	b.do(SetLimits{Org: "default", Limits: Limits{MinutesPerDay: 1}, At: noon})
	b.do(encode(jobA, "encode-00001", 1, noon))
	if used := usedOn(b, noon); used != 0 {
		t.Errorf("it counts for %s", used)
	}
	b.do(encode(jobB, "encode-00000", 1, noon))
	if used := usedOn(b, noon); used != clip {
		t.Errorf("the job that hadn't begun counts for %s", used)
	}
}

func TestSnapshotsCarryLimitsAndWhatTheDayHad(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	b.planned("default", jobA)
	before := b.bytes()
	b.do(SetLimits{Org: "default", Limits: Limits{Weight: 2, MaxRunning: 3, MaxQueued: 4, MinutesPerDay: 5}, At: noon})
	b.do(encode(jobA, "encode-00000", 1, noon))
	b.do(createJob("default", jobB))
	want, _ := b.view().Organisation("default")

	restored := newBench(t)
	if err := restored.m.Restore(io.NopCloser(bytes.NewReader(b.bytes()))); err != nil {
		t.Fatal(err)
	}
	got, _ := restored.view().Organisation("default")
	if got.Limits != want.Limits || *got.Use != *want.Use || got.UsedOn(noon) != clip {
		t.Errorf("restored: %+v, %+v", got, got.Use)
	}
	if tally := restored.view().Tally("default"); tally != (Tally{Queued: 1, Running: 1}) {
		t.Errorf("restored: %+v", tally)
	}

	// Of a peer that knows no limits, and for one.
	if err := restored.m.Restore(io.NopCloser(bytes.NewReader(before))); err != nil {
		t.Fatal(err)
	}
	if old, _ := restored.view().Organisation("default"); old.Limits != (Limits{}) || old.Use != nil || old.UsedOn(noon) != 0 {
		t.Errorf("of an older peer: %+v", old)
	}
	if tally := restored.view().Tally("default"); tally != (Tally{Running: 1}) {
		t.Errorf("of an older peer: %+v", tally)
	}
	for data, version := range map[string]string{string(before): `"version":2`, string(b.bytes()): `"version":3`} {
		if header, _, _ := strings.Cut(data, "\n"); !strings.Contains(header, version) {
			t.Errorf("the header is %s", header)
		}
	}
}

func TestLimitsWaitUntilAllPeersKnowThem(t *testing.T) {
	if v := versionOf(SetLimits{}); v != 2 {
		t.Errorf("they are of version %d", v)
	}
	if v := versionOf(createOrg("default")); v != 1 {
		t.Errorf("an organisation without any is of version %d", v)
	}
}

// checkLimits checks that queues grow only within their limits, and that the
// organisations' days have exactly the video of the jobs that were counted.
func checkLimits(t *rapid.T, command Command, before, after *view) {
	started, starting := command.(StartAttempts)
	video := map[string]time.Duration{}
	for _, id := range ids {
		old, _ := before.Record(id)
		record, ok := after.Record(id)
		if !ok || record.Job.MeteredRun == 0 || old.Job != nil && old.Job.MeteredRun == record.Job.MeteredRun {
			continue
		}
		if record.Job.MeteredRun != record.Job.Run || !begun(record.Tasks) {
			t.Fatalf("%s counted job %s in run %d for run %d", command.Name(), id, record.Job.Run, record.Job.MeteredRun)
		}
		if starting {
			video[record.Job.Org] += record.Job.Plan.Timeline.Duration()
		}
	}
	for _, id := range orgs {
		old, _ := before.Organisation(id)
		now, _ := after.Organisation(id)
		if grew := after.Tally(id).Queued > before.Tally(id).Queued; grew && now.MaxQueued > 0 && after.Tally(id).Queued > now.MaxQueued {
			t.Fatalf("%s made the queue %d long, which may have %d", command.Name(), after.Tally(id).Queued, now.MaxQueued)
		}
		if old == nil || old.Use == nil {
			continue
		}
		want := *old.Use
		if day := dayOf(started.At); video[id] > 0 && day > want.Day {
			want = DayUse{Day: day}
		}
		want.Video += video[id]
		if *now.Use != want {
			t.Fatalf("%s made %+v of %+v, want %+v", command.Name(), *now.Use, *old.Use, want)
		}
	}
}
