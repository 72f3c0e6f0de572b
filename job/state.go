package job

import (
	"fmt"
	"slices"
	"time"
)

// Record is one job with its tasks, as the state holds them. The functions
// below never change what it points to: they return the new values in a Change.
type Record struct {
	Job   *Job
	Tasks []*Task // by ID
}

// Change is what a command does to one job: new values to store in place of
// the old ones. A nil Job means that only tasks change.
type Change struct {
	Job     *Job
	Tasks   []*Task
	Removed []TaskID // tasks that a new plan no longer has
}

// MaxFailures is how many times a task is tried before its job ends in its
// error. A failure that is the input's fault ends the job at the first.
const MaxFailures = 3

// MaxLost is how many attempts of one task in a row may be lost with their
// nodes before the task is taken to be what kills them.
const MaxLost = 6

// New makes a queued job and its inspect task. Spec must have been checked.
func New(id ID, org string, spec Spec, at time.Time) Change {
	return Change{
		Job:   &Job{ID: id, Org: org, Spec: spec, Status: Queued, Created: at, Run: 1},
		Tasks: []*Task{{Job: id, ID: TaskID(InspectTask), Kind: InspectTask, State: TaskWaiting}},
	}
}

// Task finds a task by its ID, nil if the job has none such.
func (r Record) Task(id TaskID) *Task {
	for _, t := range r.Tasks {
		if t.ID == id {
			return t
		}
	}
	return nil
}

// Ready says whether a waiting task's forerunners have finished, so that it
// can be given to a node now.
func (r Record) Ready(t *Task) bool {
	if t.State != TaskWaiting {
		return false
	}
	switch t.Kind {
	case InspectTask:
		return true
	case CleanupTask:
		return !r.held()
	case PackageTask:
		return r.all(func(other *Task) bool {
			return other.ID == t.ID || other.Kind == CleanupTask || other.State == TaskFinished
		})
	default:
		inspect := r.Task(TaskID(InspectTask))
		return inspect != nil && inspect.State == TaskFinished
	}
}

func (r Record) all(is func(*Task) bool) bool {
	return !slices.ContainsFunc(r.Tasks, func(t *Task) bool { return !is(t) })
}

func (r Record) held() bool { return !r.all(func(t *Task) bool { return !t.Held() }) }

// Start gives a task to a node: the attempt now holds the lease, or a part in it
// if it is a backup.
func (r Record) Start(a Assignment, at time.Time) (Change, error) {
	task := r.Task(a.Task)
	switch {
	case task == nil:
		return Change{}, fmt.Errorf("start %s: the job has no such task: %w", a.Task, ErrTransition)
	case a.Attempt != task.NextAttempt():
		return Change{}, fmt.Errorf("start %s as attempt %d, the next is %d: %w", a.Task, a.Attempt, task.NextAttempt(), ErrFenced)
	case a.BackupOf != 0:
		return r.startBackup(task, a, at)
	case !r.Ready(task):
		return Change{}, fmt.Errorf("start %s, which isn't ready: %w", a.Task, ErrTransition)
	case task.Kind != CleanupTask && r.Job.Status.Terminal():
		return Change{}, fmt.Errorf("start %s of a job that is %s: %w", a.Task, r.Job.Status, ErrTransition)
	}
	task, err := task.to(TaskRunning)
	if err != nil {
		return Change{}, err
	}
	task.Attempts = append(keepLatest(task.Attempts), a.begun(at))
	change := Change{Tasks: []*Task{task}}
	if r.Job.Status == Queued {
		change.Job, err = r.Job.to(Transcoding, at)
	}
	return change, err
}

