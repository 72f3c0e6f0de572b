package cluster

import (
	"fmt"
	"time"

	"millrace/job"
)

// The most that limits can be: bounds that nobody reaches, so that a slip of the
// hand is refused.
const (
	minWeight, maxWeight = 0.01, 100
	maxLimit             = 1_000_000_000
)

func (l Limits) valid() bool {
	for _, n := range []int{l.MaxRunning, l.MaxQueued, l.MinutesPerDay} {
		if n < 0 || n > maxLimit {
			return false
		}
	}
	return l.Weight == 0 || l.Weight >= minWeight && l.Weight <= maxWeight
}

func (c SetLimits) apply(t *tx) (any, error) {
	old, ok := first[*Organisation](t.txn, tableOrganisations, indexID, c.Org)
	if !ok {
		return nil, fmt.Errorf("organisation %q: %w", c.Org, ErrNotFound)
	}
	if !c.Limits.valid() {
		return nil, ErrLimits
	}
	limited := *old
	limited.Limits = c.Limits
	if limited.Use == nil {
		limited.Use = &DayUse{Day: dayOf(c.At)}
		t.letGoOn(c.Org)
	}
	t.put(tableOrganisations, &limited)
	return &limited, nil
}

// letGoOn takes an organisation's jobs that are being encoded for counted.
func (t *tx) letGoOn(org string) {
	var encoding []job.Record
	for row := range scan[*jobRow](t.txn, tableJobs, indexUnsettled, nil) {
		if row.job.Org == org && row.job.Status == job.Transcoding && begun(row.tasks) {
			encoding = append(encoding, row.record())
		}
	}
	for _, record := range encoding {
		t.change(record, job.Change{Job: metered(record.Job)})
	}
}

func begun(tasks []*job.Task) bool {
	for _, task := range tasks {
		if task.Kind.Encodes() && len(task.Attempts) > 0 {
			return true
		}
	}
	return false
}

func metered(j *job.Job) *job.Job {
	copied := *j
	copied.MeteredRun = j.Run
	return &copied
}

// meter counts a job's video when the first of a run's tasks that encode starts.
// Whether there was room for it that day is the leader's to see to: what it has
// decided isn't refused, since another leader may have set other limits between.
func (t *tx) meter(record job.Record, start job.TaskID, change *job.Change, at time.Time) {
	if record.Job.MeteredRun == record.Job.Run || record.Job.Plan == nil || !record.Task(start).Kind.Encodes() {
		return
	}
	owner, ok := first[*Organisation](t.txn, tableOrganisations, indexID, record.Job.Org)
	if !ok || owner.Use == nil {
		return
	}
	counted, use := *owner, *owner.Use
	if day := dayOf(at); use.Day < day {
		use = DayUse{Day: day}
	}
	use.Video += record.Job.Plan.Timeline.Duration()
	counted.Use = &use
	t.put(tableOrganisations, &counted)
	if change.Job == nil {
		change.Job = record.Job
	}
	change.Job = metered(change.Job)
}

// roomInQueue says whether an organisation may have one more job that waits.
func (t *tx) roomInQueue(org string) error {
	owner, ok := first[*Organisation](t.txn, tableOrganisations, indexID, org)
	if ok && owner.MaxQueued > 0 && tallyOf(t.txn, org).Queued >= owner.MaxQueued {
		return fmt.Errorf("%w: %d", ErrQueueFull, owner.MaxQueued)
	}
	return nil
}
