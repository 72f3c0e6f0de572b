package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestABundleIsMadeExportedAndRenewed(t *testing.T) {
	dir := t.TempDir()
	ca, peer := filepath.Join(dir, "ca"), filepath.Join(dir, "peer1")
	do := func(want int, says string, args ...string) {
		t.Helper()
		got := millrace(t, append([]string{"cluster"}, args...)...)
		if got.code != want || !strings.Contains(got.out+got.err, says) {
			t.Fatalf("%q ended with %d: %s%s; want %d and %q", args, got.code, got.out, got.err, want, says)
		}
	}
	read := func(folder, name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	keys := func() []string { return strings.Fields(read(ca, "gossip.key")) }

	do(exitDone, "millrace cluster export "+ca, "init", ca)
	do(exitFailed, "isn't empty", "init", ca)
	do(exitDone, "--bundle", "export", ca, peer)
	do(exitUsage, "has no ca.key", "export", peer, filepath.Join(dir, "peer2"))
	if _, err := os.Stat(filepath.Join(peer, "ca.key")); err == nil {
		t.Error("a peer has the CA's key")
	}
	first := read(peer, "node.crt")
	do(exitDone, "without a restart", "certificate", ca, peer, "--days", "90")
	if read(peer, "node.crt") == first {
		t.Error("the certificate is the same")
	}
	do(exitUsage, "--days is 0", "certificate", ca, peer, "--days", "0")
	do(exitUsage, "is no folder", "certificate", ca, filepath.Join(dir, "none"))

	old := keys()[0]
	do(exitFailed, "begin with add", "rotate-key", ca, "use")
	do(exitDone, "rotate-key "+ca+" use", "rotate-key", ca, "add")
	if now := keys(); len(now) != 2 || now[0] != old {
		t.Errorf("after add: %q", now)
	}
	do(exitFailed, "isn't finished", "rotate-key", ca, "add")
	do(exitDone, "rotate-key "+ca+" drop", "rotate-key", ca, "use")
	if now := keys(); len(now) != 2 || now[1] != old {
		t.Errorf("after use: %q", now)
	}
	do(exitDone, "has changed", "rotate-key", ca, "drop")
	if now := keys(); len(now) != 1 || now[0] == old {
		t.Errorf("after drop: %q", now)
	}
	do(exitUsage, "add", "rotate-key", ca, "again")
}