// Finish takes the result of an attempt that holds the lease, and fences another
// that holds it too. The result of an inspect task is taken by Adopt instead,
// which needs the chunks.
func (r Record) Finish(ref Ref, result Result, at time.Time) (Change, error) {
	task, err := r.end(ref, OutcomeFinished, nil, "", result.FramesPerSecond, at)
	if err != nil {
		return Change{}, err
	}
	if task.State != TaskRunning { // it was being stopped and finished all the same
		return Change{Tasks: []*Task{task}}, nil
	}
	task.supersede(Fail(WorkerLost, "attempt %d finished first", ref.Attempt), at)
	if task, err = task.to(TaskFinished); err != nil {
		return Change{}, err
	}
	task.Result = &result
	change := Change{Tasks: []*Task{task}}
	switch task.Kind {
	case PackageTask:
		if change.Job, err = r.Job.to(Completed, at); err != nil {
			return Change{}, err
		}
		change.Job.Published = result.Published
		change.Tasks = append(change.Tasks, r.forgetSegments(task.ID)...)
	case CleanupTask:
		for _, other := range r.Tasks {
			if other.State == TaskFinished && other.Kind != InspectTask && other.ID != task.ID {
				dropped, err := other.to(TaskDropped)
				if err != nil {
					return Change{}, err
				}
				dropped.Result = nil
				change.Tasks = append(change.Tasks, dropped)
			}
		}
	}
	return change, nil
}

// forgetSegments drops the results that a completed job no longer needs, so
// that a long history stays small.
func (r Record) forgetSegments(except TaskID) []*Task {
	var changed []*Task
	for _, task := range r.Tasks {
		if task.ID != except && task.Result != nil {
			copied := *task
			copied.Result = nil
			changed = append(changed, &copied)
		}
	}
	return changed
}

// Fail takes an attempt's failure: the task is tried again, or its job ends.
// redo names finished tasks whose output proved bad (a package task's finding):
// they are done again.
func (r Record) Fail(ref Ref, failure Failure, lastWords string, redo []TaskID, at time.Time) (Change, error) {
	task, err := r.end(ref, OutcomeFailed, &failure, lastWords, 0, at)
	if err != nil || task.State != TaskRunning {
		return Change{Tasks: compact(task)}, err
	}
	if task.Kind != PackageTask {
		redo = nil // a cancelled job's cleanup must not put its chunks back in the queue
	}
	if task.stillHeld() && failure.Code.Info().Blame != BlameInput {
		if !failure.Code.PassesWithDevice() {
			task.Failures++
		}
		return Change{Tasks: []*Task{task}}, nil // the other may still succeed
	}
	if failure.Code.PassesWithDevice() && passedInARow(task) < MaxLost {
		return r.again(task, redo)
	}
	task.Failures++
	if failure.Code.Info().Blame == BlameInput || task.Failures >= MaxFailures {
		return r.giveUp(task, failure, at)
	}
	return r.again(task, redo)
}

// Lose ends an attempt whose node died, restarted or gave it back: the task is
// tried again without that counting against it.
func (r Record) Lose(ref Ref, outcome Outcome, reason string, at time.Time) (Change, error) {
	failure := Fail(WorkerLost, "%s", reason)
	task, err := r.end(ref, outcome, failure, "", 0, at)
	if err != nil || task.State != TaskRunning || task.stillHeld() {
		return Change{Tasks: compact(task)}, err
	}
	if outcome == OutcomeLost && lostInARow(task) >= MaxLost {
		return r.giveUp(task, *Fail(WorkerLost, "%s was lost with its node %d times in a row; the last time: %s", task.ID, MaxLost, reason), at)
	}
	return r.again(task, nil)
}

// again puts a task that was running back in the queue, and with it the
// finished tasks that must be redone first.
func (r Record) again(task *Task, redo []TaskID) (Change, error) {
	task, err := task.to(TaskWaiting)
	if err != nil {
		return Change{}, err
	}
	change := Change{Tasks: []*Task{task}}
	for _, id := range redo {
		bad := r.Task(id)
		if bad == nil || bad.State != TaskFinished || bad.Kind == InspectTask {
			continue
		}
		if bad, err = bad.to(TaskWaiting); err != nil {
			return Change{}, err
		}
		bad.Result = nil
		change.Tasks = append(change.Tasks, bad)
	}
	return change, nil
}

// giveUp ends the job in task's failure and stops its other tasks.
func (r Record) giveUp(task *Task, failure Failure, at time.Time) (Change, error) {
	task.supersede(Fail(WorkerLost, "the task failed for good in another attempt"), at)
	task, err := task.to(TaskFailed)
	if err != nil {
		return Change{}, err
	}
	change := Change{Tasks: []*Task{task}}
	if task.Kind == CleanupTask {
		return change, nil // the job has ended already; what is left behind is told in the task
	}
	if change.Job, err = r.Job.to(Error, at); err != nil {
		return Change{}, err
	}
	change.Job.Failure = &failure
	stopped, err := r.stop(task.ID)
	change.Tasks = append(change.Tasks, stopped...)
	return change, err
}

