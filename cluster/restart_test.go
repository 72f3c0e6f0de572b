package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace/job"
)

func TestAPeerComesBackAtAnotherAddress(t *testing.T) {
	folder := t.TempDir()
	p := open(t, quick(folder))
	before := p.RaftAddr()
	propose[any](t, p, createOrg("default"))
	closePeer(t, p)

	// The old port is taken, so the peer can't get it again by chance.
	squatter, err := net.Listen("tcp", before)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = squatter.Close() }()
	p = open(t, quick(folder))
	if _, ok := read(t, p).Organisation("default"); !ok {
		t.Error("the state is gone")
	}
	status := p.Status()
	if len(status.Voters) != 1 || status.Voters[0].Address != p.RaftAddr() || status.Leader != p.ID() || status.LeaderAddr != p.RaftAddr() {
		t.Errorf("at %s, once at %s: %+v", p.RaftAddr(), before, status)
	}
}

func TestAPeerComesBackFromItsSnapshot(t *testing.T) {
	folder := t.TempDir()
	p := open(t, quick(folder))
	propose[any](t, p, createOrg("default"))
	for n := range 20 {
		propose[*job.Job](t, p, createJob("default", job.ID(fmt.Sprintf("%011d", n))))
	}
	takeSnapshot(t, p)
	propose[*job.Job](t, p, CancelJob{Org: "default", ID: "00000000003", At: noon})
	closePeer(t, p)

	v := read(t, open(t, quick(folder)))
	if counts := v.Counts(); counts[job.Queued] != 19 || counts[job.Cancelled] != 1 {
		t.Errorf("jobs by status: %v", counts)
	}
}

func takeSnapshot(t *testing.T, p *Peer) {
	t.Helper()
	if err := p.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
}

// snapshotFiles lists the state files of the snapshots, oldest first.
func snapshotFiles(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, raftFolder, "snapshots", "*", "state.bin"))
	if err != nil || len(files) == 0 {
		t.Fatalf("snapshots: %v, %v", files, err)
	}
	return files
}

func truncate(t *testing.T, file string, bytes int64) {
	t.Helper()
	info, err := os.Stat(file)
	if err == nil {
		err = os.Truncate(file, info.Size()-bytes)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestATornSnapshotIsPassedOverWhileTheLogIsWhole(t *testing.T) {
	folder := t.TempDir()
	p := open(t, quick(folder))
	propose[any](t, p, createOrg("default"))
	takeSnapshot(t, p)
	closePeer(t, p)
	truncate(t, snapshotFiles(t, folder)[0], 10)

	if _, ok := read(t, open(t, quick(folder))).Organisation("default"); !ok {
		t.Error("the log was whole, and the state is gone")
	}
}

func TestATornSnapshotIsRefusedWhenTheLogNeedsIt(t *testing.T) {
	folder := t.TempDir()
	config := quick(folder)
	config.TrailingLogs = 1
	p := open(t, config)
	for n := range 10 {
		propose[any](t, p, createOrg(fmt.Sprint(n)))
	}
	takeSnapshot(t, p)
	closePeer(t, p)
	truncate(t, snapshotFiles(t, folder)[0], 10)

	if _, err := Open(t.Context(), config); !errors.Is(err, ErrDamaged) {
		t.Errorf("opened with a torn snapshot: %v", err)
	}
}

// logTail finds the log's last file and where its entries end: the rest is zero.
func logTail(t *testing.T, folder string) (file string, end int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, raftFolder, raftLogFolder, "*.wal"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the log's files: %v, %v", files, err)
	}
	file = files[len(files)-1]
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return file, int64(len(strings.TrimRight(string(data), "\x00")))
}

func TestATornTailOfTheLogCostsNothingAcknowledged(t *testing.T) {
	for _, tail := range []string{"\x01", "\x01\x00\x00\x00\xff\xff\x00\x00half an entry", strings.Repeat("\xff", 5000)} {
		t.Run(fmt.Sprintf("%d bytes", len(tail)), func(t *testing.T) {
			folder := t.TempDir()
			p := open(t, quick(folder))
			propose[any](t, p, createOrg("default"))
			closePeer(t, p)
			name, end := logTail(t, folder)
			file, err := os.OpenFile(name, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = file.WriteAt([]byte(tail), (end+7)/8*8)
			if err := errors.Join(err, file.Close()); err != nil {
				t.Fatal(err)
			}

			p = open(t, quick(folder))
			if _, ok := read(t, p).Organisation("default"); !ok {
				t.Error("an acknowledged organisation is gone")
			}
			propose[any](t, p, createOrg("another"))
		})
	}
}

func TestAFolderThatLostItsLogIsRefused(t *testing.T) {
	for _, lost := range []string{raftFolder, filepath.Join(raftFolder, raftLogFolder)} {
		folder := t.TempDir()
		p := open(t, quick(folder))
		propose[any](t, p, createOrg("default"))
		takeSnapshot(t, p)
		closePeer(t, p)
		if err := os.RemoveAll(filepath.Join(folder, lost)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), quick(folder)); !errors.Is(err, ErrDamaged) {
			t.Errorf("began anew where %s was: %v", lost, err)
		}
	}
}

func TestAFolderIsUsedByOnePeerAtATime(t *testing.T) {
	folder := t.TempDir()
	open(t, quick(folder))
	_, err := Open(t.Context(), quick(folder))
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("opened twice: %v", err)
	}
}

