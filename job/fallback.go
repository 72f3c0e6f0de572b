package job

import (
	"fmt"
	"slices"
	"time"
)

// EncoderChange binds renditions of a job to another encoder, since theirs can't
// be used any more. All of a rendition's chunks are made by one encoder, so
// those that are finished are made again.
//
// To may be From where only the devices are gone whose headers the finished
// chunks have: then all are made again with whichever headers are first.
type EncoderChange struct {
	From string `json:"from"`
	To   string `json:"to"`
	// CRF is the quality on To's own scale, by rendition.
	CRF map[string]float64 `json:"crf"`
	// DelayFrames is the delay that To's segments need; the job's stays if it is
	// as long or longer.
	DelayFrames int64 `json:"delay_frames"`
	// Reason says, for people, why From can't be used.
	Reason string `json:"reason"`
}

// ChangeEncoder replaces an encoder in the plan and queues all encodes that were
// bound to it again, with their failures forgotten. An attempt under way loses
// its lease. It is refused (ErrTransition) when nothing of the plan is bound to
// the encoder any more, or the job has ended, or is being packaged: then all of
// it is encoded already.
func (r Record) ChangeEncoder(c EncoderChange, at time.Time) (Change, error) {
	if r.Job.Plan == nil || r.Job.Status != Transcoding {
		return Change{}, fmt.Errorf("change %s from %s to %s while it is %s: %w", r.Job.ID, c.From, c.To, r.Job.Status, ErrTransition)
	}
	if !r.all(func(t *Task) bool { return t.Kind != PackageTask || !t.Held() }) {
		return Change{}, fmt.Errorf("change %s from %s to %s while it is packaged: %w", r.Job.ID, c.From, c.To, ErrTransition)
	}
	plan := *r.Job.Plan
	plan.Renditions = slices.Clone(plan.Renditions)
	var names []string
	for i := range plan.Renditions {
		rendition := &plan.Renditions[i]
		if rendition.Encoder != c.From {
			continue
		}
		rendition.Encoder, rendition.CRF = c.To, c.CRF[rendition.Name]
		names = append(names, rendition.Name)
	}
	if len(names) == 0 {
		return Change{}, fmt.Errorf("change %s from %s, which makes none of its renditions: %w", r.Job.ID, c.From, ErrTransition)
	}
	plan.DelayFrames = max(plan.DelayFrames, c.DelayFrames)
	plan.Warnings = append(slices.Clone(plan.Warnings), fmt.Sprintf("%s made by %s: %s",
		renditionList(names), c.instead(), c.Reason))
	replanned := *r.Job
	replanned.Plan = &plan
	change := Change{Job: &replanned}
	for _, task := range r.Tasks {
		if task.Kind != EncodeTask || !task.makes(names) {
			continue
		}
		again, err := r.anew(task, c.Reason, at)
		if err != nil {
			return Change{}, err
		}
		change.Tasks = append(change.Tasks, again)
	}
	return change, nil
}

// anew puts an encode back in the queue as if it had never been tried, but for
// the numbers of its attempts, which go on.
func (r Record) anew(task *Task, reason string, at time.Time) (*Task, error) {
	again := task
	var err error
	if task.State == TaskRunning {
		copied := *task
		copied.Attempts = slices.Clone(task.Attempts)
		copied.supersede(Fail(HardwareUnavailable, "%s", reason), at)
		again = &copied
	}
	if again.State != TaskWaiting {
		if again, err = again.to(TaskWaiting); err != nil {
			return nil, err
		}
	}
	copied := *again
	copied.Failures, copied.Result = 0, nil
	return &copied, nil
}

// instead says what makes the renditions from now on.
func (c EncoderChange) instead() string {
	if c.From == c.To {
		return c.To + " on other devices, all of it again"
	}
	return c.To + " in place of " + c.From
}

func renditionList(names []string) string {
	switch len(names) {
	case 1:
		return names[0] + " is"
	default:
		return fmt.Sprintf("%d renditions are", len(names))
	}
}
