package cluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"millrace/job"
)

// Reading a snapshot is three stages, each with the lines in their order: one
// goroutine reads and sums them, all cores decode them in bunches, one
// goroutine puts the rows into the tables in a single transaction. The bunches
// under way are bounded, so it needs little more memory than the state.

// bunchBytes is how much of a snapshot is decoded at a time.
const bunchBytes = 256 << 10

// errDamaged: a snapshot's rows aren't those that its trailer tells of.
var errDamaged = errors.New("it is damaged")

// errNewer: a snapshot or backup is of a later program.
var errNewer = errors.New("is newer than this program: upgrade it")

// bunch is some lines of a snapshot.
type bunch struct {
	lines   []byte
	rows    []decodedRow
	err     error
	decoded chan struct{} // closed when rows and err are set
}

// decodedRow is a row on its way into its table.
type decodedRow struct {
	table string
	row   any
}

// readSnapshot fills an empty database and says at which raft index it stands.
// known are the proposals that were applied lately.
func readSnapshot(source io.Reader, db *database) (index uint64, known []proposalRow, err error) {
	r := &snapshotReader{source: bufio.NewReaderSize(source, 1<<18), copy: io.Discard}
	index, err = r.read(db)
	return index, r.proposals, err
}

func (r *snapshotReader) read(db *database) (uint64, error) {
	header, err := r.header()
	if err != nil {
		return 0, err
	}
	txn := db.Write()
	t := &tx{txn: txn, index: header.Index}
	meta := metaRow{LastEvent: header.LastEvent, Jobs: map[job.Status]int{}}
	tallies := map[string]Tally{}

	cores := runtime.GOMAXPROCS(0)
	work, ordered := make(chan *bunch), make(chan *bunch, 2*cores)
	stages, ctx := errgroup.WithContext(context.Background())
	stages.Go(func() error {
		defer close(work)
		defer close(ordered)
		return r.bunches(func(b *bunch) error {
			for _, stage := range []chan<- *bunch{ordered, work} {
				select {
				case stage <- b:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
	})
	for range cores {
		stages.Go(func() error {
			for b := range work {
				b.rows, b.err = decodeLines(b.lines)
				b.lines = nil
				close(b.decoded)
			}
			return nil
		})
	}
	stages.Go(func() error {
		for b := range ordered {
			select {
			case <-b.decoded:
			case <-ctx.Done():
				return ctx.Err()
			}
			if b.err != nil {
				return b.err
			}
			for _, decoded := range b.rows {
				switch row := decoded.row.(type) {
				case *proposalRow:
					r.proposals = append(r.proposals, *row)
					continue
				case *jobRow:
					meta.Jobs[row.job.Status]++
					tally := tallies[row.job.Org]
					tally.add(row.job.Status, 1)
					tallies[row.job.Org] = tally
				}
				t.put(decoded.table, decoded.row)
			}
			if t.err != nil {
				return t.err
			}
		}
		return nil
	})
	if err := stages.Wait(); err != nil {
		return 0, err
	}
	for org, tally := range tallies {
		if tally != (Tally{}) {
			t.putTally(org, tally)
		}
	}
	if t.put(tableMeta, &meta); t.err != nil {
		return 0, t.err
	}
	txn.Commit()
	return header.Index, nil
}

// snapshotReader reads a snapshot's lines and checks that none is missing.
type snapshotReader struct {
	source *bufio.Reader
	copy   io.Writer // of all lines
	sum    uint32    // CRC-32C of the lines before the present one
	rows   int

	proposals []proposalRow // that were read
}

func (r *snapshotReader) header() (header snapshotHeader, err error) {
	line, err := r.line(nil)
	if err != nil {
		return header, fmt.Errorf("header: %w", err)
	}
	r.add(line)
	switch err := json.Unmarshal(line, &header); {
	case err != nil:
		return header, fmt.Errorf("header: %w", err)
	case header.Format != snapshotFormat:
		return header, errors.New("it is not a snapshot of Millrace's state")
	case header.Version > snapshotVersion:
		return header, fmt.Errorf("its state's format %w: %d, up to %d are known", errNewer, header.Version, snapshotVersion)
	}
	return header, nil
}

func (r *snapshotReader) add(line []byte) { r.sum = crc32.Update(r.sum, castagnoli, line) }

// line appends the next line, of any length, to a buffer.
func (r *snapshotReader) line(buffer []byte) ([]byte, error) {
	start := len(buffer)
	for {
		piece, err := r.source.ReadSlice('\n')
		buffer = append(buffer, piece...)
		switch {
		case err == nil:
			if _, err := r.copy.Write(buffer[start:]); err != nil {
				return nil, err
			}
			return buffer, nil
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("it is torn: %w", io.ErrUnexpectedEOF)
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// bunches hands on all rows up to the trailer, which it checks.
func (r *snapshotReader) bunches(hand func(*bunch) error) error {
	for {
		b := &bunch{lines: make([]byte, 0, bunchBytes+bunchBytes/8), decoded: make(chan struct{})}
		for len(b.lines) < bunchBytes {
			start := len(b.lines)
			lines, err := r.line(b.lines)
			if err != nil {
				return fmt.Errorf("after %d rows: %w", r.rows, err)
			}
			if line := lines[start:]; bytes.HasPrefix(line, []byte(`{"end":`)) {
				if err := r.trailer(line); err != nil {
					return err
				}
				return hand(b)
			}
			r.add(lines[start:])
			r.rows++
			b.lines = lines
		}
		if err := hand(b); err != nil {
			return err
		}
	}
}

func (r *snapshotReader) trailer(line []byte) error {
	var trailer snapshotTrailer
	if err := json.Unmarshal(line, &trailer); err != nil {
		return fmt.Errorf("trailer: %w", err)
	}
	sum := crc32Hex(r.sum)
	if !trailer.End || trailer.Rows != r.rows || trailer.CRC32C != sum {
		return fmt.Errorf("%w: %d rows with checksum %s, the trailer says %d with %s", errDamaged, r.rows, sum, trailer.Rows, trailer.CRC32C)
	}
	return nil
}

func crc32Hex(sum uint32) string {
	return hex.EncodeToString([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}

func decodeLines(lines []byte) (rows []decodedRow, err error) {
	for line := range bytes.Lines(lines) {
		var row decodedRow
		if row.table, row.row, err = decodeLine(line); err != nil {
			return nil, fmt.Errorf("a row of %q: %w", row.table, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// decodeLine reads one row. A line of the usual form is taken apart without
// decoding it twice.
func decodeLine(line []byte) (table string, row any, err error) {
	if rest, usual := bytes.CutPrefix(line, []byte(`{"t":"`)); usual {
		if name, value, found := bytes.Cut(rest, []byte(`","r":`)); found && bytes.HasSuffix(value, []byte("}\n")) {
			row, err := decodeRow(string(name), value[:len(value)-2])
			return string(name), row, err
		}
	}
	var l snapshotLine
	if err := json.Unmarshal(line, &l); err != nil {
		return "", nil, err
	}
	row, err = decodeRow(l.Table, l.Row)
	return l.Table, row, err
}

func decodeRow(table string, data []byte) (any, error) {
	switch table {
	case tableJobs:
		return decodeJobRow(data)
	case tableOrganisations:
		return decoded[Organisation](data)
	case tableKeys:
		return decoded[Key](data)
	case tableWebhooks:
		return decoded[Webhook](data)
	case tableEvents:
		event, err := decoded[Event](data)
		if err == nil && event.Job == nil {
			return nil, errors.New("an event without its job")
		}
		return event, err
	case tableIdempotency:
		return decoded[idempotencyRow](data)
	case lineProposals:
		return decoded[proposalRow](data)
	case tableNodes:
		return decoded[NodeState](data)
	case tableExpelled:
		return decoded[expelledPeer](data)
	}
	return nil, fmt.Errorf("the table %w", errNewer)
}

func decoded[Row any](data []byte) (*Row, error) {
	row := new(Row)
	return row, json.Unmarshal(data, row)
}

func decodeJobRow(data []byte) (*jobRow, error) {
	line, err := decoded[recordLine](data)
	if err != nil {
		return nil, err
	}
	if line.Job == nil {
		return nil, errors.New("a record without its job")
	}
	if line.Packed != nil {
		if !line.Job.Status.Terminal() {
			return nil, fmt.Errorf("job %s is %s and its tasks are packed", line.Job.ID, line.Job.Status)
		}
		return &jobRow{job: line.Job, packed: line.Packed}, nil
	}
	var tasks []*job.Task
	if err := json.Unmarshal(line.Tasks, &tasks); err != nil {
		return nil, err
	}
	if slices.Contains(tasks, nil) {
		return nil, fmt.Errorf("job %s has an empty task", line.Job.ID)
	}
	return newJobRow(job.Record{Job: line.Job, Tasks: tasks})
}
