package job

import (
	"slices"
	"time"
)

// Assignment gives a waiting task to a node.
type Assignment struct {
	Task    TaskID `json:"task"`
	Attempt int    `json:"attempt"` // must be the task's NextAttempt: an older decision is refused
	// BackupOf makes it a second attempt of a running task, beside the one of this
	// number; 0 is for a task that waits.
	BackupOf int    `json:"backup_of,omitempty"`
	Node     string `json:"node"`
	Session  string `json:"session"`
	Device   string `json:"device"`
	Encoder  string `json:"encoder,omitempty"`
	// Headers tells apart what encoders of the same name write into the headers of
	// their streams (see hwaccel.Profile.Headers).
	Headers string `json:"headers,omitempty"`
	// Threads is how many of the node's CPU threads the attempt takes up.
	Threads int `json:"threads,omitempty"`
}

// begun is the attempt that an assignment starts.
func (a Assignment) begun(at time.Time) Attempt {
	return Attempt{
		Number: a.Attempt, BackupOf: a.BackupOf, Node: a.Node, Session: a.Session, Device: a.Device,
		Encoder: a.Encoder, Headers: a.Headers, Threads: a.Threads, Started: at, Outcome: OutcomeRunning,
	}
}

// keepLatest copies the attempts, leaving out the oldest that have ended when there
// are too many.
func keepLatest(attempts []Attempt) []Attempt {
	kept := slices.Clone(attempts)
	for len(kept) >= MaxAttemptsKept {
		oldest := slices.IndexFunc(kept, func(a Attempt) bool { return a.Outcome != OutcomeRunning })
		kept = slices.Delete(kept, oldest, oldest+1) // there is one: at most MaxHolders run
	}
	return kept
}

func lostInARow(task *Task) int {
	count := 0
	for _, attempt := range slices.Backward(task.Attempts) {
		if attempt.Outcome != OutcomeLost {
			break
		}
		count++
	}
	return count
}

// passedInARow counts the latest attempts that a device's state alone has ended.
func passedInARow(task *Task) int {
	count := 0
	for _, attempt := range slices.Backward(task.Attempts) {
		if attempt.Outcome != OutcomeFailed || !attempt.Failure.Code.PassesWithDevice() {
			break
		}
		count++
	}
	return count
}
