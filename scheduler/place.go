package scheduler

import (
	"cmp"
	"slices"
	"time"

	"millrace/hwaccel"
	"millrace/job"
)

// Task is a waiting task that is ready to run.
type Task struct {
	Job     job.ID
	Task    job.TaskID
	Attempt int // the number that its next attempt gets
	Kind    job.TaskKind
	// Priority and Queued order the jobs; the tasks of a job are ordered by Work.
	Priority int
	Queued   time.Time
	// Work is an estimate of how much there is to do, in pixels to encode.
	Work int64
	// Encoders are what the task can be encoded with, best first; none if it
	// encodes nothing.
	Encoders []string
	// Need is the room that it takes up with one thread.
	Need hwaccel.Room
	// Divisible tasks go faster with more than one thread.
	Divisible bool
	// FailedOn are nodes where the task failed: others are tried first.
	FailedOn []string
}

// Node is a peer that works.
type Node struct {
	ID      string
	Session string
	// Draining nodes get nothing new.
	Draining bool
	Devices  []Device
}

// Device is one of a node's devices, with the room that is free on it.
type Device struct {
	Profile hwaccel.Profile
	Free    hwaccel.Room
}

// Input is all that a decision rests on.
type Input struct {
	Waiting []Task
	Nodes   []Node
}

// Assignment gives a task to a node.
type Assignment struct {
	Job job.ID
	job.Assignment
}

// Place decides which waiting tasks start now, and where. Tasks that nothing
// has room for are left out: they wait.
func Place(in Input) []Assignment {
	rack := newRack(in.Nodes)
	waiting := order(in.Waiting)
	var placed []Assignment
	for _, task := range waiting {
		spot, encoder := rack.choose(task)
		if spot == nil {
			continue
		}
		spot.free = spot.free.Minus(task.Need)
		placed = append(placed, Assignment{Job: task.Job, Assignment: job.Assignment{
			Task: task.Task, Attempt: task.Attempt, Node: spot.node.ID, Session: spot.node.Session,
			Device: spot.profile.Device.ID, Encoder: encoder, Threads: task.Need.Threads,
		}})
		spot.placed = append(spot.placed, len(placed)-1)
		spot.divisible = append(spot.divisible, task.Divisible)
	}
	if len(placed) == len(waiting) {
		rack.shareRest(placed)
	}
	return placed
}

// order sorts by priority, then by the job's time in the queue, then, within a
// job, the largest task first: what is left at the end is then small, and the
// devices finish together.
func order(waiting []Task) []Task {
	return slices.SortedFunc(slices.Values(waiting), func(a, b Task) int {
		return cmp.Or(
			cmp.Compare(b.Priority, a.Priority),
			a.Queued.Compare(b.Queued),
			cmp.Compare(a.Job, b.Job),
			cmp.Compare(b.Work, a.Work),
			cmp.Compare(a.Task, b.Task),
		)
	})
}
