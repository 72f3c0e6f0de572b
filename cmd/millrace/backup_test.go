package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace/cluster"
	"millrace/job"
)

func TestBackupIsRestoredWithItsJobsAndKeys(t *testing.T) {
	s := serveAPI(t)
	id := job.ID(strings.TrimSpace(s.submit(t).out))
	if limited := s.run(t, "orgs", "limits", "default", "--minutes-per-day", "90"); limited.code != exitDone {
		t.Fatalf("limits: %+v", limited)
	}
	folder := t.TempDir()
	file, data := filepath.Join(folder, "state.backup"), filepath.Join(folder, "restored")
	made := s.run(t, "backup", file)
	if made.code != exitDone || !strings.Contains(made.err, "cluster.key") || made.out != "" {
		t.Fatalf("backup: %+v", made)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	var told cluster.BackupInfo
	if err := json.Unmarshal([]byte(s.run(t, "backup", file, "--json").out), &told); err != nil || told.Index == 0 {
		t.Errorf("%+v, %v", told, err)
	}
	restored := millrace(t, "restore", file, "--data", data)
	if restored.code != exitDone || !strings.Contains(restored.out, "millrace serve --data "+data) {
		t.Fatalf("restore: %+v", restored)
	}
	if again := millrace(t, "restore", file, "--data", data); again.code != exitFailed || !strings.Contains(again.err, "isn't empty") {
		t.Errorf("restore over it: %+v", again)
	}
	peer, err := cluster.Open(t.Context(), cluster.Config{
		DataDir: data, RaftAddr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
		HeartbeatTimeout: 20 * time.Millisecond, ElectionTimeout: 20 * time.Millisecond, LeaderLease: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = peer.Close() }()
	if err := peer.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	view, err := peer.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, there := view.Job("default", id); !there || len(view.Keys("default")) != 1 {
		t.Error("the job or the key isn't there")
	}
	if org, _ := view.Organisation("default"); org == nil || org.MinutesPerDay != 90 {
		t.Errorf("the organisation is %+v", org)
	}
}

func TestBackupToStandardOutputIsNothingElse(t *testing.T) {
	s := serveAPI(t)
	got := s.run(t, "backup", "-", "--json")
	if info, err := cluster.CheckBackup(bytes.NewReader([]byte(got.out))); got.code != exitDone || err != nil || info.Index == 0 {
		t.Errorf("exit code %d, %+v, %v: %s", got.code, info, err, got.err)
	}
}

func TestTornBackupNeverTakesTheGoodOnesPlace(t *testing.T) {
	s := serveAPI(t)
	folder := t.TempDir()
	file := filepath.Join(folder, "state.backup")
	if got := s.run(t, "backup", file); got.code != exitDone {
		t.Fatalf("%+v", got)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s.known.torn = true
	if got := s.run(t, "backup", file); got.code != exitFailed || !strings.Contains(got.err, "torn") {
		t.Errorf("a torn backup: %+v", got)
	}
	if got := s.run(t, "backup", "-"); got.code != exitFailed {
		t.Errorf("a torn backup to standard output: exit code %d", got.code)
	}
	s.known.leaderless = true
	if got := s.run(t, "backup", file); got.code != exitUnreachable || !strings.Contains(got.err, "no leader") {
		t.Errorf("without a leader: %+v", got)
	}
	if got := s.run(t, "backup", filepath.Join(folder, "no", "such")); got.code != exitFailed {
		t.Errorf("into no folder: %+v", got)
	}
	kept, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(kept, good) {
		t.Errorf("the good one is gone: %v", err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	torn := filepath.Join(folder, "torn")
	if err := os.WriteFile(torn, good[:len(good)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(folder, "data")
	if got := millrace(t, "restore", torn, "--data", data); got.code != exitFailed || !strings.Contains(got.err, torn) {
		t.Errorf("restore of a torn backup: %+v", got)
	}
	if got := millrace(t, "restore", torn+"x", "--data", data); got.code != exitUsage {
		t.Errorf("restore of nothing: %+v", got)
	}
	if got := millrace(t, "restore", torn); got.code != exitUsage || !strings.Contains(got.err, "--data") {
		t.Errorf("restore to nowhere: %+v", got)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("a restore that failed left its folder")
	}
}
