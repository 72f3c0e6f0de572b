package node

import (
	"time"

	"millrace/hwaccel"
	"millrace/job"
)

// Report is what a worker tells the leader with each poll.
type Report struct {
	Node string `json:"node"`
	// Session names this run of the worker's process; a restarted worker has
	// none of the attempts that its forerunner held.
	Session string `json:"session"`
	// Draining workers take nothing new.
	Draining bool `json:"draining,omitempty"`
	// Closed says why the worker takes nothing new by its own settings (it is
	// outside its work hours), for people; empty if it does.
	Closed string `json:"closed,omitempty"`
	// Labels and Taints are those that the node's operator gave it (see
	// scheduler.Node).
	Labels   []string          `json:"labels,omitempty"`
	Taints   []string          `json:"taints,omitempty"`
	Profiles []hwaccel.Profile `json:"profiles"`
	Running  []Running         `json:"running,omitempty"`
	// Ended are attempts that the leader has not yet acknowledged.
	Ended []Ended `json:"ended,omitempty"`
	// Wait is how long the leader may wait for something to order.
	Wait time.Duration `json:"wait"`
}

// Running is an attempt under way.
type Running struct {
	Ref job.Ref `json:"ref"`
	// Frames of the timeline that it has encoded so far.
	Frames          int64   `json:"frames"`
	FramesPerSecond float64 `json:"frames_per_second,omitempty"`
}

// Ended is an attempt that came to its end, with exactly one of Result,
// Failure and Stopped.
type Ended struct {
	Ref       job.Ref      `json:"ref"`
	Result    *job.Result  `json:"result,omitempty"`
	Failure   *job.Failure `json:"failure,omitempty"`
	LastWords string       `json:"last_words,omitempty"`
	// EnergyJoules is what the attempt took of the node's devices, 0 where that
	// can't be read.
	EnergyJoules float64 `json:"energy_joules,omitempty"`
	// Redo are finished tasks whose output proved bad.
	Redo []job.TaskID `json:"redo,omitempty"`
	// Stopped attempts were stopped by order or gave their task back.
	Stopped bool `json:"stopped,omitempty"`
}

// Orders is the leader's answer.
type Orders struct {
	// Acknowledged are ended attempts that the worker can forget.
	Acknowledged []job.Ref `json:"acknowledged,omitempty"`
	Start        []Order   `json:"start,omitempty"`
	Stop         []job.Ref `json:"stop,omitempty"`
}

// Order is an attempt to run, with all that the worker needs to know.
type Order struct {
	Ref job.Ref `json:"ref"`
	// BackupOf is the attempt that this one is a backup of, 0 if it is none: a
	// backup writes nothing before the other has been stopped.
	BackupOf int       `json:"backup_of,omitempty"`
	Org      string    `json:"org"`
	Spec     job.Spec  `json:"spec"`
	Plan     *job.Plan `json:"plan,omitempty"`
	Task     job.Task  `json:"task"`
	Device   string    `json:"device"`
	Encoder  string    `json:"encoder,omitempty"`
	Threads  int       `json:"threads"`
	// Finished are the job's finished tasks with their results, for its package task.
	Finished []*job.Task `json:"finished,omitempty"`
}
