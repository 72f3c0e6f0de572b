package cluster

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// What lies in a data folder.
const (
	lockFile      = "lock"         // held while a process uses the folder
	nodeIDFile    = "node.id"      // the peer's ID
	keyFile       = "cluster.key"  // see Keyring
	clusterIDFile = "cluster.id"   // the cluster that the peer belongs to
	pledgeFile    = "pledge.json"  // see pledge
	peersFile     = "peers.json"   // gossip addresses of the peers that were last seen
	startedFile   = "raft.started" // there as soon as the folder holds, or held, a log
	joinedFile    = "joined"       // there as soon as a leader has let the peer in, with the log or without
	retiredFile   = "raft.retired" // see retirement
	raftFolder    = "raft"         // snapshots, and the log in log/
	raftLogFolder = "log"
)

// lockFolder keeps other processes out of a data folder until the file is
// closed. The kernel lets go of it however the process ends.
func lockFolder(folder string) (*os.File, error) {
	name := filepath.Join(folder, lockFile)
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder := "another process"
		if pid, readErr := os.ReadFile(name); readErr == nil && len(pid) > 0 {
			holder = "process " + strings.TrimSpace(string(pid))
		}
		_ = file.Close() // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w by %s: stop it or use another folder", folder, ErrLocked, holder)
		}
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	// The number is only for the sentence above.
	if err := errors.Join(file.Truncate(0), writeAt(file, fmt.Sprintln(os.Getpid()))); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", name, err), file.Close())
	}
	return file, nil
}

func writeAt(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}

// loadNodeID finds out the peer's ID: what the folder holds, or at the first
// start what is wanted, or else a random one.
func loadNodeID(folder, wanted string) (string, error) {
	name := filepath.Join(folder, nodeIDFile)
	kept, err := os.ReadFile(name)
	switch {
	case err == nil:
		id := strings.TrimSpace(string(kept))
		if id == "" {
			return "", fmt.Errorf("%s is empty: %w", name, ErrDamaged)
		}
		if wanted != "" && wanted != id {
			return "", fmt.Errorf("this data folder is of peer %s and can't be used by %s", id, wanted)
		}
		return id, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("read the peer's id: %w", err)
	}
	if wanted == "" {
		wanted = strings.ToLower(rand.Text()[:12]) // 60 bits
	}
	if err := checkNodeID(wanted); err != nil {
		return "", err
	}
	if err := writeDurably(name, []byte(wanted+"\n")); err != nil {
		return "", fmt.Errorf("keep the peer's id: %w", err)
	}
	return wanted, nil
}

// writeDurably puts a small private file in its place, whole and on disk, or
// leaves things as they were.
func writeDurably(name string, data []byte) (err error) {
	folder := filepath.Dir(name)
	file, err := os.CreateTemp(folder, "."+filepath.Base(name)+"-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	_, err = file.Write(data)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err = os.Rename(file.Name(), name); err != nil {
		return err
	}
	return syncFolder(folder)
}

// syncFolder makes the names in a folder durable.
func syncFolder(folder string) error {
	opened, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(opened.Sync(), opened.Close())
}

func exists(name string) (bool, error) {
	_, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
