package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/api/client"
)

func TestOrganisationsAreAddedListedAndLimited(t *testing.T) {
	s := serveAPI(t)
	added := s.run(t, "orgs", "add", "acme")
	said, key, _ := strings.Cut(strings.TrimSpace(added.out), "\n")
	if added.code != exitDone || !strings.HasPrefix(said, "organisation acme is made") || !strings.HasPrefix(key, "mr_") {
		t.Fatalf("add: %+v", added)
	}
	if again := s.run(t, "orgs", "add", "acme"); again.code != exitUsage || !strings.Contains(again.err, "already") {
		t.Errorf("added again: %+v", again)
	}

	if set := s.run(t, "orgs", "limits", "acme", "--weight", "2", "--max-running", "3", "--minutes-per-day", "90"); set.code != exitDone {
		t.Fatalf("limits: %+v", set)
	}
	set := s.run(t, "orgs", "limits", "acme", "--max-running", "none", "--max-queued", "5")
	golden(t, filepath.Join("testdata", "orgs-limits.txt"), set.out)
	var limits client.LimitsAndUsage
	inJSON := s.run(t, "orgs", "limits", "acme", "--json")
	if err := json.Unmarshal([]byte(inJSON.out), &limits); err != nil || limits.Weight != 2 || limits.MaxRunning != nil || *limits.MaxQueued != 5 || *limits.MinutesPerDay != 90 {
		t.Errorf("in JSON: %v: %+v", err, inJSON)
	}
	golden(t, filepath.Join("testdata", "orgs-list.txt"), s.run(t, "orgs").out)

	operator := s.keyFile
	s.keyFile = filepath.Join(t.TempDir(), "acme.key")
	if err := os.WriteFile(s.keyFile, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if own := s.run(t, "orgs", "limits", "--org", "acme"); own.code != exitDone || own.out != set.out {
		t.Errorf("its own: %+v", own)
	}
	if others := s.run(t, "orgs", "--org", "acme"); others.code != exitUsage || !strings.Contains(others.err, "default") {
		t.Errorf("the others', by one that isn't the operator: %+v", others)
	}
	s.keyFile = operator
	for _, wrong := range [][]string{{"--weight", "2"}, {"acme", "--max-queued", "0"}, {"acme", "--weight", "1000"}, {"nobody"}} {
		if got := s.run(t, append([]string{"orgs", "limits"}, wrong...)...); got.code != exitUsage || got.out != "" {
			t.Errorf("%v: %+v", wrong, got)
		}
	}
}

func TestKeysAreAddedListedAndRevoked(t *testing.T) {
	s := serveAPI(t)
	var made client.Key
	added := s.run(t, "orgs", "add-key", "default", "--role", "read", "--label", "the dashboard", "--json")
	if err := json.Unmarshal([]byte(added.out), &made); err != nil || made.Role != "read" || !strings.HasPrefix(made.Text, "mr_") {
		t.Fatalf("%v: %+v", err, added)
	}
	if listed := s.run(t, "orgs", "keys", "default"); !strings.Contains(listed.out, made.ID+"  read   holds") || !strings.Contains(listed.out, "the dashboard") {
		t.Errorf("listed: %+v", listed)
	}
	if revoked := s.run(t, "orgs", "revoke-key", "default", made.ID); revoked.code != exitDone || !strings.Contains(revoked.out, "is revoked") {
		t.Errorf("revoked: %+v", revoked)
	}
	if listed := s.run(t, "orgs", "keys", "default"); !strings.Contains(listed.out, made.ID+"  read   revoked") {
		t.Errorf("listed: %+v", listed)
	}
}
