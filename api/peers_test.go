package api

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/cluster"
	"millrace/job"
)

// freeAddress is a loopback address that nobody listens on, UDP and TCP.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := listener.Addr().String()
		_ = listener.Close()
		packets, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", address)
		if err != nil {
			continue
		}
		_ = packets.Close()
		return address
	}
	t.Fatal("no port is free for both TCP and UDP")
	return ""
}

// newPeers is one cluster of three peers, each with its own server.
func newPeers(t *testing.T) []*fixture {
	t.Helper()
	discard := slog.New(slog.DiscardHandler)
	var addresses []string
	for range 3 {
		addresses = append(addresses, freeAddress(t))
	}
	fixtures := make([]*fixture, 3)
	for i := range fixtures {
		peer, err := cluster.Open(t.Context(), cluster.Config{
			ID: fmt.Sprint("peer", i), DataDir: filepath.Join(t.TempDir(), fmt.Sprint(i)), RaftAddr: "127.0.0.1:0",
			GossipAddr: addresses[i], Join: addresses, Expect: 3, Logger: discard,
			HeartbeatTimeout: 300 * time.Millisecond, ElectionTimeout: 300 * time.Millisecond, LeaderLease: 200 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = peer.Close() }) // tests close some themselves
		fixtures[i] = &fixture{t: t, peer: peer, clock: &clock{time: noon}, progress: &progressTable{}, keys: map[string]string{}}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for _, f := range fixtures {
		if err := f.peer.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		server, err := New(Config{
			State: f.peer, Sealer: f.peer.Keyring(), Progress: f.progress, Now: f.clock.now, Logger: discard, EventInterval: time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		f.server = server
	}
	fixtures[0].propose(cluster.CreateOrganisation{Organisation: cluster.Organisation{ID: "default", Created: noon}})
	for _, role := range []cluster.Role{cluster.RoleAdmin, cluster.RoleSubmit, cluster.RoleRead} {
		text, key, err := NewKey(rand.Reader, "default", role, "", noon)
		if err != nil {
			t.Fatal(err)
		}
		fixtures[0].propose(cluster.CreateKey{Key: key})
		for _, f := range fixtures {
			f.keys["default/"+string(role)] = text
		}
	}
	return fixtures
}

// eventually asks until the answer has that status: elections take their time.
func (f *fixture) eventually(status int, ask func() answer) answer {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 60*time.Second)
	defer cancel()
	for {
		got := ask()
		if got.status == status {
			return got
		}
		select {
		case <-ctx.Done():
			f.t.Fatalf("got %d, want %d: %s", got.status, status, got.body)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestSameIdempotencyKeyAtOnceOnAllPeersMakesOneJob(t *testing.T) {
	peers := newPeers(t)
	for round := range 5 {
		answers := make([]answer, 9)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() {
				answers[i] = peers[i%3].do("default/submit", "POST", jobsPath, request(fmt.Sprint("once-", round)), fmt.Sprint("Idempotency-Key: ", round))
			})
		}
		all.Wait()
		for i, got := range answers {
			if got.status != http.StatusCreated || got.body != answers[0].body {
				t.Errorf("peer%d: got %d %s, the first %s", i%3, got.status, got.body, answers[0].body)
			}
		}
	}
	for _, f := range peers {
		list := f.want(http.StatusOK, f.do("default/read", "GET", jobsPath, ""))
		if count := list.members(t)["count"]; count != 5.0 {
			t.Errorf("%s has %v jobs", f.peer.ID(), count)
		}
	}
}

func TestWhatOnePeerAcknowledgedEveryPeerShowsAtOnce(t *testing.T) {
	peers := newPeers(t)
	for i := range 12 {
		made := peers[i%3].create(fmt.Sprint("seen-", i))
		for _, f := range peers {
			f.want(http.StatusOK, f.do("default/read", "GET", jobsPath+string(made.ID)+"/", ""))
		}
		peers[(i+1)%3].want(http.StatusOK, peers[(i+1)%3].do("default/submit", "DELETE", jobsPath+string(made.ID)+"/", ""))
		for _, f := range peers {
			if shown := f.view(f.want(http.StatusOK, f.do("default/read", "GET", jobsPath+string(made.ID)+"/", ""))); shown.Status != job.Cancelled {
				t.Fatalf("%s still shows %s", f.peer.ID(), shown.Status)
			}
		}
	}
}

// TestStreamGoesOnAtAnotherPeer: the ids of events are the same everywhere.
func TestStreamGoesOnAtAnotherPeer(t *testing.T) {
	peers := newPeers(t)
	bases := make([]string, len(peers))
	for i, f := range peers {
		bases[i] = f.serve()
	}
	made := peers[0].create("stream")
	at := peers[0].open(bases[0], "/api/v1/default/events/", "0")
	first := at.nextStatus()
	if first.job.ID != made.ID || first.job.Status != job.Queued {
		t.Fatalf("got %+v", first)
	}
	at.close()
	ref := peers[1].start(made.ID)
	started := peers[1].open(bases[1], "/api/v1/default/events/", first.id)
	second := started.nextStatus()
	if second.job.Status != job.Transcoding {
		t.Fatalf("got %+v", second)
	}
	started.close()
	peers[2].propose(cluster.FailTask{Ref: ref, Failure: *job.Fail(job.InputEmpty, "empty"), At: noon})
	other := peers[2].create("stream-2")
	// Each peer tells the rest, in the same order and under the same ids.
	var want []string
	for i, f := range peers {
		rest := f.open(bases[i], "/api/v1/default/events/", second.id)
		ended, queued := rest.nextStatus(), rest.nextStatus()
		if ended.job.ID != made.ID || ended.job.Status != job.Error || queued.job.ID != other.ID {
			t.Errorf("%s tells %+v, then %+v", f.peer.ID(), ended, queued)
		}
		got := []string{ended.id, queued.id}
		if want == nil {
			want = got
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s calls the events %v, the first peer %v", f.peer.ID(), got, want)
		}
		// The same for the stream of one job; a state that is known isn't told again.
		one := f.open(bases[i], jobsPath+string(made.ID)+"/events/", second.id)
		if again := one.nextStatus(); again.id != ended.id {
			t.Errorf("%s calls the job's event %s, before %s", f.peer.ID(), again.id, ended.id)
		}
	}
	for _, id := range want {
		if _, err := strconv.ParseUint(id, 10, 64); err != nil {
			t.Errorf("the id %q isn't a revision", id)
		}
	}
}

func TestPeerWithoutAQuorumSaysSoAndShowsWhatItHas(t *testing.T) {
	peers := newPeers(t)
	made := peers[0].create("kept")
	survivor := peers[2]
	survivor.want(http.StatusOK, survivor.do("default/read", "GET", jobsPath, "")) // it has applied that
	for _, f := range peers[:2] {
		if err := f.peer.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, ask := range []func() answer{
		func() answer { return survivor.do("default/read", "GET", jobsPath, "") },
		func() answer { return survivor.do("default/read", "GET", jobsPath+"?consistency=strong", "") },
		func() answer { return survivor.do("default/submit", "POST", jobsPath, request("refused")) },
		func() answer { return survivor.do("default/submit", "DELETE", jobsPath+string(made.ID)+"/", "") },
		func() answer { return survivor.do("", "GET", "/readyz", "") },
	} {
		got := survivor.eventually(http.StatusServiceUnavailable, ask)
		if got.header.Get("Retry-After") == "" || !strings.Contains(got.body, "no_leader") {
			t.Errorf("got %v", got)
		}
	}
	survivor.want(http.StatusOK, survivor.do("default/read", "GET", jobsPath+string(made.ID)+"/?consistency=stale", ""))
	survivor.want(http.StatusOK, survivor.do("default/read", "GET", "/api/v1/cluster/", ""))
	survivor.want(http.StatusOK, survivor.do("", "GET", "/healthz", ""))
	// A value that isn't one is named, also now.
	bad := survivor.want(http.StatusBadRequest, survivor.do("default/read", "GET", jobsPath+"?consistency=eventual", ""))
	if bad.members(t)["consistency"] == nil {
		t.Errorf("got %s", bad.body)
	}
}

// TestWorkerWithoutTheLogServesTheWholeAPI: its clients can't tell.
func TestWorkerWithoutTheLogServesTheWholeAPI(t *testing.T) {
	voter := newFixture(t, func(*Config) {}) // a cluster of its own, to have the keys' texts from
	config := cluster.Config{
		RaftAddr: "127.0.0.1:0", MaxVoters: 1, Logger: slog.New(slog.DiscardHandler), StableFor: 200 * time.Millisecond,
		HeartbeatTimeout: 300 * time.Millisecond, ElectionTimeout: 300 * time.Millisecond, LeaderLease: 200 * time.Millisecond,
	}
	gossip := freeAddress(t)
	open := func(id, gossip string, join ...string) *fixture {
		config := config
		config.ID, config.DataDir, config.GossipAddr, config.Join = id, filepath.Join(t.TempDir(), id), gossip, join
		peer, err := cluster.Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = peer.Close() })
		away := peer.ForwardHTTP()
		server, err := New(Config{
			State: peer, Sealer: peer.Keyring(), Now: voter.clock.now, EventInterval: time.Millisecond,
			Elsewhere: func() http.Handler {
				if peer.HoldsState() {
					return nil
				}
				return away
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		peer.HandleHTTP(server)
		return &fixture{t: t, peer: peer, server: server, clock: voter.clock, progress: voter.progress, keys: voter.keys}
	}
	holder := open("holder", gossip)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := holder.peer.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	holder.propose(cluster.CreateOrganisation{Organisation: cluster.Organisation{ID: "default", Created: noon}})
	for _, key := range voter.peer.Stale().Keys("default") {
		holder.propose(cluster.CreateKey{Key: *key})
	}
	worker := open("worker", freeAddress(t), gossip)
	worker.eventually(http.StatusOK, func() answer { return worker.do("", "GET", "/readyz", "") })
	if worker.peer.HoldsState() {
		t.Fatal("the second peer holds the state")
	}
	base := worker.serve()
	made := worker.create("through-a-worker")
	if again := worker.view(worker.want(http.StatusOK, worker.do("default/read", "GET", jobsPath+string(made.ID)+"/", ""))); again.ID != made.ID {
		t.Errorf("got %+v", again)
	}
	stream := worker.open(base, "/api/v1/default/events/", "0")
	if first := stream.nextStatus(); first.job.ID != made.ID {
		t.Errorf("got %+v", first)
	}
	holder.start(made.ID)
	if second := stream.nextStatus(); second.job.Status != job.Transcoding {
		t.Errorf("got %+v", second)
	}
	stream.close()
	worker.want(http.StatusNotFound, worker.do("default/read", "GET", jobsPath+"11111111111/", ""))
	worker.want(http.StatusForbidden, worker.do("default/read", "POST", jobsPath, "{}"))
	worker.want(http.StatusOK, worker.do("default/admin", "GET", "/api/v1/cluster/", ""))
	if err := holder.peer.Close(); err != nil {
		t.Fatal(err)
	}
	alone := worker.eventually(http.StatusServiceUnavailable, func() answer { return worker.do("default/read", "GET", jobsPath, "") })
	if alone.header.Get("Retry-After") == "" || alone.members(t)["code"] != "no_leader" {
		t.Errorf("got %v", alone)
	}
}
