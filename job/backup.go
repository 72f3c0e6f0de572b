package job

import (
	"fmt"
	"time"
)

// A backup is a second attempt of an encode task, beside one that is much slower
// than expected: near a job's end a single slow device would hold it up. The two
// hold the task together, under numbers of their own:
//
//   - whichever reports its result first has finished the task; the other is
//     fenced from then on,
//   - one that fails or is lost leaves the task to the other; a failure counts as
//     one of the task's all the same,
//   - what ends the task for another reason (the job is cancelled or fails, its
//     encoder changes) ends both.

// startBackup lets a second attempt of a running task begin, on another node.
func (r Record) startBackup(task *Task, a Assignment, at time.Time) (Change, error) {
	refuse := func(why string) (Change, error) {
		return Change{}, fmt.Errorf("start %s as a backup of attempt %d: %s: %w", a.Task, a.BackupOf, why, ErrTransition)
	}
	slow := task.Holder(a.BackupOf)
	switch {
	case task.Kind != EncodeTask:
		return refuse("only encodes have backups")
	case task.State != TaskRunning || slow == nil:
		return refuse("that attempt doesn't run any more")
	case task.holders() >= MaxHolders:
		return refuse("there is one already")
	case slow.Node == a.Node:
		return refuse("that attempt runs on the same node")
	}
	copied := *task
	copied.Attempts = append(keepLatest(task.Attempts), a.begun(at))
	return Change{Tasks: []*Task{&copied}}, nil
}

// supersede ends the attempts that still hold a task which is being decided
// without them. The task's attempts must be a copy already.
func (t *Task) supersede(why *Failure, at time.Time) {
	for attempt := range t.Holders() {
		attempt.Ended, attempt.Outcome, attempt.Failure = at, OutcomeStopped, why
	}
}

// BackedUp says whether a second attempt holds the task beside the first.
func (t *Task) BackedUp() bool { return t.holders() > 1 }

func (t *Task) holders() int {
	count := 0
	for range t.Holders() {
		count++
	}
	return count
}

// stillHeld says whether an attempt still holds the task.
func (t *Task) stillHeld() bool { return t.holders() > 0 }
