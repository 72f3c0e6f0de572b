package job

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const jobID ID = "5KQfnXCg8Qh"

func TestTheTablesAreClosed(t *testing.T) {
	for _, from := range Statuses {
		targets, ok := jobTransitions[from]
		if !ok {
			t.Errorf("no row for jobs that are %s", from)
		}
		for to, cause := range targets {
			if !slices.Contains(Statuses, to) || cause == "" {
				t.Errorf("job from %s to %s because %q", from, to, cause)
			}
		}
	}
	states := []TaskState{TaskWaiting, TaskRunning, TaskStopping, TaskFinished, TaskFailed, TaskDropped}
	for _, from := range states {
		targets, ok := taskTransitions[from]
		if !ok {
			t.Errorf("no row for tasks that are %s", from)
		}
		for to, cause := range targets {
			if !slices.Contains(states, to) || cause == "" {
				t.Errorf("task from %s to %s because %q", from, to, cause)
			}
		}
	}
	for _, to := range Statuses {
		if err := checkJobTransition(Completed, to); !errors.Is(err, ErrTransition) {
			t.Errorf("a completed job became %s: %v", to, err)
		}
	}
}

// apply stores a change in a record, as the cluster's state does.
func apply(r Record, c Change) Record {
	if c.Job != nil {
		r.Job = c.Job
	}
	tasks := slices.Clone(r.Tasks)
	for _, task := range c.Tasks {
		if i := slices.IndexFunc(tasks, func(t *Task) bool { return t.ID == task.ID }); i >= 0 {
			tasks[i] = task
		} else {
			tasks = append(tasks, task)
		}
	}
	r.Tasks = slices.DeleteFunc(tasks, func(t *Task) bool { return slices.Contains(c.Removed, t.ID) })
	return r
}

// story applies changes one after another to a job of two chunks.
type story struct {
	t *testing.T
	Record
}

func begin(t *testing.T) *story {
	s := &story{t: t}
	s.Record = apply(Record{}, New(jobID, "default", Spec{Outputs: []OutputKind{HLS}, Resolutions: []Resolution{720, 240}}, noon))
	return s
}

func (s *story) then(change Change, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	s.Record = apply(s.Record, change)
}

func (s *story) start(tasks ...TaskID) {
	s.t.Helper()
	for _, id := range tasks {
		s.then(s.Start(Assignment{Task: id, Attempt: s.Task(id).NextAttempt(), Node: "n1", Session: "s1"}, noon.Add(time.Second)))
	}
}

func (s *story) ref(id TaskID) Ref {
	return Ref{Job: jobID, Task: id, Attempt: s.Task(id).Last().Number}
}

func (s *story) finish(tasks ...TaskID) {
	s.t.Helper()
	for _, id := range tasks {
		s.then(s.Finish(s.ref(id), Result{Tracks: []Track{{Name: "720p"}}}, noon.Add(time.Minute)))
	}
}

func testPlan(identity string) Plan {
	timeline := Timeline{Rate: Rational{25, 1}, Frames: 400, SegmentFrames: 100}
	chunks, err := timeline.Cut([]int{2, 2})
	if err != nil {
		panic(err)
	}
	return Plan{Source: Source{Identity: identity}, Timeline: timeline, Chunks: chunks, Renditions: []Rendition{{Name: "720p"}, {Name: "240p"}}}
}

func (s *story) plan(plan Plan) {
	s.t.Helper()
	s.start("inspect")
	s.then(s.Adopt(s.ref("inspect"), plan, PlanTasks(jobID, s.Job.Spec, plan), noon))
}

func (s *story) want(status Status, states map[TaskID]TaskState) {
	s.t.Helper()
	if s.Job.Status != status {
		s.t.Errorf("the job is %s, want %s", s.Job.Status, status)
	}
	for id, state := range states {
		if task := s.Task(id); task == nil || task.State != state {
			s.t.Errorf("task %s is %+v, want %s", id, task, state)
		}
	}
}

