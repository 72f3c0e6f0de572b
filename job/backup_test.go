package job

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const chunk TaskID = "encode-00000"

// slow is a job whose first chunk is encoded by attempt 1 on node n1 and, as its
// backup, by attempt 2 on node n2.
func slow(t *testing.T) *story {
	t.Helper()
	s := begin(t)
	s.plan(testPlan("etag"))
	s.start(chunk)
	s.then(s.Start(backup(1), noon.Add(time.Minute)))
	return s
}

func backup(of int) Assignment {
	return Assignment{Task: chunk, Attempt: of + 1, BackupOf: of, Node: "n2", Session: "s2", Device: "cpu"}
}

func refOf(number int) Ref { return Ref{Job: jobID, Task: chunk, Attempt: number} }

func (s *story) wantAttempts(outcomes ...Outcome) {
	s.t.Helper()
	var got []Outcome
	for _, attempt := range s.Task(chunk).Attempts {
		got = append(got, attempt.Outcome)
		if ended := !attempt.Ended.IsZero(); ended == (attempt.Outcome == OutcomeRunning) {
			s.t.Errorf("attempt %d is %s and has ended: %v", attempt.Number, attempt.Outcome, ended)
		}
	}
	if !slices.Equal(got, outcomes) {
		s.t.Errorf("the attempts are %v, want %v", got, outcomes)
	}
}

func TestWhicheverAttemptFinishesFirstCountsAndTheOtherIsFenced(t *testing.T) {
	for name, test := range map[string]struct {
		first, second int
		outcomes      []Outcome
	}{
		"the backup":   {2, 1, []Outcome{OutcomeStopped, OutcomeFinished}},
		"the slow one": {1, 2, []Outcome{OutcomeFinished, OutcomeStopped}},
	} {
		t.Run(name, func(t *testing.T) {
			s := slow(t)
			s.then(s.Spent(refOf(test.first), 7).Finish(refOf(test.first), Result{FramesPerSecond: 9}, noon.Add(time.Hour)))
			s.want(Transcoding, map[TaskID]TaskState{chunk: TaskFinished})
			s.wantAttempts(test.outcomes...)
			won := s.Task(chunk).Attempts[test.first-1]
			if s.Task(chunk).Result.FramesPerSecond != 9 || won.FramesPerSecond != 9 || won.EnergyJoules != 7 {
				t.Errorf("the result is %+v of %+v", s.Task(chunk).Result, won)
			}
			for _, late := range []error{
				second(s.Finish(refOf(test.second), Result{}, noon)), second(s.Fail(refOf(test.second), *Fail(MediaCorrupt, "x"), "", nil, noon)),
				second(s.Lose(refOf(test.second), OutcomeLost, "x", noon)),
			} {
				if !errors.Is(late, ErrFenced) {
					t.Errorf("the other's late report: %v", late)
				}
			}
		})
	}
}

func TestOneThatFailsOrIsLostLeavesTheTaskToTheOther(t *testing.T) {
	for _, number := range []int{1, 2} {
		other := 3 - number
		s := slow(t)
		s.then(s.Lose(refOf(number), OutcomeLost, "its node is gone", noon))
		s.want(Transcoding, map[TaskID]TaskState{chunk: TaskRunning})
		s.then(s.Finish(refOf(other), Result{}, noon))
		s.want(Transcoding, map[TaskID]TaskState{chunk: TaskFinished})

		s = slow(t)
		s.then(s.Fail(refOf(number), *Fail(EncoderFailed, "killed"), "", nil, noon))
		s.want(Transcoding, map[TaskID]TaskState{chunk: TaskRunning})
		if failures := s.Task(chunk).Failures; failures != 1 {
			t.Errorf("attempt %d failed, and %d failures count", number, failures)
		}
		s.then(s.Fail(refOf(other), *Fail(EncoderFailed, "killed"), "", nil, noon))
		s.want(Transcoding, map[TaskID]TaskState{chunk: TaskWaiting})
		if task := s.Task(chunk); task.Failures != 2 || task.NextAttempt() != 3 {
			t.Errorf("after both failed there are %d failures and the next attempt is %d", task.Failures, task.NextAttempt())
		}
	}
}

func TestABackupsFailureNeverEndsAJobThatTheOtherMaySave(t *testing.T) {
	s := begin(t)
	s.plan(testPlan("etag"))
	for range MaxFailures - 1 {
		s.start(chunk)
		s.then(s.Fail(s.ref(chunk), *Fail(EncoderFailed, "killed"), "", nil, noon))
	}
	s.start(chunk)
	s.then(s.Start(backup(MaxFailures), noon))
	s.then(s.Fail(refOf(MaxFailures+1), *Fail(EncoderFailed, "killed"), "", nil, noon))
	s.want(Transcoding, map[TaskID]TaskState{chunk: TaskRunning})
	s.then(s.Fail(refOf(MaxFailures), *Fail(EncoderFailed, "killed"), "", nil, noon))
	s.want(Error, map[TaskID]TaskState{chunk: TaskFailed})
}

func TestWhatIsTheInputsFaultEndsBothAttempts(t *testing.T) {
	s := slow(t)
	s.then(s.Fail(refOf(2), *Fail(MediaCorrupt, "x"), "", nil, noon))
	s.want(Error, map[TaskID]TaskState{chunk: TaskFailed})
	s.wantAttempts(OutcomeStopped, OutcomeFailed)
}