// stop takes every unfinished task but except out of the queue.
func (r Record) stop(except TaskID) ([]*Task, error) {
	var changed []*Task
	for _, task := range r.Tasks {
		to := TaskDropped
		switch {
		case task.ID == except:
			continue
		case task.State == TaskRunning:
			to = TaskStopping
		case task.State != TaskWaiting:
			continue
		}
		task, err := task.to(to)
		if err != nil {
			return nil, err
		}
		changed = append(changed, task)
	}
	return changed, nil
}

// Cancel ends the job at the client's wish. What it has written is removed by
// a cleanup task as soon as no attempt can write any more.
func (r Record) Cancel(at time.Time) (Change, error) {
	if r.Job.Status.Terminal() {
		return Change{}, fmt.Errorf("cancel a job that is %s: %w", r.Job.Status, ErrEnded)
	}
	job, err := r.Job.to(Cancelled, at)
	if err != nil {
		return Change{}, err
	}
	change := Change{Job: job}
	if change.Tasks, err = r.stop(""); err != nil {
		return Change{}, err
	}
	if r.all(func(t *Task) bool { return len(t.Attempts) == 0 }) {
		return change, nil // nothing was ever started, so nothing was written
	}
	cleanup := r.Task(TaskID(CleanupTask))
	switch {
	case cleanup == nil:
		cleanup = &Task{Job: r.Job.ID, ID: TaskID(CleanupTask), Kind: CleanupTask, State: TaskWaiting}
	case cleanup.State != TaskWaiting: // of an earlier run
		if cleanup, err = cleanup.to(TaskWaiting); err != nil {
			return Change{}, err
		}
		cleanup.Failures, cleanup.Result = 0, nil
	}
	change.Tasks = append(slices.DeleteFunc(change.Tasks, func(t *Task) bool { return t.ID == cleanup.ID }), cleanup)
	return change, nil
}

// end closes the live attempt that ref names. The task comes back running, to
// be moved on by the caller unless it is still held; if it was being stopped, it is
// dropped as soon as nobody holds it.
func (r Record) end(ref Ref, outcome Outcome, failure *Failure, lastWords string, speed float64, at time.Time) (*Task, error) {
	task := r.Task(ref.Task)
	if task == nil || !task.Held() || task.Holder(ref.Attempt) == nil {
		return nil, fmt.Errorf("report of %s: %w", ref, ErrFenced)
	}
	copied := *task
	copied.Attempts = slices.Clone(task.Attempts)
	ended := copied.Holder(ref.Attempt)
	ended.Ended, ended.Outcome, ended.Failure, ended.LastWords, ended.FramesPerSecond = at, outcome, failure, lastWords, speed
	if copied.State == TaskStopping {
		ended.Outcome = OutcomeStopped
		if !copied.stillHeld() {
			copied.State = TaskDropped
		}
	}
	return &copied, nil
}

// to copies the task into another state, if the table has that change.
func (t *Task) to(state TaskState) (*Task, error) {
	if err := checkTaskTransition(t.State, state); err != nil {
		return nil, fmt.Errorf("%s: %w", t.ID, err)
	}
	copied := *t
	copied.State = state
	return &copied, nil
}

// to copies the job into another status, if the table has that change, and
// sets the times that go with it. A clock that went back never makes a job end
// before it started.
func (j *Job) to(status Status, at time.Time) (*Job, error) {
	if err := checkJobTransition(j.Status, status); err != nil {
		return nil, fmt.Errorf("%s: %w", j.ID, err)
	}
	copied := *j
	copied.Status = status
	switch {
	case status == Queued:
		copied.Started, copied.Ended, copied.Failure, copied.Published = time.Time{}, time.Time{}, nil, nil
	case status == Transcoding:
		copied.Started = later(at, j.Created)
	case status.Terminal():
		copied.Ended = later(at, later(j.Started, j.Created))
	}
	return &copied, nil
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func compact(task *Task) []*Task {
	if task == nil {
		return nil
	}
	return []*Task{task}
}