func TestAJobIsDoneWhenItIsPackaged(t *testing.T) {
	s := begin(t)
	s.want(Queued, map[TaskID]TaskState{"inspect": TaskWaiting})
	s.plan(testPlan("etag"))
	s.want(Transcoding, map[TaskID]TaskState{"inspect": TaskFinished, "encode-00000": TaskWaiting, "encode-00001": TaskWaiting, "package": TaskWaiting})
	if s.Ready(s.Task("package")) || !s.Ready(s.Task("encode-00001")) {
		t.Error("the package task may start before the chunks, or a chunk may not start")
	}
	s.start("encode-00000", "encode-00001")
	s.finish("encode-00000", "encode-00001")
	s.start("package")
	s.then(s.Finish(s.ref("package"), Result{Published: []Published{{Kind: HLS}}}, noon.Add(-time.Hour)))
	s.want(Completed, map[TaskID]TaskState{"package": TaskFinished})
	if s.Job.Ended.Before(s.Job.Started) || len(s.Job.Published) != 1 {
		t.Errorf("a clock that went back ends the job before it starts: %+v", s.Job)
	}
	for _, task := range s.Tasks {
		if task.Kind == EncodeTask && task.Result != nil {
			t.Errorf("%s still keeps its segments", task.ID)
		}
	}
	for _, err := range []error{second(s.Cancel(noon)), second(s.Retry(nil, noon))} {
		if !errors.Is(err, ErrEnded) && !errors.Is(err, ErrNotEnded) {
			t.Errorf("a completed job was changed: %v", err)
		}
	}
}

func second[A any](_ A, err error) error { return err }

func TestTheInputsFaultEndsTheJobAtOnce(t *testing.T) {
	s := begin(t)
	s.plan(testPlan("etag"))
	s.start("encode-00000", "encode-00001")
	s.then(s.Fail(s.ref("encode-00000"), *Fail(MediaCorrupt, "no pictures after 3 s"), "", nil, noon))
	s.want(Error, map[TaskID]TaskState{"encode-00000": TaskFailed, "encode-00001": TaskStopping, "package": TaskDropped})
	if s.Job.Failure == nil || s.Job.Failure.Code != MediaCorrupt {
		t.Errorf("failure %+v", s.Job.Failure)
	}
	if _, err := s.Retry(nil, noon); !errors.Is(err, ErrStopping) {
		t.Errorf("retried while an attempt may be alive: %v", err)
	}
	s.finish("encode-00001") // it hadn't heard
	s.want(Error, map[TaskID]TaskState{"encode-00001": TaskDropped})
	if s.Task("encode-00001").Last().Outcome != OutcomeStopped || s.Task("encode-00001").Result != nil {
		t.Errorf("%+v", s.Task("encode-00001"))
	}
}

func TestOtherFailuresAreTriedAgain(t *testing.T) {
	s := begin(t)
	s.plan(testPlan("etag"))
	for range MaxFailures - 1 {
		s.start("encode-00000")
		s.then(s.Fail(s.ref("encode-00000"), *Fail(EncoderFailed, "exit 1"), "last words", nil, noon))
		s.want(Transcoding, map[TaskID]TaskState{"encode-00000": TaskWaiting})
	}
	s.start("encode-00000")
	s.then(s.Fail(s.ref("encode-00000"), *Fail(EncoderFailed, "exit 1"), "", nil, noon))
	s.want(Error, map[TaskID]TaskState{"encode-00000": TaskFailed})
}

func TestADevicesStateDoesNotCountAgainstTheTask(t *testing.T) {
	s := begin(t)
	s.plan(testPlan("etag"))
	fail := func(code Code) {
		s.start("encode-00000")
		s.then(s.Fail(s.ref("encode-00000"), *Fail(code, "no"), "", nil, noon))
	}
	for range MaxLost - 1 {
		fail(HardwareSessions)
	}
	if task := s.Task("encode-00000"); task.Failures != 0 || task.State != TaskWaiting {
		t.Errorf("%d failures, %s", task.Failures, task.State)
	}
	fail(EncoderFailed)
	for range MaxLost - 1 {
		fail(HardwareLost)
	}
	if task := s.Task("encode-00000"); task.Failures != 1 {
		t.Errorf("%d failures, want the one that was the encoder's", task.Failures)
	}
	// But a task that loses device after device ends.
	for range MaxFailures - 1 {
		fail(HardwareLost)
	}
	s.want(Error, map[TaskID]TaskState{"encode-00000": TaskFailed})
}

