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

// bootstrap makes the default organisation and its admin key, once. The file is
// written before the state, so that the key is never lost between the two.
func bootstrap(ctx context.Context, state state, dataDir string, log *slog.Logger) error {
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
	key.SHA256 = api.HashKey(text)
	if _, err := state.Propose(ctx, cluster.CreateKey{Key: key}); err != nil {
		return fmt.Errorf("make the admin key: %w", err)
	}
	log.Info("the admin key of the organisation is in a file", "organisation", DefaultOrganisation, "file", file)
	return nil
}

// bootstrapped says whether somebody can log in already.
func bootstrapped(view cluster.View) bool {
	_, exists := view.Organisation(DefaultOrganisation)
	return exists && len(view.Keys(DefaultOrganisation)) > 0
}

// adminKey reads the key that an interrupted first start has left, or draws one.
func adminKey(file string, now time.Time) (string, cluster.Key, error) {
	text, key, err := api.NewKey(rand.Reader, DefaultOrganisation, cluster.RoleAdmin, "made at the first start", now)
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
