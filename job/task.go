package job

import (
	"fmt"
	"iter"
	"time"
)

// TaskKind is what a task does.
type TaskKind string

// The kinds of task. Inspect comes first and makes the others; Package waits
// for all others; Cleanup removes what a cancelled job wrote.
const (
	InspectTask    TaskKind = "inspect"
	EncodeTask     TaskKind = "encode"
	AudioTask      TaskKind = "audio"
	ThumbnailsTask TaskKind = "thumbnails"
	PackageTask    TaskKind = "package"
	CleanupTask    TaskKind = "cleanup"
)

// Encodes says whether such tasks make pictures or sound of the source: what an
// organisation's minutes of video are for.
func (k TaskKind) Encodes() bool { return k == EncodeTask || k == AudioTask || k == ThumbnailsTask }

// TaskID names a task within its job: "inspect", "encode-00003", "audio", …
type TaskID string

// EncodeTaskID names the encode task of a chunk.
func EncodeTaskID(chunk int) TaskID { return TaskID(fmt.Sprintf("encode-%05d", chunk)) }

// encodeGroupID names the encode task of a group of a chunk's renditions, of which
// the first is 1. Sorted by name, tasks are in the order of their chunks.
func encodeGroupID(chunk, group int) TaskID {
	return TaskID(fmt.Sprintf("%s-%d", EncodeTaskID(chunk), group))
}

// Ref names one attempt in the whole cluster: the lease's name and the fence.
type Ref struct {
	Job     ID     `json:"job"`
	Task    TaskID `json:"task"`
	Attempt int    `json:"attempt"`
}

func (r Ref) String() string { return fmt.Sprintf("%s/%s#%d", r.Job, r.Task, r.Attempt) }

// Task is one piece of a job's work.
type Task struct {
	Job   ID        `json:"job"`
	ID    TaskID    `json:"id"`
	Kind  TaskKind  `json:"kind"`
	State TaskState `json:"state"`
	// Chunk and Renditions say what an encode task makes.
	Chunk      *Chunk   `json:"chunk,omitempty"`
	Renditions []string `json:"renditions,omitempty"`
	// Attempts has the latest MaxAttemptsKept, oldest first.
	Attempts []Attempt `json:"attempts,omitempty"`
	// Failures counts attempts that failed in the job's present run; an
	// attempt lost with its node doesn't count.
	Failures int     `json:"failures,omitempty"`
	Result   *Result `json:"result,omitempty"`
}

// MaxAttemptsKept bounds a task's memory of its attempts.
const MaxAttemptsKept = 12

// Outcome is how an attempt ended.
type Outcome string

// How an attempt can end; OutcomeRunning while it hasn't.
const (
	OutcomeRunning  Outcome = "running"
	OutcomeFinished Outcome = "finished"
	OutcomeFailed   Outcome = "failed"
	OutcomeLost     Outcome = "lost"    // its node died or restarted
	OutcomeStopped  Outcome = "stopped" // the job was cancelled, failed, the node drained, or another attempt was first
)

// Attempt is one try of a task.
type Attempt struct {
	Number int `json:"number"`
	// BackupOf is the attempt beside which this one was started, since that was
	// slow; 0 of all others. Whichever finishes first counts.
	BackupOf int    `json:"backup_of,omitempty"`
	Node     string `json:"node"`
	// Session is the run of the node's process that holds the attempt: a
	// restarted process holds none of its forerunner's.
	Session string    `json:"session"`
	Device  string    `json:"device"`
	Encoder string    `json:"encoder,omitempty"`
	Headers string    `json:"headers,omitempty"` // see Assignment
	Threads int       `json:"threads,omitempty"` // CPU threads taken up
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	Outcome Outcome   `json:"outcome"`
	Failure *Failure  `json:"failure,omitempty"`
	// LastWords is the end of the log of an ffmpeg that failed.
	LastWords string `json:"last_words,omitempty"`
	// FramesPerSecond is the encode's speed over the attempt, 0 if it encoded nothing.
	FramesPerSecond float64 `json:"frames_per_second,omitempty"`
	// EnergyJoules is the attempt's part of what its node's devices drew (see
	// docs/hardware.md), and JoulesPerVideoMinute the same for each minute of the
	// video that it was for. Both are absent where the node can't read it.
	EnergyJoules         float64 `json:"energy_joules,omitempty"`
	JoulesPerVideoMinute float64 `json:"joules_per_video_minute,omitempty"`
}

// Last is the task's latest attempt, nil if there was none.
func (t *Task) Last() *Attempt {
	if len(t.Attempts) == 0 {
		return nil
	}
	return &t.Attempts[len(t.Attempts)-1]
}

// NextAttempt is the number that the task's next attempt gets.
func (t *Task) NextAttempt() int {
	if last := t.Last(); last != nil {
		return last.Number + 1
	}
	return 1
}

// MaxHolders is how many attempts of a task can run at once: one, and its backup.
const MaxHolders = 2

// Holders are the attempts that hold the task, oldest first: none of a task that
// isn't Held, else one, or MaxHolders where a slow one has a backup.
func (t *Task) Holders() iter.Seq[*Attempt] {
	return func(yield func(*Attempt) bool) {
		for i := range t.Attempts {
			if t.Attempts[i].Outcome == OutcomeRunning && !yield(&t.Attempts[i]) {
				return
			}
		}
	}
}

// Holder is the attempt of a number, if it holds the task; nil if not.
func (t *Task) Holder(number int) *Attempt {
	for attempt := range t.Holders() {
		if attempt.Number == number {
			return attempt
		}
	}
	return nil
}

// Held says whether some node may still be working on the task.
func (t *Task) Held() bool { return t.State == TaskRunning || t.State == TaskStopping }

// Result is what a finished attempt reports. Which fields are set depends on
// the task's kind.
type Result struct {
	Plan      *Plan       `json:"plan,omitempty"`      // inspect
	Tracks    []Track     `json:"tracks,omitempty"`    // encode, audio
	Published []Published `json:"published,omitempty"` // package
	Objects   []Object    `json:"objects,omitempty"`   // thumbnails
	Warnings  []string    `json:"warnings,omitempty"`
	// FramesPerSecond is how fast the attempt encoded, 0 if it encoded nothing.
	FramesPerSecond float64 `json:"frames_per_second,omitempty"`
}

// Object is a thing written to the output store.
type Object struct {
	Name string `json:"name"` // under the output path
	Size int64  `json:"size"` // bytes
	// SHA256 is of the bytes as written, hex.
	SHA256 string `json:"sha256"`
	// ETag is what the store called this version, "" where it has none.
	ETag string `json:"etag,omitempty"`
}

// Track is the segments that one task made of one rendition or audio track.
type Track struct {
	// Name is the rendition's or audio track's name.
	Name string `json:"name"`
	// Codec is the RFC 6381 string found in the bitstream ("avc1.64001f").
	Codec string `json:"codec"`
	// Init describes the init segment that these segments need. Every chunk
	// of a rendition must report the same SHA256; the task of the first chunk writes it.
	Init Object `json:"init"`
	// Timescale is the ticks per second of Segment.Duration.
	Timescale int64     `json:"timescale"`
	Segments  []Segment `json:"segments"`
}

// Segment is one CMAF media segment as it lies in the output store.
type Segment struct {
	Object
	Number   int   `json:"number"`   // within the track, from 1: the number in its name
	Samples  int64 `json:"samples"`  // frames of video, access units of audio
	Duration int64 `json:"duration"` // in Track.Timescale ticks
}
