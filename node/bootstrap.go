package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"millrace/api"
	"millrace/cluster"
)

// DefaultOrganisation is made at a cluster's first start.
const DefaultOrganisation = "default"

// AdminKeyFile is where, in the data folder, the key to it is kept.
const AdminKeyFile = "admin.key"

// bootstrapRetry is the pause before bootstrap is tried again.
const bootstrapRetry = time.Second

// bootstrapLeader makes sure, on the leader, that somebody can log in. It fails
// only when ctx has ended, or this peer can't write the key's file.
func bootstrapLeader(ctx context.Context, state state, node, dataDir string, log *slog.Logger) error {
	for {
		err := bootstrap(ctx, state, node, dataDir, log)
		if err == nil || !errors.Is(err, cluster.ErrNoLeader) && !errors.Is(err, cluster.ErrNotLeader) {
			return err
		}
		// The leadership is just being lost, or there is no quorum.
		log.Warn("making the admin key is tried again", "err", err)
		timer := time.NewTimer(bootstrapRetry)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// bootstrapKeyID is the ID of the first key: where two peers lead one after the
// other before it is made, one of their keys counts.
const bootstrapKeyID = "bootstrap"

// bootstrap makes the default organisation and its admin key, once. The file is
// written before the state, so that the key is never lost between the two.
func bootstrap(ctx context.Context, state state, node, dataDir string, log *slog.Logger) error {
	if bootstrapped(state.Stale()) {
		return nil
	}
	now := time.Now()
	file := filepath.Join(dataDir, AdminKeyFile)
	text, key, err := adminKey(file, now)
	if err != nil {
		return fmt.Errorf("make the admin key: %w", err)
	}
	organisation := cluster.Organisation{ID: DefaultOrganisation, Created: now}
	if _, err := state.Propose(ctx, cluster.CreateOrganisation{Organisation: organisation}); err != nil {
		return fmt.Errorf("make the organisation %q: %w", DefaultOrganisation, err)
	}
	key.ID, key.SHA256, key.Label = bootstrapKeyID, api.HashKey(text), "made at the first start, by node "+node
	if _, err := state.Propose(ctx, cluster.CreateKey{Key: key}); err != nil {
		return fmt.Errorf("make the admin key: %w", err)
	}
	if _, taken := state.Stale().KeyByHash(key.SHA256); taken {
		log.Info("the admin key of the organisation is in a file", "organisation", DefaultOrganisation, "file", file)
	}
	return nil
}

// announceKey says, on a peer of a cluster that has its first key, where that is,
// and removes a file of one that didn't become it.
func announceKey(view cluster.View, dataDir string, log *slog.Logger) error {
	file := filepath.Join(dataDir, AdminKeyFile)
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the admin key: %w", err)
	}
	if err == nil {
		if _, valid := view.KeyByHash(api.HashKey(strings.TrimSpace(string(text)))); valid {
			return nil
		}
		log.Warn("the admin key in this data folder doesn't hold in the cluster: its file is removed", "file", file)
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("remove the admin key that doesn't hold: %w", err)
		}
	}
	for _, key := range view.Keys(DefaultOrganisation) {
		if key.ID == bootstrapKeyID {
			log.Info("the cluster's admin key is in the data folder of another node", "organisation", DefaultOrganisation, "key", key.Label, "file", AdminKeyFile)
		}
	}
	return nil
}

// bootstrapped says whether somebody can log in already.
func bootstrapped(view cluster.View) bool {
	_, exists := view.Organisation(DefaultOrganisation)
	return exists && len(view.Keys(DefaultOrganisation)) > 0
}

// adminKey reads the key that an interrupted first start has left, or draws one.
func adminKey(file string, now time.Time) (string, cluster.Key, error) {
	text, key, err := api.NewKey(rand.Reader, DefaultOrganisation, cluster.RoleAdmin, "", now)
	if err != nil {
		return "", key, err
	}
	kept, err := os.ReadFile(file)
	if err == nil && len(kept) > 0 {
		return strings.TrimSpace(string(kept)), key, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", key, err
	}
	return text, key, writeSecret(file, text+"\n")
}

// writeSecret writes a file that only its owner can read, whole or not at all.
func writeSecret(file, text string) error {
	temp, err := os.CreateTemp(filepath.Dir(file), ".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = temp.WriteString(text)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
	}
	return err
}