func TestCancellingStopsBothAttempts(t *testing.T) {
	s := slow(t)
	s.then(s.Cancel(noon))
	s.want(Cancelled, map[TaskID]TaskState{chunk: TaskStopping, "cleanup": TaskWaiting})
	s.then(s.Lose(refOf(1), OutcomeStopped, "cancelled", noon))
	s.want(Cancelled, map[TaskID]TaskState{chunk: TaskStopping})
	if s.Ready(s.Task("cleanup")) {
		t.Error("the cleanup races with the backup")
	}
	s.then(s.Finish(refOf(2), Result{}, noon))
	s.want(Cancelled, map[TaskID]TaskState{chunk: TaskDropped})
	s.wantAttempts(OutcomeStopped, OutcomeStopped)
	if !s.Ready(s.Task("cleanup")) {
		t.Error("the cleanup doesn't begin")
	}
}

func TestAnotherEncoderEndsBothAttempts(t *testing.T) {
	s := slow(t)
	s.then(s.ChangeEncoder(EncoderChange{From: "", To: "libx264", Reason: "x"}, noon))
	s.want(Transcoding, map[TaskID]TaskState{chunk: TaskWaiting})
	s.wantAttempts(OutcomeStopped, OutcomeStopped)
}

func TestBackupsThatMayNotBeginAreRefused(t *testing.T) {
	twice := slow(t)
	third := backup(2)
	third.Node = "n3"
	if _, err := twice.Start(third, noon); !errors.Is(err, ErrTransition) {
		t.Errorf("a third attempt: %v", err)
	}
	once := begin(t)
	once.plan(testPlan("etag"))
	once.start(chunk)
	for name, change := range map[string]func(*Assignment){
		"on the same node":        func(a *Assignment) { a.Node = "n1" },
		"of no attempt":           func(a *Assignment) { a.BackupOf = 7 },
		"of a task that waits":    func(a *Assignment) { a.Task, a.Attempt = "encode-00001", 1 },
		"with an older number":    func(a *Assignment) { a.Attempt = 1 },
		"with a number too large": func(a *Assignment) { a.Attempt = 3 },
		"of an inspection":        func(a *Assignment) { a.Task = "inspect" },
	} {
		a := backup(1)
		change(&a)
		if _, err := once.Start(a, noon); !errors.Is(err, ErrTransition) && !errors.Is(err, ErrFenced) {
			t.Errorf("one %s: %v", name, err)
		}
	}
	once.then(once.Cancel(noon))
	if _, err := once.Start(backup(1), noon); !errors.Is(err, ErrTransition) {
		t.Errorf("one of a cancelled job: %v", err)
	}
}

func TestALiveAttemptIsNeverForgotten(t *testing.T) {
	s := begin(t)
	s.plan(testPlan("etag"))
	s.start(chunk)
	for next := 2; next < 3*MaxAttemptsKept; next++ {
		a := backup(1)
		a.Attempt = next
		s.then(s.Start(a, noon))
		s.then(s.Lose(refOf(next), OutcomeLost, "its node is gone", noon))
	}
	if task := s.Task(chunk); task.Holder(1) == nil || len(task.Attempts) > MaxAttemptsKept {
		t.Errorf("of the attempts are kept %+v", task.Attempts)
	}
}

// TestAtMostTwoAttemptsRunAndOneWins plays random reports of random attempts.
func TestAtMostTwoAttemptsRunAndOneWins(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := begin(t)
		s.plan(testPlan("etag"))
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			before := *s.Task(chunk)
			number := rapid.IntRange(max(0, before.NextAttempt()-3), before.NextAttempt()).Draw(rt, "number")
			var change Change
			var err error
			finish := false
			switch rapid.SampledFrom([]string{"start", "backup", "backup", "finish", "fail", "lose", "redo"}).Draw(rt, "what") {
			case "start":
				change, err = s.Start(Assignment{Task: chunk, Attempt: number, Node: "n1"}, noon)
			case "backup":
				a := backup(number)
				a.Attempt, a.Node = before.NextAttempt(), rapid.SampledFrom([]string{"n1", "n2", "n3"}).Draw(rt, "node")
				change, err = s.Start(a, noon)
			case "finish":
				finish = true
				change, err = s.Finish(refOf(number), Result{}, noon)
			case "fail":
				change, err = s.Fail(refOf(number), *Fail(HardwareSessions, "x"), "", nil, noon)
			case "lose":
				change, err = s.Lose(refOf(number), OutcomeStopped, "x", noon)
			case "redo":
				if before.State != TaskFinished {
					continue
				}
				again, illegal := before.to(TaskWaiting)
				change, err = Change{Tasks: []*Task{again}}, illegal
			}
			if err != nil {
				continue
			}
			s.then(change, nil)
			if s.Job.Status.Terminal() {
				return
			}
			task := s.Task(chunk)
			holders, nodes := 0, map[string]bool{}
			for attempt := range task.Holders() {
				holders++
				nodes[attempt.Node] = true
			}
			if holders > MaxHolders || holders != len(nodes) || (holders > 0) != task.Held() {
				rt.Fatalf("the task is %s with %d attempts on %v", task.State, holders, nodes)
			}
			if task.NextAttempt() < before.NextAttempt() {
				rt.Fatalf("the next attempt went from %d to %d", before.NextAttempt(), task.NextAttempt())
			}
			won := 0
			for i, attempt := range task.Attempts {
				if i < len(before.Attempts) && before.Holder(attempt.Number) != nil && attempt.Outcome == OutcomeFinished {
					won++
				}
			}
			if finish != (won == 1) || won > 1 || finish && task.State != TaskFinished {
				rt.Fatalf("%d attempts won when the task became %s", won, task.State)
			}
		}
	})
}
