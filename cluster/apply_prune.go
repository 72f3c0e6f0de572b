package cluster

import (
	"slices"
	"time"

	"millrace/job"
)

// Pruned is how much a Prune command forgot.
type Pruned struct {
	Jobs            int `json:"jobs"`
	IdempotencyKeys int `json:"idempotency_keys"`
	Deliveries      int `json:"deliveries"`
}

// More says whether there may be more to forget at once: propose again.
func (p *Pruned) More() bool {
	return max(p.Jobs, p.IdempotencyKeys, p.Deliveries) >= maxPruned
}

// maxPruned bounds the rows of each kind that one Prune forgets, so that no
// command holds up the others for long. Propose again while an answer reaches it.
const maxPruned = 5000

func (c Prune) apply(t *tx) (any, error) {
	jobs := c.jobs(t)
	keys := scanFirst(t.txn, tableIdempotency, indexAge, maxPruned, func(row *idempotencyRow) bool {
		return row.At.Before(c.IdempotencyBefore)
	})
	events := c.events(t)
	for _, row := range keys {
		t.remove(tableIdempotency, row)
	}
	for _, row := range jobs {
		// A key whose job is forgotten stands for nothing any more.
		for _, key := range slices.Collect(scan[*idempotencyRow](t.txn, tableIdempotency, indexJob, part(nil, string(row.job.ID)))) {
			t.remove(tableIdempotency, key)
		}
		t.removeRecord(row)
		t.count(row.job.Org, row.job.Status, "")
	}
	for _, event := range events {
		t.remove(tableEvents, event)
	}
	return &Pruned{Jobs: len(jobs), IdempotencyKeys: len(keys), Deliveries: len(events)}, nil
}

// jobs lists the settled jobs to forget, the longest ended first.
func (c Prune) jobs(t *tx) []*jobRow {
	excess := 0
	if c.KeepJobs > 0 {
		for status, count := range t.counts.Jobs {
			if status.Terminal() {
				excess += count
			}
		}
		excess -= c.KeepJobs
	}
	seen := 0
	return scanFirst(t.txn, tableJobs, indexSettled, maxPruned, func(row *jobRow) bool {
		seen++
		return seen <= excess || row.job.Ended.Before(c.JobsBefore)
	})
}

// events lists the delivery records to forget: of events that are done, and of
// those that wait for a webhook that has been paused all that time, since
// nothing else would ever bound them. Numbers grow with time, so the first
// event of a later change ends the search.
func (c Prune) events(t *tx) []*Event {
	var events []*Event
	for event := range scan[*Event](t.txn, tableEvents, indexID, nil) {
		if len(events) == maxPruned || !changedAt(event.Job).Before(c.DeliveriesBefore) {
			break
		}
		if lastTouched(event).Before(c.DeliveriesBefore) && (event.Done || t.paused(event)) {
			events = append(events, event)
		}
	}
	return events
}

func (t *tx) paused(event *Event) bool {
	webhook, ok := first[*Webhook](t.txn, tableWebhooks, indexID, webhookKey(event.Org, event.Webhook))
	return !ok || webhook.Paused != ""
}

// lastTouched is when an event was last delivered or tried, or else written.
func lastTouched(event *Event) time.Time {
	if n := len(event.Deliveries); n > 0 {
		return event.Deliveries[n-1].At
	}
	return changedAt(event.Job)
}

// changedAt is when a job came to its status.
func changedAt(j *job.Job) time.Time { return latest(j.Created, j.Started, j.Ended) }

func latest(moments ...time.Time) time.Time { return slices.MaxFunc(moments, time.Time.Compare) }
