package cluster

import (
	"fmt"
	"slices"
	"time"

	"millrace/job"
)

func (c CreateJob) apply(t *tx) (any, error) {
	if err := t.requireOrganisation(c.Org); err != nil {
		return nil, err
	}
	if c.IdempotencyKey != "" {
		if earlier, ok := earlierUse(t.txn, c.Org, c.IdempotencyKey, c.At); ok {
			if earlier.RequestHash != c.RequestHash {
				return nil, ErrIdempotencyConflict
			}
			record, err := t.jobOf(c.Org, earlier.Job)
			if err != nil {
				return nil, err
			}
			return record.Job, nil
		}
	}
	if record, ok := t.record(c.ID); ok {
		// The same command again: a proposer that never heard the first answer.
		if record.Job.Org == c.Org && record.Job.Created.Equal(c.At) {
			return record.Job, nil
		}
		return nil, fmt.Errorf("job %s: %w", c.ID, ErrExists)
	}
	if err := t.outputFree(c.Spec.Output, c.ID); err != nil {
		return nil, err
	}
	if err := t.roomInQueue(c.Org); err != nil {
		return nil, err
	}
	created := t.change(job.Record{}, job.New(c.ID, c.Org, c.Spec, c.At))
	if c.IdempotencyKey != "" {
		t.put(tableIdempotency, &idempotencyRow{
			Org: c.Org, Key: c.IdempotencyKey, RequestHash: c.RequestHash, Job: c.ID, At: c.At,
		})
	}
	return created, nil
}

// earlierUse finds the submission that one under the same key at a time repeats.
func earlierUse(txn *transaction, org, key string, at time.Time) (*idempotencyRow, bool) {
	earlier, ok := first[*idempotencyRow](txn, tableIdempotency, indexID, idempotencyKey(org, key))
	return earlier, ok && at.Sub(earlier.At) < IdempotencyWindow
}

// version implements versioned: a peer that doesn't know what a job may require
// would lose that from its state, and as a leader run the job anywhere.
func (c CreateJob) version() int {
	if c.Spec.Placed() {
		return 5
	}
	return 1
}

// version implements versioned: before version 3 only one attempt could hold a task.
func (c StartAttempts) version() int {
	if slices.ContainsFunc(c.Assignments, func(a JobAssignment) bool { return a.BackupOf != 0 }) {
		return 3
	}
	return 1
}

func (c StartAttempts) apply(t *tx) (any, error) {
	started := []job.Ref{}
	for _, a := range c.Assignments {
		record, ok := t.record(a.Job)
		if !ok {
			continue
		}
		change, err := record.Start(a.Assignment, c.At)
		if err != nil {
			continue // out of date
		}
		t.meter(record, a.Task, &change, c.At)
		t.change(record, change)
		started = append(started, job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt})
	}
	return started, nil
}

// version implements versioned: before version 6 a leader took all of a job's renditions
// to be made by the encoder of the first.
func (c PlanJob) version() int {
	if c.Plan.InParts() {
		return 6
	}
	return 1
}

func (c PlanJob) apply(t *tx) (any, error) {
	record, err := t.reported(c.Ref)
	if err != nil {
		return nil, err
	}
	if err := c.Plan.Timeline.Validate(); err != nil {
		return nil, fmt.Errorf("plan job %s: %w", c.Ref.Job, err)
	}
	change, err := record.Adopt(c.Ref, c.Plan, c.Tasks, c.At)
	if err != nil {
		return nil, err
	}
	t.change(record, change)
	return nil, nil
}

func (c FinishTask) apply(t *tx) (any, error) {
	record, err := t.reported(c.Ref)
	if err != nil {
		return nil, err
	}
	if task := record.Task(c.Ref.Task); task != nil && task.Kind == job.InspectTask && task.State == job.TaskRunning {
		return nil, fmt.Errorf("finish %s without its plan, which PlanJob brings: %w", c.Ref, job.ErrTransition)
	}
	change, err := record.Spent(c.Ref, c.EnergyJoules).Finish(c.Ref, c.Result, c.At)
	if err != nil {
		return nil, err
	}
	t.change(record, change)
	return nil, nil
}

func (c FailTask) apply(t *tx) (any, error) {
	record, err := t.reported(c.Ref)
	if err != nil {
		return nil, err
	}
	change, err := record.Spent(c.Ref, c.EnergyJoules).Fail(c.Ref, c.Failure, c.LastWords, c.Redo, c.At)
	if err != nil {
		return nil, err
	}
	t.change(record, change)
	return nil, nil
}

func (c LoseAttempts) apply(t *tx) (any, error) {
	if c.Outcome != job.OutcomeLost && c.Outcome != job.OutcomeStopped {
		return nil, fmt.Errorf("lose attempts as %q: only %s and %s are known", c.Outcome, job.OutcomeLost, job.OutcomeStopped)
	}
	for _, ref := range c.Refs {
		record, ok := t.record(ref.Job)
		if !ok {
			continue
		}
		change, err := record.Lose(ref, c.Outcome, c.Reason, c.At)
		if err != nil {
			continue // out of date
		}
		t.change(record, change)
	}
	return nil, nil
}

// version implements versioned: before version 3 there was no change to an encoder
// of the same name.
func (c ChangeEncoder) version() int {
	if c.Change.From == c.Change.To {
		return 3
	}
	return 1
}

func (c ChangeEncoder) apply(t *tx) (any, error) {
	record, ok := t.record(c.Job)
	if !ok {
		return nil, fmt.Errorf("change the encoder of %s: %w", c.Job, ErrNotFound)
	}
	change, err := record.ChangeEncoder(c.Change, c.At)
	if err != nil {
		return nil, err
	}
	t.change(record, change)
	return nil, nil
}

// reported finds the job that a report is of. One that is forgotten has no
// attempt that could hold anything.
func (t *tx) reported(ref job.Ref) (job.Record, error) {
	record, ok := t.record(ref.Job)
	if !ok {
		return job.Record{}, fmt.Errorf("report of %s: %w", ref, job.ErrFenced)
	}
	return record, nil
}

func (c CancelJob) apply(t *tx) (any, error) {
	record, err := t.jobOf(c.Org, c.ID)
	if err != nil {
		return nil, err
	}
	change, err := record.Cancel(c.At)
	if err != nil {
		return nil, err
	}
	return t.change(record, change), nil
}

func (c RetryJob) apply(t *tx) (any, error) {
	record, err := t.jobOf(c.Org, c.ID)
	if err != nil {
		return nil, err
	}
	change, err := record.Retry(c.Resolutions, c.At)
	if err != nil {
		return nil, err
	}
	if err := t.outputFree(record.Job.Spec.Output, c.ID); err != nil {
		return nil, err
	}
	if err := t.roomInQueue(c.Org); err != nil {
		return nil, err
	}
	return t.change(record, change), nil
}
