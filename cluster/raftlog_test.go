package cluster

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"

	"github.com/hashicorp/raft"
)

// A voter whose last entries never came to be agreed on cuts them off when it
// meets the next leader.
func TestALogThatWasCutOffAtItsEndIsReadAfterARestart(t *testing.T) {
	dir, log := t.TempDir(), newRaftLogger(slog.New(slog.DiscardHandler), "raft")
	open := func() *raftDisk {
		t.Helper()
		disk, err := openRaftDisk(dir, log)
		if err != nil {
			t.Fatal(err)
		}
		return disk
	}
	entry := func(index, term uint64) *raft.Log {
		return &raft.Log{Index: index, Term: term, Data: fmt.Appendf(nil, "entry %d of term %d", index, term)}
	}
	disk := open()
	for index := range uint64(5) {
		if err := disk.log.StoreLog(entry(index+1, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := disk.log.DeleteRange(4, 5); err != nil {
		t.Fatal(err)
	}
	if err := disk.log.StoreLog(entry(4, 2)); err != nil {
		t.Fatal(err)
	}
	if err := disk.Close(); err != nil {
		t.Fatal(err)
	}
	disk = open()
	defer func() { _ = disk.Close() }()
	for index, term := range map[uint64]uint64{1: 1, 3: 1, 4: 2} {
		var got raft.Log
		if err := disk.log.GetLog(index, &got); err != nil || got.Term != term || !bytes.Equal(got.Data, entry(index, term).Data) {
			t.Errorf("entry %d is %q of term %d (%v), want term %d", index, got.Data, got.Term, err, term)
		}
	}
	if last, err := disk.log.LastIndex(); err != nil || last != 4 {
		t.Errorf("the log ends at %d (%v), want 4", last, err)
	}
}
