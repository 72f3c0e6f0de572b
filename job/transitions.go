package job

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Status is a job's state as the API shows it.
type Status string

// The states of a job.
const (
	Queued      Status = "Queued"
	Transcoding Status = "Transcoding"
	Completed   Status = "Completed"
	Error       Status = "Error"
	Cancelled   Status = "Cancelled"
)

// Statuses lists every status.
var Statuses = []Status{Queued, Transcoding, Completed, Error, Cancelled}

// Terminal says whether the job's run has ended.
func (s Status) Terminal() bool { return s == Completed || s == Error || s == Cancelled }

// jobTransitions is every legal change of a job's status, and what causes it.
var jobTransitions = map[Status]map[Status]string{
	Queued: {
		Transcoding: "the first attempt of the run started",
		Cancelled:   "the client cancelled",
	},
	Transcoding: {
		Completed: "the package task wrote the masters",
		Error:     "a task failed for good",
		Cancelled: "the client cancelled",
	},
	Error:     {Queued: "the client retried"},
	Cancelled: {Queued: "the client retried"},
	Completed: {},
}

// TaskState is where a task stands.
type TaskState string

// The states of a task.
const (
	TaskWaiting  TaskState = "waiting"  // for its turn, its forerunners and a device
	TaskRunning  TaskState = "running"  // an attempt holds the lease
	TaskStopping TaskState = "stopping" // no longer wanted; its attempt may still be alive
	TaskFinished TaskState = "finished" // its result is in
	TaskFailed   TaskState = "failed"   // for good, in this run of the job
	TaskDropped  TaskState = "dropped"  // no longer wanted, and nobody works on it
)

// taskTransitions is every legal change of a task's state, and what causes it.
var taskTransitions = map[TaskState]map[TaskState]string{
	TaskWaiting: {
		TaskRunning: "the leader gave it to a node",
		TaskDropped: "the job was cancelled or failed",
	},
	TaskRunning: {
		TaskFinished: "its attempt reported the result",
		TaskWaiting:  "its attempt failed, was lost, gave it back or lost its encoder, and it is tried again",
		TaskFailed:   "its attempt failed and no further try would help",
		TaskStopping: "the job was cancelled or failed",
	},
	TaskStopping: {TaskDropped: "its attempt ended or its lease ran out"},
	TaskFinished: {
		TaskWaiting: "what it wrote is missing or changed, or the job is planned anew or for another encoder",
		TaskDropped: "the cancelled job's output was removed",
	},
	TaskFailed:  {TaskWaiting: "the client retried the job"},
	TaskDropped: {TaskWaiting: "the client retried the job"},
}

var (
	// ErrFenced refuses a report from an attempt that no longer holds the lease.
	ErrFenced = errors.New("this attempt no longer holds the task")
	// ErrTransition refuses a change that the tables don't have.
	ErrTransition = errors.New("not a legal change of state")
	// ErrEnded refuses to cancel a job that has ended.
	ErrEnded = errors.New("the job has ended")
	// ErrNotEnded refuses to retry a job that hasn't failed or been cancelled.
	ErrNotEnded = errors.New("only a failed or cancelled job can be retried")
	// ErrStopping refuses to retry a job whose last run is still being stopped.
	ErrStopping = errors.New("the job's last run is still being stopped")
)

func checkJobTransition(from, to Status) error {
	if _, legal := jobTransitions[from][to]; !legal {
		return fmt.Errorf("job from %s to %s: %w", from, to, ErrTransition)
	}
	return nil
}

func checkTaskTransition(from, to TaskState) error {
	if _, legal := taskTransitions[from][to]; !legal {
		return fmt.Errorf("task from %s to %s: %w", from, to, ErrTransition)
	}
	return nil
}

// LegalStatus says whether text names a status in any case, and which.
func LegalStatus(text string) (Status, bool) {
	i := slices.IndexFunc(Statuses, func(s Status) bool { return strings.EqualFold(string(s), text) })
	if i < 0 {
		return "", false
	}
	return Statuses[i], true
}