func TestLostAttemptsCountOnlyWhenTheyFollowEachOther(t *testing.T) {
	s := begin(t)
	s.plan(testPlan("etag"))
	lose := func(outcome Outcome) {
		s.start("encode-00000")
		s.then(s.Lose(s.ref("encode-00000"), outcome, "n1 is gone", noon))
	}
	for range MaxLost - 1 {
		lose(OutcomeLost)
	}
	lose(OutcomeStopped) // a drain in between: it isn't the task that kills nodes
	for range MaxLost - 1 {
		lose(OutcomeLost)
	}
	s.want(Transcoding, map[TaskID]TaskState{"encode-00000": TaskWaiting})
	if task := s.Task("encode-00000"); task.Failures != 0 || len(task.Attempts) > MaxAttemptsKept {
		t.Errorf("%d failures, %d attempts", task.Failures, len(task.Attempts))
	}
	lose(OutcomeLost)
	s.want(Error, map[TaskID]TaskState{"encode-00000": TaskFailed})
}

func TestBadChunksAreDoneAgainBeforePackaging(t *testing.T) {
	s := begin(t)
	s.plan(testPlan("etag"))
	s.start("encode-00000", "encode-00001")
	s.finish("encode-00000", "encode-00001")
	s.start("package")
	s.then(s.Fail(s.ref("package"), *Fail(OutputVerification, "00003.m4s differs"), "", []TaskID{"encode-00001", "inspect", "nonsense"}, noon))
	s.want(Transcoding, map[TaskID]TaskState{"encode-00000": TaskFinished, "encode-00001": TaskWaiting, "inspect": TaskFinished, "package": TaskWaiting})
	if s.Ready(s.Task("package")) {
		t.Error("the package task doesn't wait")
	}
}

func TestACancelledJobIsCleanedWhenNobodyCanWriteAnyMore(t *testing.T) {
	s := begin(t)
	s.plan(testPlan("etag"))
	s.start("encode-00000", "encode-00001")
	s.finish("encode-00000")
	s.then(s.Cancel(noon))
	s.want(Cancelled, map[TaskID]TaskState{"encode-00000": TaskFinished, "encode-00001": TaskStopping, "package": TaskDropped, "cleanup": TaskWaiting})
	if s.Ready(s.Task("cleanup")) {
		t.Error("the cleanup races with a live attempt")
	}
	s.then(s.Lose(s.ref("encode-00001"), OutcomeStopped, "cancelled", noon))
	s.start("cleanup")
	s.finish("cleanup")
	s.want(Cancelled, map[TaskID]TaskState{"encode-00000": TaskDropped, "encode-00001": TaskDropped, "cleanup": TaskFinished})

	s.then(s.Retry(nil, noon))
	s.plan(testPlan("etag"))
	s.want(Transcoding, map[TaskID]TaskState{"encode-00000": TaskWaiting, "encode-00001": TaskWaiting})
	s.then(s.Cancel(noon))
	s.want(Cancelled, map[TaskID]TaskState{"cleanup": TaskWaiting})
}

func TestAFailedCleanupRedoesNothing(t *testing.T) {
	s := begin(t)
	s.plan(testPlan("etag"))
	s.start("encode-00000")
	s.finish("encode-00000")
	s.then(s.Cancel(noon))
	s.start("cleanup")
	s.then(s.Fail(s.ref("cleanup"), *Fail(OutputUnreachable, "connection refused"), "", []TaskID{"encode-00000"}, noon))
	s.want(Cancelled, map[TaskID]TaskState{"encode-00000": TaskFinished, "cleanup": TaskWaiting})
}

func TestACancelledJobThatNeverStartedHasNothingToClean(t *testing.T) {
	s := begin(t)
	s.then(s.Cancel(noon))
	s.want(Cancelled, map[TaskID]TaskState{"inspect": TaskDropped})
	if s.Task("cleanup") != nil {
		t.Error("it is cleaned all the same")
	}
}

