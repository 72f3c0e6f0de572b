package cluster

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace/job"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(childVariable); folder != "" {
		os.Exit(child(folder))
	}
	if settings := os.Getenv(writerVariable); settings != "" {
		os.Exit(writerMain(settings))
	}
	if name := os.Getenv(historyVariable); name != "" {
		os.Exit(history(name))
	}
	if settings := os.Getenv(upgradeVariable); settings != "" {
		os.Exit(upgraded(settings))
	}
	// Tests of several peers wait nearly all the time: for elections, leases, timeouts.
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	// Memberlist's shutdown doesn't wait for a probe, which lasts some seconds
	// when the other peer is dead.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probe"))
}

// quick is a configuration for one peer on this machine that leads in no time.
func quick(folder string) Config {
	return Config{
		DataDir: folder, RaftAddr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
		HeartbeatTimeout: pace * 20 * time.Millisecond, ElectionTimeout: pace * 20 * time.Millisecond, LeaderLease: pace * 20 * time.Millisecond,
	}
}

// open starts a peer that is closed with the test.
func open(t *testing.T, config Config) *Peer {
	t.Helper()
	p, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() }) // the tests that care close it themselves
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	if err := p.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return p
}

func propose[Answer any](t *testing.T, p *Peer, command Command) Answer {
	t.Helper()
	value, err := overElections(t, func() (any, error) { return p.Propose(t.Context(), command) })
	if err != nil {
		t.Fatalf("%s: %v", command.Name(), err)
	}
	answered, ok := value.(Answer)
	if !ok && value != nil {
		t.Fatalf("%s answered a %T", command.Name(), value)
	}
	return answered
}

func read(t *testing.T, p *Peer) View {
	t.Helper()
	v, err := overElections(t, func() (View, error) { return p.View(t.Context()) })
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// overElections asks again where there was no leader and nothing was done, as a
// client does: on a busy machine a leader may be deposed at any moment.
func overElections[Answer any](t *testing.T, ask func() (Answer, error)) (Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	pause := time.NewTicker(leaderPause)
	defer pause.Stop()
	for {
		answer, err := ask()
		if !errors.Is(err, ErrNoLeader) && !errors.Is(err, ErrNotLeader) || errors.Is(err, errUncertain) {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, err
		case <-pause.C:
		}
	}
}

func closePeer(t *testing.T, p *Peer) {
	t.Helper()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func createOrg(id string) CreateOrganisation {
	return CreateOrganisation{Organisation{ID: id, Created: noon}}
}

func createJob(org string, id job.ID) CreateJob {
	return CreateJob{ID: id, Org: org, At: noon, Spec: job.Spec{
		Input:       job.Location{URL: "https://example.com/film.mp4"},
		Output:      job.Location{URL: "s3://bucket/" + string(id) + "/"},
		Resolutions: []job.Resolution{720}, Outputs: []job.OutputKind{job.HLS}, Codec: job.H264,
		Quality: job.Standard, SegmentDuration: 4 * time.Second,
	}}
}

func TestAPeerKeepsItsStateOverARestart(t *testing.T) {
	folder := t.TempDir()
	p := open(t, quick(folder))
	id := p.ID()
	propose[any](t, p, createOrg("default"))
	created := propose[*job.Job](t, p, createJob("default", "11111111111"))
	if created.Status != job.Queued || created.Revision == 0 {
		t.Fatalf("created %+v", created)
	}
	closePeer(t, p)

	p = open(t, quick(folder))
	if p.ID() != id {
		t.Errorf("the peer was %s and is %s", id, p.ID())
	}
	kept, ok := read(t, p).Job("default", "11111111111")
	if !ok || kept.Revision != created.Revision || !kept.Created.Equal(noon) {
		t.Fatalf("after the restart: %+v, %v", kept, ok)
	}
	if _, err := os.Stat(filepath.Join(folder, "cluster.key")); err != nil {
		t.Error(err)
	}
	closePeer(t, p)
	if _, err := p.Propose(t.Context(), createOrg("late")); !errors.Is(err, ErrClosed) {
		t.Errorf("propose after close: %v", err)
	}
}
