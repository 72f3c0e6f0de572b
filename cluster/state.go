package cluster

import (
	"iter"
	"maps"
	"slices"
	"time"

	"millrace/job"
)

// view implements View on an immutable snapshot of the tables.
type view struct {
	db        *database
	proposals []proposalRow
	journal   *journal // knows this state's changes, and later ones
	index     uint64
	changed   chan struct{}
}

var _ View = (*view)(nil)

func (v *view) txn() *transaction { return v.db.Read() }

func (v *view) Index() uint64 { return v.index }

func (v *view) Changed() <-chan struct{} { return v.changed }

func (v *view) Organisation(id string) (*Organisation, bool) {
	return first[*Organisation](v.txn(), tableOrganisations, indexID, id)
}

func (v *view) KeyByHash(sha256 []byte) (*Key, bool) {
	return first[*Key](v.txn(), tableKeys, indexHash, sha256)
}

func (v *view) Keys(org string) []*Key {
	return slices.Collect(scan[*Key](v.txn(), tableKeys, indexOrg, part(nil, org)))
}

func (v *view) Job(org string, id job.ID) (*job.Job, bool) {
	row, ok := first[*jobRow](v.txn(), tableJobs, indexID, id)
	if !ok || row.job.Org != org {
		return nil, false
	}
	return row.job, true
}

func (v *view) Repeats(org, idempotencyKey string, at time.Time) bool {
	_, repeats := earlierUse(v.txn(), org, idempotencyKey, at)
	return repeats
}

func (v *view) Record(id job.ID) (job.Record, bool) {
	return (&tx{txn: v.txn()}).record(id)
}

func (v *view) Jobs(org string) iter.Seq[*job.Job] {
	return func(yield func(*job.Job) bool) {
		for row := range scan[*jobRow](v.txn(), tableJobs, indexOrg, part(nil, org)) {
			if !yield(row.job) {
				return
			}
		}
	}
}

func (v *view) Unsettled() iter.Seq[job.Record] {
	return func(yield func(job.Record) bool) {
		for row := range scan[*jobRow](v.txn(), tableJobs, indexUnsettled, nil) {
			if !yield(row.record()) {
				return
			}
		}
	}
}

func (v *view) UnsettledRecord(id job.ID) (job.Record, bool) {
	row, found := first[*jobRow](v.txn(), tableJobs, indexID, id)
	if !found || !row.unsettled {
		return job.Record{}, false
	}
	return row.record(), true
}

func (v *view) ChangedJobs(after uint64) (changed []*job.Job, gone []job.ID, known bool) {
	ids, known := v.journal.between(after, v.index)
	for _, id := range ids {
		if row, is := first[*jobRow](v.txn(), tableJobs, indexID, id); is {
			changed = append(changed, row.job)
		} else {
			gone = append(gone, id)
		}
	}
	return changed, gone, known
}

func (v *view) Webhook(org, id string) (*Webhook, bool) {
	return first[*Webhook](v.txn(), tableWebhooks, indexID, webhookKey(org, id))
}

func (v *view) Webhooks(org string) []*Webhook {
	return slices.Collect(scan[*Webhook](v.txn(), tableWebhooks, indexOrg, part(nil, org)))
}

func (v *view) Outbox() iter.Seq[*Event] {
	return scan[*Event](v.txn(), tableEvents, indexOutbox, nil)
}

func (v *view) Deliveries(org, webhook string) iter.Seq[*Event] {
	return scan[*Event](v.txn(), tableEvents, indexWebhook, webhookKey(org, webhook))
}

func (v *view) NodeState(id string) (NodeState, bool) {
	row, ok := first[*NodeState](v.txn(), tableNodes, indexID, part(nil, id))
	if !ok {
		return NodeState{}, false
	}
	return *row, true
}

func (v *view) Organisations() []*Organisation {
	return slices.Collect(scan[*Organisation](v.txn(), tableOrganisations, indexID, nil))
}

func (v *view) Tally(org string) Tally { return tallyOf(v.txn(), org) }

func (v *view) NodeStates() []NodeState {
	states := []NodeState{}
	for row := range scan[*NodeState](v.txn(), tableNodes, indexID, nil) {
		states = append(states, *row)
	}
	return states
}

func (v *view) Counts() map[job.Status]int {
	counts := make(map[job.Status]int, len(job.Statuses))
	for _, status := range job.Statuses {
		counts[status] = 0
	}
	maps.Copy(counts, metaOf(v.txn()).Jobs)
	return counts
}
