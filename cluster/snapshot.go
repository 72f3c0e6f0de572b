package cluster

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"slices"

	"github.com/hashicorp/raft"

	"millrace/job"
)

// lineProposals names the proposals in a snapshot, where they look like a table.
const lineProposals = "proposals"

// A snapshot is lines of JSON: a header, a line for each row, a trailer. The
// same state always makes the same bytes. The trailer's count and checksum
// tell a whole snapshot from a torn one.

// snapshotVersion is the newest format that this peer reads. In version 1 the
// tasks of settled jobs weren't packed; version 3 has limits of organisations, and
// is written only where there are any: an older peer, which would forget them, must
// not take it for whole. So are version 4, where a running task has a backup, and
// version 5, where a job says where or by when it is to be done: also one that has
// ended, for it can be retried; and version 6, where several encoders make the renditions
// of a job that runs.
const snapshotVersion = 6

func formatOf(txn *transaction) int {
	backedUp := false
	for row := range scan[*jobRow](txn, tableJobs, indexUnsettled, nil) {
		if row.job.Plan.InParts() {
			return 6
		}
		backedUp = backedUp || slices.ContainsFunc(row.tasks, (*job.Task).BackedUp)
	}
	for row := range scan[*jobRow](txn, tableJobs, indexID, nil) {
		if row.job.Spec.Placed() {
			return 5
		}
	}
	if backedUp {
		return 4
	}
	for org := range scan[*Organisation](txn, tableOrganisations, indexID, nil) {
		if org.Use != nil {
			return 3
		}
	}
	return 2
}

type snapshotHeader struct {
	Format    string `json:"format"` // always snapshotFormat
	Version   int    `json:"version"`
	Index     uint64 `json:"index"` // raft index of the last command applied
	LastEvent uint64 `json:"last_event"`
}

const snapshotFormat = "millrace-state"

type snapshotLine struct {
	Table string          `json:"t"`
	Row   json.RawMessage `json:"r"`
}

// recordLine is a job with its tasks, as its row holds them: whoever restores
// a long history neither packs nor unpacks it.
type recordLine struct {
	Job    *job.Job        `json:"job"`
	Tasks  json.RawMessage `json:"tasks,omitempty"`
	Packed []byte          `json:"packed,omitempty"`
}

type snapshotTrailer struct {
	End    bool   `json:"end"` // always true
	Rows   int    `json:"rows"`
	CRC32C string `json:"crc32c"` // of all bytes before this line, hex
}

// Snapshot implements raft.FSM. It takes no time: the tables are immutable.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	if err := m.haltError(); err != nil {
		return nil, err // raft would date it by entries that were not applied
	}
	return &snapshot{m.current.Load()}, nil
}

// Restore implements raft.FSM: all of the snapshot replaces the state, or an
// error says why it can't and the state stays.
func (m *machine) Restore(source io.ReadCloser) error {
	defer func() { _ = source.Close() }() // only read from
	db := newDB()
	index, known, err := readSnapshot(source, db)
	if err != nil {
		return fmt.Errorf("restore the state from a snapshot: %w", err)
	}
	m.load(db, newProposals(known), index)
	m.settleWaiting()
	return nil
}

// snapshot implements raft.FSMSnapshot.
type snapshot struct{ view *view }

// Release implements raft.FSMSnapshot.
func (*snapshot) Release() {}

// Persist implements raft.FSMSnapshot.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if err := writeSnapshot(sink, s.view); err != nil {
		return errors.Join(fmt.Errorf("write a snapshot of the state at %d: %w", s.view.index, err), sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("close the snapshot of the state at %d: %w", s.view.index, err)
	}
	return nil
}

type snapshotWriter struct {
	out  io.Writer
	txn  *transaction
	rows int
}

func writeSnapshot(out io.Writer, v *view) error {
	sum := crc32.New(castagnoli)
	buffered := bufio.NewWriterSize(out, 1<<18)
	w := &snapshotWriter{out: io.MultiWriter(buffered, sum), txn: v.txn()}
	meta := metaOf(w.txn)
	err := w.line(snapshotHeader{Format: snapshotFormat, Version: formatOf(w.txn), Index: v.index, LastEvent: meta.LastEvent})
	if err != nil {
		return err
	}
	if err := errors.Join(
		writeRows[*Organisation](w, tableOrganisations, nil),
		writeRows[*Key](w, tableKeys, nil),
		writeRows(w, tableJobs, func(row *jobRow) (any, error) {
			if row.packed != nil {
				return recordLine{Job: row.job, Packed: row.packed}, nil
			}
			tasks, err := json.Marshal(row.tasks)
			return recordLine{Job: row.job, Tasks: tasks}, err
		}),
		writeRows[*Webhook](w, tableWebhooks, nil),
		writeRows[*Event](w, tableEvents, nil),
		writeRows[*idempotencyRow](w, tableIdempotency, nil),
		writeAll(w, lineProposals, slices.Values(v.proposals), nil),
		writeRows[*NodeState](w, tableNodes, nil),
		writeRows[*expelledPeer](w, tableExpelled, nil),
	); err != nil {
		return err
	}
	if err := w.line(snapshotTrailer{End: true, Rows: w.rows, CRC32C: hex.EncodeToString(sum.Sum(nil))}); err != nil {
		return err
	}
	return buffered.Flush()
}

// writeRows writes a table in the order of its IDs; shown turns a row into what
// is written, nil for the row itself.
func writeRows[Row any](w *snapshotWriter, table string, shown func(Row) (any, error)) error {
	return writeAll(w, table, scan[Row](w.txn, table, indexID, nil), shown)
}

func writeAll[Row any](w *snapshotWriter, table string, rows iter.Seq[Row], shown func(Row) (any, error)) error {
	for row := range rows {
		var value any = row
		var err error
		if shown != nil {
			value, err = shown(row)
		}
		var data []byte
		if err == nil {
			data, err = json.Marshal(value)
		}
		if err != nil {
			return fmt.Errorf("encode a row of %s: %w", table, err)
		}
		// Of the form of a snapshotLine, without encoding the row once more.
		if _, err := fmt.Fprintf(w.out, "{\"t\":%q,\"r\":%s}\n", table, data); err != nil {
			return err
		}
		w.rows++
	}
	return nil
}

func (w *snapshotWriter) line(value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = w.out.Write(append(data, '\n'))
	return err
}
