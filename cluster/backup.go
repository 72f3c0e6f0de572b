package cluster

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// A backup is a line of JSON that says what it is of, a snapshot of the whole
// state, and a line with the SHA-256 of all before it. Secrets in it are sealed:
// it is of use only with the cluster's sealing key, which isn't in it. That lies
// in the bundle and in every peer's data folder, as cluster.key.

const (
	backupFormat  = "millrace-backup"
	backupVersion = 1
	// maxBackupLine bounds a backup's first and last line.
	maxBackupLine = 4096
)

// ErrNotABackup: this is no backup of Millrace's state, or not a whole and
// unchanged one.
var ErrNotABackup = errors.New("it is not a whole backup")

// BackupInfo is what a backup says of itself.
type BackupInfo struct {
	Cluster string    `json:"cluster"` // the ID of the cluster that it is of
	Index   uint64    `json:"index"`   // raft index of the last command in it
	Time    time.Time `json:"time"`    // when it was begun
	Program string    `json:"program"` // version of the program that wrote it
}

type backupHeader struct {
	Format  string `json:"format"` // always backupFormat
	Version int    `json:"version"`
	BackupInfo
}

type backupEnd struct {
	End    bool   `json:"end_of_backup"` // always true
	Bytes  int64  `json:"bytes"`         // before this line
	SHA256 string `json:"sha256"`        // of them, hex
}

// Backup writes the whole state as it is now, with everything acknowledged
// before the call, while the cluster goes on. It needs a peer that holds the
// state and a leader. A writer that fails leaves a backup that CheckBackup and
// Restore refuse. Errors: ErrNoState, ErrNoLeader, ErrClosed, ErrHalted, ctx's
// or the writer's.
func (p *Peer) Backup(ctx context.Context, w io.Writer) error {
	present, err := p.View(ctx)
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	state, ok := present.(*view)
	if !ok {
		return fmt.Errorf("back up: the state is a %T", present)
	}
	info := BackupInfo{Cluster: p.Cluster(), Index: state.index, Time: time.Now().UTC(), Program: p.config.Version}
	if err := writeBackup(&untilDone{ctx, w}, info, state); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return nil
}

// untilDone fails to write when its ctx has ended.
type untilDone struct {
	ctx context.Context
	w   io.Writer
}

func (u *untilDone) Write(data []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.w.Write(data)
}

func writeBackup(w io.Writer, info BackupInfo, state *view) error {
	counted := &counter{sum: sha256.New()}
	out := io.MultiWriter(w, counted)
	if err := writeLine(out, backupHeader{backupFormat, backupVersion, info}); err != nil {
		return err
	}
	if err := writeSnapshot(out, state); err != nil {
		return err
	}
	return writeLine(w, backupEnd{true, counted.bytes, hex.EncodeToString(counted.sum.Sum(nil))})
}

func writeLine(w io.Writer, value any) error {
	line, err := json.Marshal(value)
	if err == nil {
		_, err = w.Write(append(line, '\n'))
	}
	return err
}

// counter counts and sums what is written to it.
type counter struct {
	bytes int64
	sum   hash.Hash
}

func (c *counter) Write(data []byte) (int, error) {
	c.bytes += int64(len(data))
	return c.sum.Write(data) // never fails
}

// CheckBackup reads a backup to its end and says what it is of.
// Errors: ErrNotABackup, or the reader's.
func CheckBackup(r io.Reader) (BackupInfo, error) {
	info, err := readBackup(r, io.Discard, newDB())
	if err != nil {
		return info, fmt.Errorf("check %s: %w", nameOf(r), err)
	}
	return info, nil
}

// nameOf is what a backup is called in an error: its file's name if it has one.
func nameOf(r io.Reader) string {
	if file, ok := r.(interface{ Name() string }); ok {
		return "the backup " + file.Name()
	}
	return "the backup"
}

// readBackup fills an empty database with a backup's state and copies the
// snapshot within it; nothing of either is to be believed after an error.
func readBackup(r io.Reader, snapshot io.Writer, db *database) (info BackupInfo, err error) {
	counted := &counter{sum: sha256.New()}
	source := bufio.NewReaderSize(r, 1<<18)
	line, err := shortLine(source)
	if err != nil {
		return info, fmt.Errorf("its first line: %w", err)
	}
	_, _ = counted.Write(line)
	var header backupHeader
	switch err := json.Unmarshal(line, &header); {
	case err != nil || header.Format != backupFormat:
		return info, fmt.Errorf("%w of Millrace: its first line is another's", ErrNotABackup)
	case header.Version > backupVersion:
		return info, fmt.Errorf("its format %w: %d, up to %d are known", errNewer, header.Version, backupVersion)
	}
	reader := &snapshotReader{source: source, copy: io.MultiWriter(snapshot, counted)}
	index, err := reader.read(db)
	if errors.Is(err, errNewer) {
		return info, err
	}
	if err != nil {
		return info, fmt.Errorf("%w: %w", ErrNotABackup, err)
	}
	line, err = shortLine(source)
	if err != nil {
		return info, fmt.Errorf("its last line: %w", err)
	}
	var end backupEnd
	sum := hex.EncodeToString(counted.sum.Sum(nil))
	switch err := json.Unmarshal(line, &end); {
	case err != nil || !end.End:
		return info, fmt.Errorf("%w: its last line is missing", ErrNotABackup)
	case end.Bytes != counted.bytes || end.SHA256 != sum:
		return info, fmt.Errorf("%w: it was changed: %d bytes with SHA-256 %s, its last line says %d with %s", ErrNotABackup, counted.bytes, sum, end.Bytes, end.SHA256)
	case header.Index != index:
		return info, fmt.Errorf("%w: its state is at %d, its first line says %d", ErrNotABackup, index, header.Index)
	}
	if _, err := source.ReadByte(); !errors.Is(err, io.EOF) {
		return info, fmt.Errorf("%w: something follows its last line", ErrNotABackup)
	}
	return header.BackupInfo, nil
}

func shortLine(source *bufio.Reader) ([]byte, error) {
	line, err := source.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%w: it is torn", ErrNotABackup)
	case errors.Is(err, bufio.ErrBufferFull) || err == nil && len(line) > maxBackupLine:
		return nil, fmt.Errorf("%w: this line is too long", ErrNotABackup)
	}
	return append([]byte(nil), line...), err
}
