package node

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/api"
)

func TestTheFirstKeyIsMadeOnceAndEveryOtherPeerSaysWhere(t *testing.T) {
	r := newRig(t)
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	interrupted, first, later := t.TempDir(), t.TempDir(), t.TempDir()
	// A leader that was lost between its file and the state.
	if _, _, err := adminKey(filepath.Join(interrupted, AdminKeyFile), r.time); err != nil {
		t.Fatal(err)
	}
	if err := bootstrapLeader(t.Context(), r.peer.Office(), "n1", first, logger); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{interrupted, first, later} { // each leads later on
		if err := bootstrapLeader(t.Context(), r.peer.Office(), "n2", dir, logger); err != nil {
			t.Fatal(err)
		}
	}
	keys := r.peer.Stale().Keys(DefaultOrganisation)
	if len(keys) != 1 || keys[0].ID != bootstrapKeyID {
		t.Fatalf("the state has the keys %+v", keys)
	}
	kept, err := os.ReadFile(filepath.Join(first, AdminKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, valid := r.peer.Stale().KeyByHash(api.HashKey(strings.TrimSpace(string(kept)))); !valid {
		t.Error("the key in the file doesn't hold")
	}
	for name, dir := range map[string]string{"interrupted": interrupted, "later": later, "first": first} {
		log.Reset()
		if err := announceKey(r.peer.Stale(), dir, logger); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(filepath.Join(dir, AdminKeyFile))
		if missing := errors.Is(err, fs.ErrNotExist); missing != (dir != first) {
			t.Errorf("%s: %s is missing: %v", name, AdminKeyFile, missing)
		}
		if says := strings.Contains(log.String(), "by node n1"); says != (dir != first) {
			t.Errorf("%s: the log says %q", name, log.String())
		}
	}
}
