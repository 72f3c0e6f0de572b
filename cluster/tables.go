package cluster

import (
	"encoding/binary"
	"fmt"
	"time"

	"millrace/job"
)

// The tables of the state. A job and its tasks are one row: they change
// together, are read together, and are forgotten together.
const (
	tableOrganisations = "organisations"
	tableKeys          = "keys"
	tableJobs          = "jobs"
	tableWebhooks      = "webhooks"
	tableEvents        = "events"
	tableIdempotency   = "idempotency"
	tableNodes         = "nodes"
	tableExpelled      = "expelled"
	tableTallies       = "tallies" // derived: not in snapshots
	tableMeta          = "meta"
)

// The indexes besides each table's "id".
const (
	indexID        = "id"
	indexHash      = "hash"      // keys that aren't revoked, by the SHA-256 of their text
	indexOrg       = "org"       // an organisation's rows in the order they are listed
	indexUnsettled = "unsettled" // jobs that a leader looks at, oldest first
	indexSettled   = "settled"   // the others, the longest ended first
	indexOutput    = "output"    // unsettled jobs by their normalised output path
	indexOutbox    = "outbox"    // events that aren't done, by number
	indexWebhook   = "webhook"   // a webhook's events, newest first
	indexJob       = "job"       // idempotency keys by their job
	indexAge       = "age"       // idempotency keys, oldest first
)

// idempotencyRow is what an idempotency key stands for.
type idempotencyRow struct {
	Org         string    `json:"org"`
	Key         string    `json:"key"`
	RequestHash string    `json:"request_hash"`
	Job         job.ID    `json:"job"`
	At          time.Time `json:"at"`
}

// metaRow is the one row of the meta table.
type metaRow struct {
	// LastEvent is the number of the latest event.
	LastEvent uint64
	// Jobs counts the jobs in each status; derived.
	Jobs map[job.Status]int
}

// tallyRow counts an organisation's jobs that haven't ended; there is none for an
// organisation without any.
type tallyRow struct {
	org string
	Tally
}

// schema has the indexes of each table; the first is by the rows' IDs. Every index value ends in the row's ID, so all
// are unique; an index whose key function says false leaves the row out. They append
// to what they are given, which is empty.
var schema = map[string][]indexSchema{
	tableOrganisations: {
		index(indexID, func(key []byte, o *Organisation) ([]byte, bool) { return append(key, o.ID...), true }),
	},
	tableKeys: {
		index(indexID, func(key []byte, k *Key) ([]byte, bool) { return append(key, k.ID...), true }),
		index(indexHash, func(key []byte, k *Key) ([]byte, bool) { return append(key, k.SHA256...), k.Revoked.IsZero() }),
		index(indexOrg, func(key []byte, k *Key) ([]byte, bool) {
			return append(timeKey(part(key, k.Org), k.Created), k.ID...), true
		}),
	},
	tableJobs: {
		index(indexID, func(key []byte, r *jobRow) ([]byte, bool) { return append(key, r.job.ID...), true }),
		index(indexOrg, func(key []byte, r *jobRow) ([]byte, bool) {
			return append(newestFirst(part(key, r.job.Org), r.job.Created), r.job.ID...), true
		}),
		index(indexUnsettled, func(key []byte, r *jobRow) ([]byte, bool) {
			return append(timeKey(key, r.job.Created), r.job.ID...), r.unsettled
		}),
		index(indexSettled, func(key []byte, r *jobRow) ([]byte, bool) {
			return append(timeKey(key, r.job.Ended), r.job.ID...), !r.unsettled
		}),
		index(indexOutput, func(key []byte, r *jobRow) ([]byte, bool) {
			return append(part(key, r.output), r.job.ID...), r.unsettled
		}),
	},
	tableWebhooks: {
		index(indexID, func(key []byte, w *Webhook) ([]byte, bool) { return webhookKeyTo(key, w.Org, w.ID), true }),
		index(indexOrg, func(key []byte, w *Webhook) ([]byte, bool) {
			return append(timeKey(part(key, w.Org), w.Created), w.ID...), true
		}),
	},
	tableEvents: {
		index(indexID, func(key []byte, e *Event) ([]byte, bool) { return number(key, e.Number), true }),
		index(indexOutbox, func(key []byte, e *Event) ([]byte, bool) { return number(key, e.Number), !e.Done }),
		index(indexWebhook, func(key []byte, e *Event) ([]byte, bool) {
			return number(webhookKeyTo(key, e.Org, e.Webhook), ^e.Number), true
		}),
	},
	tableIdempotency: {
		index(indexID, func(key []byte, r *idempotencyRow) ([]byte, bool) { return idempotencyKeyTo(key, r.Org, r.Key), true }),
		index(indexJob, func(key []byte, r *idempotencyRow) ([]byte, bool) {
			return idempotencyKeyTo(part(key, string(r.Job)), r.Org, r.Key), true
		}),
		index(indexAge, func(key []byte, r *idempotencyRow) ([]byte, bool) {
			return idempotencyKeyTo(timeKey(key, r.At), r.Org, r.Key), true
		}),
	},
	tableNodes: {
		index(indexID, func(key []byte, n *NodeState) ([]byte, bool) { return part(key, n.ID), true }),
	},
	tableExpelled: {
		index(indexID, func(key []byte, e *expelledPeer) ([]byte, bool) { return part(key, e.ID), true }),
	},
	tableTallies: {
		index(indexID, func(key []byte, r *tallyRow) ([]byte, bool) { return append(key, r.org...), true }),
	},
	tableMeta: {
		index(indexID, func(key []byte, _ *metaRow) ([]byte, bool) { return append(key, 0), true }),
	},
}

// indexSchema is an index and what its rows' keys are, appended to room; false for
// a row that it leaves out.
type indexSchema struct {
	name string
	key  func(room []byte, row any) (key []byte, indexed bool, err error)
}

func index[Row any](name string, key func([]byte, Row) ([]byte, bool)) indexSchema {
	return indexSchema{name, func(room []byte, raw any) ([]byte, bool, error) {
		row, ok := raw.(Row)
		if !ok {
			return room, false, fmt.Errorf("index a %T as a %T", raw, row)
		}
		key, indexed := key(room, row)
		return key, indexed, nil
	}}
}

// part appends text with its length before it, so that no text can run into
// what follows, whatever characters it has.
func part(key []byte, text string) []byte {
	return append(binary.AppendUvarint(key, uint64(len(text))), text...)
}

func number(key []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(key, n) }

// timeKey appends a moment so that keys sort by it: seconds with the sign bit
// turned (the zero time lies before 1970), then nanoseconds.
func timeKey(key []byte, at time.Time) []byte {
	key = binary.BigEndian.AppendUint64(key, uint64(at.Unix())^1<<63)
	return binary.BigEndian.AppendUint32(key, uint32(at.Nanosecond()))
}

// newestFirst appends a moment so that keys sort against it.
func newestFirst(key []byte, at time.Time) []byte {
	start := len(key)
	key = timeKey(key, at)
	for i := start; i < len(key); i++ {
		key[i] = ^key[i]
	}
	return key
}

func webhookKey(org, id string) []byte { return webhookKeyTo(nil, org, id) }

func webhookKeyTo(key []byte, org, id string) []byte { return part(part(key, org), id) }

func idempotencyKey(org, key string) []byte { return idempotencyKeyTo(nil, org, key) }

func idempotencyKeyTo(to []byte, org, key string) []byte { return part(part(to, org), key) }
