package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"millrace/job"
)

// tx is a batch's hold on the state, for one command after the other: reads see what
// the earlier ones wrote. Write errors are bugs (a row of the wrong type); they are
// kept and stop the machine after the command.
type tx struct {
	txn       *transaction
	counts    *counts
	proposals *proposals
	jobs      []job.ID // whose records the batch put or removed
	index     uint64   // raft index of the command
	wrote     bool     // by the command
	err       error
}

func (t *tx) put(table string, row any) {
	t.wrote = true
	if err := t.txn.Insert(table, row); err != nil && t.err == nil {
		t.err = fmt.Errorf("write a row of %s: %w", table, err)
	}
}

func (t *tx) remove(table string, row any) {
	t.wrote = true
	if err := t.txn.Delete(table, row); err != nil && t.err == nil {
		t.err = fmt.Errorf("delete a row of %s: %w", table, err)
	}
}

// scanFirst collects the first rows of an index: at most limit.
func scanFirst[Row any](txn *transaction, table, index string, limit int, wanted func(Row) bool) []Row {
	var rows []Row
	for row := range scan[Row](txn, table, index, nil) {
		if len(rows) == limit || !wanted(row) {
			break
		}
		rows = append(rows, row)
	}
	return rows
}

func (t *tx) requireOrganisation(id string) error {
	if _, ok := first[*Organisation](t.txn, tableOrganisations, indexID, id); !ok {
		return fmt.Errorf("organisation %q: %w", id, ErrNotFound)
	}
	return nil
}

func (t *tx) record(id job.ID) (job.Record, bool) {
	row, ok := first[*jobRow](t.txn, tableJobs, indexID, id)
	if !ok {
		return job.Record{}, false
	}
	return row.record(), true
}

// jobOf finds a job of an organisation.
func (t *tx) jobOf(org string, id job.ID) (job.Record, error) {
	record, ok := t.record(id)
	if !ok || record.Job.Org != org {
		return job.Record{}, fmt.Errorf("job %s: %w", id, ErrNotFound)
	}
	return record, nil
}

// outputFree says whether no unsettled job but except writes to the output.
func (t *tx) outputFree(output job.Location, except job.ID) error {
	for row := range scan[*jobRow](t.txn, tableJobs, indexOutput, part(nil, outputKey(output))) {
		if row.job.ID != except {
			return ErrOutputInUse
		}
	}
	return nil
}

// counts is the meta row while a batch is applied: nearly every command
// changes it, so it is written once, at the batch's end.
type counts struct {
	metaRow
	changed bool
}

func countsOf(txn *transaction) *counts {
	c := &counts{metaRow: metaOf(txn)}
	c.Jobs = maps.Clone(c.Jobs)
	if c.Jobs == nil {
		c.Jobs = map[job.Status]int{}
	}
	return c
}

func (c *counts) store(txn *transaction) error {
	if !c.changed {
		return nil
	}
	if err := txn.Insert(tableMeta, &c.metaRow); err != nil {
		return fmt.Errorf("write the counts: %w", err)
	}
	return nil
}

func metaOf(txn *transaction) metaRow {
	if row, ok := first[*metaRow](txn, tableMeta, indexID, []byte{0}); ok {
		return *row
	}
	return metaRow{}
}

// change stores what a command did to a job, and with a new status the events
// that tell of it. old is empty for a new job.
func (t *tx) change(old job.Record, change job.Change) *job.Job {
	changed := change.Job
	if changed == nil {
		copied := *old.Job
		changed = &copied
	}
	changed.Revision = t.index
	t.putRecord(job.Record{Job: changed, Tasks: mergeTasks(old.Tasks, change)})
	switch {
	case old.Job == nil:
		t.count(changed.Org, "", changed.Status)
	case old.Job.Status != changed.Status:
		t.count(changed.Org, old.Job.Status, changed.Status)
		t.announce(changed)
	}
	return changed
}

func (t *tx) putRecord(record job.Record) {
	row, err := newJobRow(record)
	if err != nil {
		t.wrote, t.err = true, err
		return
	}
	t.put(tableJobs, row)
	t.jobs = append(t.jobs, row.job.ID)
}

func (t *tx) removeRecord(row *jobRow) {
	t.remove(tableJobs, row)
	t.jobs = append(t.jobs, row.job.ID)
}

// mergeTasks puts a change's tasks in the place of those with the same ID.
func mergeTasks(old []*job.Task, change job.Change) []*job.Task {
	if len(old) == 0 && len(change.Tasks) == 1 && len(change.Removed) == 0 {
		return change.Tasks // a new job's
	}
	tasks := slices.Clone(old)
	for _, task := range change.Tasks {
		if i, found := slices.BinarySearchFunc(tasks, task.ID, compareTask); found {
			tasks[i] = task
		} else {
			tasks = slices.Insert(tasks, i, task)
		}
	}
	return slices.DeleteFunc(tasks, func(task *job.Task) bool { return slices.Contains(change.Removed, task.ID) })
}

func compareTask(task *job.Task, id job.TaskID) int {
	switch {
	case task.ID < id:
		return -1
	case task.ID > id:
		return 1
	}
	return 0
}

// count moves one of an organisation's jobs between the statuses' counts; "" is
// outside.
func (t *tx) count(org string, from, to job.Status) {
	t.wrote, t.counts.changed = true, true
	before := tallyOf(t.txn, org)
	tally := before
	if from != "" {
		t.counts.Jobs[from]--
		tally.add(from, -1)
	}
	if to != "" {
		t.counts.Jobs[to]++
		tally.add(to, 1)
	}
	if tally != before {
		t.putTally(org, tally)
	}
}

// putTally stores a tally that has changed.
func (t *tx) putTally(org string, tally Tally) {
	if tally == (Tally{}) {
		t.remove(tableTallies, &tallyRow{org: org})
		return
	}
	t.put(tableTallies, &tallyRow{org, tally})
}

func tallyOf(txn *transaction, org string) Tally {
	if row, ok := first[*tallyRow](txn, tableTallies, indexID, org); ok {
		return row.Tally
	}
	return Tally{}
}

func (t *Tally) add(status job.Status, n int) {
	switch status {
	case job.Queued:
		t.Queued += n
	case job.Transcoding:
		t.Running += n
	}
}

// announce writes a job's new status into the outbox, once for each of its
// organisation's webhooks. A paused webhook's events wait until it is put again.
func (t *tx) announce(changed *job.Job) {
	for webhook := range scan[*Webhook](t.txn, tableWebhooks, indexOrg, part(nil, changed.Org)) {
		t.wrote, t.counts.changed = true, true
		t.counts.LastEvent++
		t.put(tableEvents, &Event{
			Number: t.counts.LastEvent, ID: "evt_" + strconv.FormatUint(t.counts.LastEvent, 10),
			Org: changed.Org, Webhook: webhook.ID, Job: forEvent(changed),
		})
	}
}

// forEvent copies a job without what no receiver is told: an event outlives
// many changes of its job, and a film's chunks are the largest part of it.
func forEvent(j *job.Job) *job.Job {
	copied := *j
	copied.Spec.Input.Sealed, copied.Spec.Output.Sealed = nil, nil
	if j.Plan != nil {
		plan := *j.Plan
		plan.Chunks = nil
		copied.Plan = &plan
	}
	return &copied
}
