package cluster

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/raft"
)

// restoredTerm is the raft term in which a restored state was written. The
// peer that opens it begins the next.
const restoredTerm = 1

// Restore makes of a backup the data folder of a new cluster of one peer, with
// a new ID: it never meets what is left of the old cluster. dir must be empty or
// not there, and no peer may run on it. Start a peer on it, then let others
// join with empty folders. Attempts that ran when the backup was made are lost
// after a lease, and run again.
//
// key is where the old cluster's sealing key lies: its bundle, or the data
// folder of any of its peers, or a copy of the file cluster.key itself. It may be
// "" only if nothing in the backup is sealed, which is to say: no webhook, and no
// job whose URLs hold a password or a signature.
//
// On an error the folder is as it was. Killed half-way it leaves one that no
// peer opens: empty it and restore again. Errors: ErrNotABackup, ErrSealed when
// the key isn't the one.
func Restore(dir string, r io.Reader, key string) error {
	if err := restore(dir, r, key); err != nil {
		return fmt.Errorf("restore %s into %s: %w", nameOf(r), dir, err)
	}
	return nil
}

func restore(dir string, r io.Reader, key string) (err error) {
	_, missing := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if there, err := os.ReadDir(dir); err != nil || len(there) > 0 {
		return errors.Join(errors.New("the folder isn't empty: name another, or move what is in it away"), err)
	}
	keys, err := sealingKeys(key)
	if err != nil {
		return err
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, lock.Close())
		if err != nil {
			err = errors.Join(err, empty(dir, errors.Is(missing, fs.ErrNotExist)))
		}
	}()
	// First: with this and without a log no peer takes the folder for a new one.
	if err := writeDurably(filepath.Join(dir, startedFile), nil); err != nil {
		return err
	}
	if err := restoreRaft(dir, r, keys); err != nil {
		return err
	}
	if keys != nil {
		if err := writeDurably(filepath.Join(dir, keyFile), keys.bytes()); err != nil {
			return fmt.Errorf("keep the cluster's key: %w", err)
		}
	}
	if err := writeDurably(filepath.Join(dir, clusterIDFile), []byte(newClusterID()+"\n")); err != nil {
		return fmt.Errorf("keep the cluster's id: %w", err)
	}
	return nil
}

// empty takes back what a restore that failed has made.
func empty(dir string, folderToo bool) error {
	if folderToo {
		return os.RemoveAll(dir)
	}
	var errs []error
	for _, name := range []string{raftFolder, nodeIDFile, keyFile, clusterIDFile, startedFile, lockFile} {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}

// sealingKeys reads cluster.key in a folder, or the file itself; nil for "".
func sealingKeys(where string) (*Keyring, error) {
	if where == "" {
		return nil, nil
	}
	info, err := os.Stat(where)
	if err == nil && info.IsDir() {
		where = filepath.Join(where, bundleSealing) // named alike in bundles and data folders
	}
	data, err := os.ReadFile(where)
	if err != nil {
		return nil, fmt.Errorf("read the old cluster's key: %w", err)
	}
	ring := &Keyring{}
	if err := ring.load(data); err != nil {
		return nil, fmt.Errorf("read the old cluster's key: %s: %w", where, err)
	}
	return ring, nil
}

// restoreRaft writes the backup's state as raft's snapshot, from which a single
// voter goes on.
func restoreRaft(dir string, r io.Reader, keys *Keyring) (err error) {
	id, err := loadNodeID(dir, "")
	if err != nil {
		return err
	}
	disk, err := openRaftDisk(dir, newRaftLogger(slog.New(slog.DiscardHandler), "raft"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	spool, err := os.CreateTemp(disk.folder, "restored-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, spool.Close(), os.Remove(spool.Name())) }()
	buffered := bufio.NewWriterSize(spool, 1<<18)
	db := newDB()
	info, err := readBackup(r, buffered, db)
	if err != nil {
		return err
	}
	if err := checkSealed(db, keys); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return err
	}
	// The peer corrects its address when it leads.
	_, transport := raft.NewInmemTransport("")
	configuration := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(id), Address: "restored"}}}
	sink, err := disk.snapshots.Create(raft.SnapshotVersionMax, max(info.Index, 1), restoredTerm, configuration, max(info.Index, 1), transport)
	if err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	if _, err := io.Copy(sink, spool); err != nil {
		return errors.Join(fmt.Errorf("write the state: %w", err), sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	if err := disk.log.SetUint64([]byte("CurrentTerm"), restoredTerm); err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	return nil
}

// checkSealed makes sure that the keys open all secrets of a state, so that
// nobody finds out later that they don't.
func checkSealed(db *database, keys *Keyring) error {
	txn := db.Read()
	check := func(of string, secrets ...[]byte) error {
		for _, sealed := range secrets {
			switch {
			case len(sealed) < sealHeaderSize || sealed[0] != sealFormat:
			case keys == nil:
				return fmt.Errorf("%w: %s has a sealed secret, and no key was given: name the old cluster's bundle, or the data folder of one of its peers, or its file cluster.key", ErrSealed, of)
			case !slices.ContainsFunc(keys.now(), func(k sealingKey) bool { return k.id == [keyIDSize]byte(sealed[1:]) }):
				return fmt.Errorf("%w: %s was sealed under the key %s, which isn't among those given", ErrSealed, of, hex.EncodeToString(sealed[1:sealHeaderSize]))
			}
		}
		return nil
	}
	for webhook := range scan[*Webhook](txn, tableWebhooks, indexID, nil) {
		if err := check("webhook "+webhook.ID, webhook.Secret, webhook.PreviousSecret); err != nil {
			return err
		}
	}
	for row := range scan[*jobRow](txn, tableJobs, indexID, nil) {
		if err := check("job "+string(row.job.ID), row.job.Spec.Input.Sealed, row.job.Spec.Output.Sealed); err != nil {
			return err
		}
	}
	return nil
}
