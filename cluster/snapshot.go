package cluster

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"slices"

	"github.com/hashicorp/go-memdb"
	"github.com/hashicorp/raft"

	"millrace/job"
)

// A snapshot is lines of JSON: a header, a line for each row, a trailer. The
// same state always makes the same bytes. The trailer's count and checksum
// tell a whole snapshot from a torn one.

// snapshotVersion is the newest format that this peer reads and the one it writes.
const snapshotVersion = 1

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

// recordLine is a job with its tasks.
type recordLine struct {
	Job   *job.Job        `json:"job"`
	Tasks json.RawMessage `json:"tasks"`
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
	index, err := readSnapshot(source, db)
	if err != nil {
		return fmt.Errorf("restore the state from a snapshot: %w", err)
	}
	m.load(db, index)
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
	txn  *memdb.Txn
	rows int
}

func writeSnapshot(out io.Writer, v *view) error {
	sum := crc32.New(castagnoli)
	buffered := bufio.NewWriterSize(out, 1<<18)
	w := &snapshotWriter{out: io.MultiWriter(buffered, sum), txn: v.txn()}
	meta := (&tx{txn: w.txn}).meta()
	err := w.line(snapshotHeader{Format: snapshotFormat, Version: snapshotVersion, Index: v.index, LastEvent: meta.LastEvent})
	if err != nil {
		return err
	}
	if err := errors.Join(
		writeRows[*Organisation](w, tableOrganisations, nil),
		writeRows[*Key](w, tableKeys, nil),
		writeRows(w, tableJobs, func(row *jobRow) (any, error) {
			tasks, err := row.tasksJSON()
			return recordLine{row.job, tasks}, err
		}),
		writeRows[*Webhook](w, tableWebhooks, nil),
		writeRows[*Event](w, tableEvents, nil),
		writeRows[*idempotencyRow](w, tableIdempotency, nil),
		writeRows[*proposalRow](w, tableProposals, nil),
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
	for row := range scan[Row](w.txn, table, indexID, nil) {
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
		if err := w.line(snapshotLine{table, data}); err != nil {
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

// readSnapshot fills an empty database and says at which raft index it stands.
func readSnapshot(source io.Reader, db *memdb.MemDB) (uint64, error) {
	lines := &lineReader{source: bufio.NewReaderSize(source, 1<<18), sum: crc32.New(castagnoli)}
	var header snapshotHeader
	if err := lines.next(&header); err != nil {
		return 0, fmt.Errorf("header: %w", err)
	}
	if header.Format != snapshotFormat {
		return 0, errors.New("it is not a snapshot of Millrace's state")
	}
	if header.Version > snapshotVersion {
		return 0, fmt.Errorf("it has version %d, this peer reads up to %d: upgrade it", header.Version, snapshotVersion)
	}
	txn := db.Txn(true)
	defer txn.Abort() // does nothing after Commit
	t := &tx{txn: txn, index: header.Index}
	meta := metaRow{LastEvent: header.LastEvent, Jobs: map[job.Status]int{}}
	for rows := 0; ; rows++ {
		before := lines.sum.Sum(nil)
		var line struct {
			snapshotLine
			snapshotTrailer
		}
		if err := lines.next(&line); err != nil {
			return 0, fmt.Errorf("after %d rows: %w", rows, err)
		}
		if line.End {
			if line.Rows != rows || line.CRC32C != hex.EncodeToString(before) {
				return 0, fmt.Errorf("it is damaged: %d rows with checksum %x, the trailer says %d with %s", rows, before, line.Rows, line.CRC32C)
			}
			break
		}
		if err := readRow(t, &meta, line.snapshotLine); err != nil {
			return 0, fmt.Errorf("row %d, of %s: %w", rows, line.Table, err)
		}
	}
	t.put(tableMeta, &meta)
	if t.err != nil {
		return 0, t.err
	}
	txn.Commit()
	return header.Index, nil
}

func readRow(t *tx, meta *metaRow, line snapshotLine) error {
	switch line.Table {
	case tableJobs:
		var record recordLine
		if err := json.Unmarshal(line.Row, &record); err != nil {
			return err
		}
		var tasks []*job.Task
		if err := json.Unmarshal(record.Tasks, &tasks); err != nil {
			return err
		}
		if record.Job == nil || slices.Contains(tasks, nil) {
			return errors.New("a record without its job, or with an empty task")
		}
		t.putRecord(job.Record{Job: record.Job, Tasks: tasks})
		meta.Jobs[record.Job.Status]++
		return t.err
	case tableOrganisations:
		return putRow[Organisation](t, line)
	case tableKeys:
		return putRow[Key](t, line)
	case tableWebhooks:
		return putRow[Webhook](t, line)
	case tableEvents:
		return putRow[Event](t, line)
	case tableIdempotency:
		return putRow[idempotencyRow](t, line)
	case tableProposals:
		return putRow[proposalRow](t, line)
	case tableNodes:
		return putRow[NodeState](t, line)
	case tableExpelled:
		return putRow[expelledPeer](t, line)
	}
	return errors.New("this peer has no such table: upgrade it")
}

func putRow[Row any](t *tx, line snapshotLine) error {
	row := new(Row)
	if err := json.Unmarshal(line.Row, row); err != nil {
		return err
	}
	t.put(line.Table, row)
	return t.err
}

// lineReader reads lines of any length and sums what it has read.
type lineReader struct {
	source *bufio.Reader
	sum    hash.Hash32
}

func (r *lineReader) next(value any) error {
	line, err := r.source.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("it is torn: %w", io.ErrUnexpectedEOF)
	}
	if err != nil {
		return err
	}
	_, _ = r.sum.Write(line) // a hash never fails
	return json.Unmarshal(line, value)
}
