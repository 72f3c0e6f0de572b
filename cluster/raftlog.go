package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
)

const (
	// logSegmentBytes is the size of the log's files, which are allocated whole:
	// small enough for a small disk, large enough to be rare to change.
	logSegmentBytes = 16 << 20
	// snapshotsKept is the latest and the one before it: see checkComplete.
	snapshotsKept  = 2
	snapshotFolder = "snapshots" // raft's own name for it
	damagedFolder  = "damaged"
)

// raftDisk is what raft keeps on disk: the log with the peer's vote and term,
// and the snapshots that stand for the log's beginning.
type raftDisk struct {
	folder    string
	log       *wal.WAL
	meta      *metadb.BoltMetaDB // the log's, which closing the log leaves open
	snapshots *raft.FileSnapshotStore
}

func openRaftDisk(dataDir string, logger *raftLogger) (*raftDisk, error) {
	folder := filepath.Join(dataDir, raftFolder)
	logFolder := filepath.Join(folder, raftLogFolder)
	if err := os.MkdirAll(logFolder, 0o700); err != nil {
		return nil, fmt.Errorf("make the log's folder: %w", err)
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(folder, snapshotsKept, logger)
	if err != nil {
		return nil, fmt.Errorf("open the snapshots: %w", err)
	}
	meta := &metadb.BoltMetaDB{}
	log, err := wal.Open(logFolder, wal.WithLogger(logger), wal.WithSegmentSize(logSegmentBytes), wal.WithMetaStore(meta))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the log in %s: %w: %w", logFolder, ErrDamaged, err), meta.Close())
	}
	return &raftDisk{folder: folder, log: log, meta: meta, snapshots: snapshots}, nil
}

func (d *raftDisk) Close() error { return errors.Join(d.log.Close(), d.meta.Close()) }

// empty says whether nothing was ever agreed on here.
func (d *raftDisk) empty() (bool, error) {
	used, err := raft.HasExistingState(d.log, d.log, d.snapshots)
	if err != nil {
		return false, fmt.Errorf("look for an earlier state: %w", err)
	}
	return !used, nil
}

// checkComplete makes sure that the latest readable snapshot and the log
// together hold every entry, and only then sets aside the damaged snapshots
// after it: the log stands in for them.
func (d *raftDisk) checkComplete(logger *raftLogger) error {
	first, err := d.log.FirstIndex() // 0 when the log is empty
	if err != nil {
		return fmt.Errorf("read the log: %w: %w", ErrDamaged, err)
	}
	kept, err := d.snapshots.List() // newest first
	if err != nil {
		return fmt.Errorf("list the snapshots: %w", err)
	}
	var reached uint64
	var damaged []string
	for _, meta := range kept {
		if err := d.readable(meta.ID); err != nil {
			logger.Error("a snapshot is damaged", "snapshot", meta.ID, "error", err)
			damaged = append(damaged, meta.ID)
			continue
		}
		reached = meta.Index
		break
	}
	// The log's files also hold the peer's term, so a log that is rightly empty
	// after a snapshot still has one.
	term, err := d.log.GetUint64([]byte("CurrentTerm"))
	if err != nil {
		return fmt.Errorf("read the log: %w: %w", ErrDamaged, err)
	}
	if term == 0 && len(kept) > 0 {
		return fmt.Errorf("%w: its log is gone and its snapshots are not: restore a backup, or remove the data folder and let the peer join anew", ErrDamaged)
	}
	if first > reached+1 || first == 0 && len(damaged) > 0 {
		return fmt.Errorf("%w: no readable snapshot has the entries before %d, where the log begins (the latest ends at %d): restore a backup, or remove the data folder and let the peer join anew", ErrDamaged, first, reached)
	}
	for _, id := range damaged {
		if err := d.setAside(id); err != nil {
			return err
		}
		logger.Warn("the log stands in for a damaged snapshot, which was set aside", "snapshot", id, "folder", damagedFolder)
	}
	return nil
}

// readable checks a snapshot as a whole.
func (d *raftDisk) readable(id string) error {
	_, source, err := d.snapshots.Open(id) // reads it all against its checksum
	if err != nil {
		return err
	}
	return source.Close()
}

// setAside moves a damaged snapshot to where raft doesn't look for it and a
// person does.
func (d *raftDisk) setAside(id string) error {
	aside := filepath.Join(d.folder, damagedFolder)
	err := os.MkdirAll(aside, 0o700)
	if err == nil {
		err = os.Rename(filepath.Join(d.folder, snapshotFolder, id), filepath.Join(aside, id))
	}
	if err != nil {
		return fmt.Errorf("set the damaged snapshot %s aside: %w", id, err)
	}
	return nil
}