func TestARetryKeepsWhatIsGood(t *testing.T) {
	fail := func(t *testing.T) *story {
		s := begin(t)
		s.plan(testPlan("etag"))
		s.start("encode-00000", "encode-00001")
		s.finish("encode-00000")
		s.then(s.Fail(s.ref("encode-00001"), *Fail(InputChanged, "etag"), "", nil, noon))
		s.then(s.Retry([]Resolution{720}, noon))
		s.want(Queued, map[TaskID]TaskState{"inspect": TaskWaiting, "encode-00000": TaskFinished})
		if s.Job.Run != 2 || s.Job.Failure != nil || !s.Job.Ended.IsZero() || !slices.Equal(s.Job.Spec.Resolutions, []Resolution{720}) {
			t.Errorf("%+v", s.Job)
		}
		return s
	}
	t.Run("the same source", func(t *testing.T) {
		s := fail(t)
		narrow := testPlan("etag")
		narrow.Renditions = narrow.Renditions[:1]
		s.plan(narrow)
		s.want(Transcoding, map[TaskID]TaskState{"encode-00000": TaskFinished, "encode-00001": TaskWaiting})
		if next := s.Task("encode-00001").NextAttempt(); next != 2 {
			t.Errorf("the next attempt is %d: an old one isn't fenced", next)
		}
	})
	t.Run("another source", func(t *testing.T) {
		s := fail(t)
		s.plan(testPlan("changed"))
		s.want(Transcoding, map[TaskID]TaskState{"encode-00000": TaskWaiting, "encode-00001": TaskWaiting})
	})
	t.Run("fewer chunks", func(t *testing.T) {
		s := fail(t)
		short := testPlan("etag")
		short.Chunks = short.Chunks[:1]
		s.plan(short)
		if s.Task("encode-00001") != nil {
			t.Error("a chunk that isn't planned any more is still there")
		}
	})
}

func TestADividedChunkHasATaskForEachGroup(t *testing.T) {
	s := begin(t)
	plan := testPlan("etag")
	plan.Groups = [][]string{{"720p"}, {"240p"}}
	s.start("inspect")
	s.then(s.Adopt(s.ref("inspect"), plan, PlanTasks(jobID, s.Job.Spec, plan, 0), noon))
	s.want(Transcoding, map[TaskID]TaskState{"encode-00000": TaskWaiting, "encode-00001-1": TaskWaiting, "encode-00001-2": TaskWaiting})
	if whole := s.Whole(); !slices.Equal(whole, []int{0}) {
		t.Errorf("whole are %v", whole)
	}
	if names := s.Task("encode-00000").Renditions; !slices.Equal(names, []string{"720p", "240p"}) {
		t.Errorf("the whole ladder is %v", names)
	}
	if s.Task("encode-00001") != nil {
		t.Error("the divided ladder is made as a whole, too")
	}
}

func TestLateReportsAreFenced(t *testing.T) {
	s := begin(t)
	s.plan(testPlan("etag"))
	s.start("encode-00000")
	late := s.ref("encode-00000")
	s.then(s.Lose(late, OutcomeLost, "n1 is gone", noon))
	for when := range 2 {
		for _, err := range []error{
			second(s.Finish(late, Result{}, noon)), second(s.Fail(late, Failure{}, "", nil, noon)),
			second(s.Lose(late, OutcomeLost, "", noon)), second(s.Adopt(late, Plan{}, nil, noon)),
			second(s.Start(Assignment{Task: "encode-00000", Attempt: 1}, noon)),
		} {
			if !errors.Is(err, ErrFenced) {
				t.Errorf("%d: %v", when, err)
			}
		}
		if when == 0 {
			s.start("encode-00000")
		}
	}
}

func TestOldValuesNeverChange(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := begin(t)
		s.plan(testPlan("etag"))
		s.start("encode-00000")
		before := *s.Task("encode-00000")
		attempt := before.Attempts[0]
		var err error
		switch rapid.SampledFrom([]string{"finish", "fail", "lose", "cancel"}).Draw(rt, "how") {
		case "finish":
			_, err = s.Finish(s.ref("encode-00000"), Result{}, noon)
		case "fail":
			_, err = s.Fail(s.ref("encode-00000"), *Fail(MediaCorrupt, "x"), "", nil, noon)
		case "lose":
			_, err = s.Lose(s.ref("encode-00000"), OutcomeLost, "x", noon)
		case "cancel":
			_, err = s.Cancel(noon)
		}
		if err != nil {
			rt.Fatal(err)
		}
		if s.Task("encode-00000").Attempts[0] != attempt || s.Task("encode-00000").State != before.State || s.Job.Status != Transcoding {
			rt.Fatal("a pure function changed what it was given")
		}
	})
}