func TestAnotherPeersFolderIsRefused(t *testing.T) {
	config := quick(t.TempDir())
	config.ID = "one"
	closePeer(t, open(t, config))
	config.ID = "two"
	if _, err := Open(t.Context(), config); err == nil || !strings.Contains(err.Error(), "one") {
		t.Errorf("took over another peer's folder: %v", err)
	}
}

func TestBadAddressesAreNamed(t *testing.T) {
	for _, address := range []string{"", "nowhere", ":7947", "0.0.0.0:7947", "[::]:7947"} {
		config := quick(t.TempDir())
		config.RaftAddr = address
		if _, err := Open(t.Context(), config); err == nil || !strings.Contains(err.Error(), "raft address") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestTheEndOfACtxEndsACall(t *testing.T) {
	p := open(t, quick(t.TempDir()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Propose(ctx, createOrg("default")); !errors.Is(err, context.Canceled) {
		t.Errorf("propose: %v", err)
	}
	if _, err := p.View(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("view: %v", err)
	}
	late, cancelLate := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancelLate()
	<-late.Done()
	if _, err := p.Propose(late, createOrg("default")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("propose: %v", err)
	}
}

func TestAViewWakesWhenTheStateChanges(t *testing.T) {
	p := open(t, quick(t.TempDir()))
	v := read(t, p)
	propose[any](t, p, createOrg("default"))
	select {
	case <-v.Changed():
	case <-t.Context().Done():
	}
	if _, ok := v.Organisation("default"); ok {
		t.Error("a view changed")
	}
	if _, ok := p.Stale().Organisation("default"); !ok {
		t.Error("an acknowledged change isn't in the state")
	}
}

func TestLeaderWorkRunsWhileThePeerLeads(t *testing.T) {
	p := open(t, quick(t.TempDir()))
	ctx, cancel := context.WithCancel(t.Context())
	running, ended := make(chan struct{}), make(chan error)
	go func() {
		ended <- p.Lead(ctx, func(ctx context.Context) error {
			close(running)
			<-ctx.Done()
			return ctx.Err()
		})
	}()
	<-running
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended by its caller: %v", err)
	}

	broken := errors.New("broken")
	if err := p.Lead(t.Context(), func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("the work's own error became %v", err)
	}

	working := make(chan struct{})
	go func() {
		ended <- p.Lead(t.Context(), func(ctx context.Context) error {
			close(working)
			<-ctx.Done()
			return nil
		})
	}()
	<-working
	closePeer(t, p)
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("ended by close: %v", err)
	}
}

func TestGossipTellsWhoAPeerIs(t *testing.T) {
	config := quick(t.TempDir())
	config.GossipAddr, config.HTTPAddr, config.Version = "127.0.0.1:0", "127.0.0.1:8080", "1.2.3"
	p := open(t, config)
	members := p.Members()
	if len(members) != 1 || members[0].ID != p.ID() || members[0].HTTPAddr != "127.0.0.1:8080" ||
		members[0].RaftAddr != p.RaftAddr() || members[0].Version != "1.2.3" || members[0].Role != "voter" {
		t.Errorf("members: %+v", members)
	}
	closePeer(t, p)

	config.Version = strings.Repeat("1", 600)
	if _, err := Open(t.Context(), config); err == nil || !strings.Contains(err.Error(), "512") {
		t.Errorf("an identity too long for gossip: %v", err)
	}
}
