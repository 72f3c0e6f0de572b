package job

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// encoding is a job of three chunks: one finished, one running, one waiting that
// has failed twice.
func encoding(t *testing.T) Record {
	t.Helper()
	plan := Plan{
		Timeline:    Timeline{Rate: Rational{30, 1}, Frames: 90, SegmentFrames: 30},
		Renditions:  []Rendition{{Name: "720p", Encoder: "h264_nvenc", CRF: 27}, {Name: "360p", Encoder: "h264_nvenc", CRF: 27}},
		DelayFrames: 2,
	}
	var err error
	if plan.Chunks, err = plan.Timeline.Cut([]int{1, 1, 1}); err != nil {
		t.Fatal(err)
	}
	r := Record{Job: &Job{ID: jobID, Status: Transcoding, Plan: &plan, Created: noon, Started: noon, Run: 1}}
	for _, task := range PlanTasks(jobID, Spec{}, plan) {
		r.Tasks = append(r.Tasks, &task)
	}
	inspect := Task{Job: jobID, ID: TaskID(InspectTask), Kind: InspectTask, State: TaskFinished}
	r.Tasks = append(r.Tasks, &inspect)
	for i := range 3 {
		task := r.Task(EncodeTaskID(i))
		task.Attempts = []Attempt{{Number: 3, Node: "n1", Encoder: "h264_nvenc", Outcome: OutcomeFinished}}
		switch i {
		case 0:
			task.State, task.Result = TaskFinished, &Result{}
		case 1:
			task.State, task.Attempts[0].Outcome = TaskRunning, OutcomeRunning
		case 2:
			task.Failures, task.Attempts[0].Outcome = 2, OutcomeFailed
		}
	}
	return r
}

var toSoftware = EncoderChange{
	From: "h264_nvenc", To: "libx264", CRF: map[string]float64{"720p": 23, "360p": 23}, DelayFrames: 2, Reason: "the GPU fell off the bus",
}

func TestChangedEncoderMakesAllChunksAgain(t *testing.T) {
	before := encoding(t)
	change, err := before.ChangeEncoder(toSoftware, noon.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	after := apply(before, change)
	for _, rendition := range after.Job.Plan.Renditions {
		if rendition.Encoder != "libx264" || rendition.CRF != 23 {
			t.Errorf("%s is made by %s at %g", rendition.Name, rendition.Encoder, rendition.CRF)
		}
	}
	if warnings := strings.Join(after.Job.Plan.Warnings, ""); !strings.Contains(warnings, "fell off the bus") || !strings.Contains(warnings, "libx264") {
		t.Errorf("warnings are %q", warnings)
	}
	for i := range 3 {
		task := after.Task(EncodeTaskID(i))
		if task.State != TaskWaiting || task.Result != nil || task.Failures != 0 || task.NextAttempt() != 4 {
			t.Errorf("chunk %d is %s with %d failures, next attempt %d", i, task.State, task.Failures, task.NextAttempt())
		}
	}
	if stopped := after.Task(EncodeTaskID(1)).Last(); stopped.Outcome != OutcomeStopped || stopped.Failure == nil {
		t.Errorf("the running attempt ended as %+v", stopped)
	}
	late := Ref{Job: jobID, Task: EncodeTaskID(1), Attempt: 3}
	if _, err := after.Finish(late, Result{}, noon); !errors.Is(err, ErrFenced) {
		t.Errorf("the old attempt's result is taken: %v", err)
	}
	if before.Job.Plan.Renditions[0].Encoder != "h264_nvenc" || before.Task(EncodeTaskID(0)).State != TaskFinished {
		t.Error("the record from before has changed")
	}
	if after.Task(TaskID(InspectTask)).State != TaskFinished {
		t.Error("the source would be inspected again")
	}
}

func TestEncoderIsChangedOnlyWhereItIsInUse(t *testing.T) {
	record := encoding(t)
	other := toSoftware
	other.From = "h264_qsv"
	if _, err := record.ChangeEncoder(other, noon); !errors.Is(err, ErrTransition) {
		t.Errorf("got %v", err)
	}
	change, err := record.ChangeEncoder(toSoftware, noon)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := apply(record, change).ChangeEncoder(toSoftware, noon); !errors.Is(err, ErrTransition) {
		t.Errorf("a second time: %v", err)
	}
	// A package task that runs has all it needs; it would complete the job over the
	// encodes that are queued again.
	packaging := record
	packaging.Tasks = nil
	for _, task := range record.Tasks {
		copied := *task
		if copied.State = TaskFinished; copied.Kind == PackageTask {
			copied.State = TaskRunning
			copied.Attempts = []Attempt{{Number: 1, Node: "n1", Outcome: OutcomeRunning}}
		}
		packaging.Tasks = append(packaging.Tasks, &copied)
	}
	if _, err := packaging.ChangeEncoder(toSoftware, noon); !errors.Is(err, ErrTransition) {
		t.Errorf("while it is packaged: %v", err)
	}
	ended := *record.Job
	ended.Status = Completed
	if _, err := (Record{Job: &ended, Tasks: record.Tasks}).ChangeEncoder(toSoftware, noon); !errors.Is(err, ErrTransition) {
		t.Errorf("a completed job: %v", err)
	}
}
