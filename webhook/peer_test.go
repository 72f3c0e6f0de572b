package webhook

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"millrace/cluster"
	"millrace/job"
)

// openPeer starts a peer over a folder and waits until it leads.
func openPeer(t *testing.T, folder string) *cluster.Peer {
	t.Helper()
	peer, err := cluster.Open(t.Context(), cluster.Config{
		DataDir: folder, RaftAddr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
		HeartbeatTimeout: 20 * time.Millisecond, ElectionTimeout: 20 * time.Millisecond, LeaderLease: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() }) // once more than the test does is no error that matters
	if err := peer.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return peer
}

func propose(t *testing.T, peer *cluster.Peer, command cluster.Command) {
	t.Helper()
	if _, err := peer.Propose(t.Context(), command); err != nil {
		t.Fatalf("%s: %v", command.Name(), err)
	}
}

// lead runs a dispatcher for as long as the peer leads and stop isn't called.
func lead(t *testing.T, peer *cluster.Peer) (stop func()) {
	t.Helper()
	dispatcher := New(Config{State: peer, Sealer: peer.Keyring(), Client: client(t),
		Schedule: Schedule{Pauses: []time.Duration{300 * time.Millisecond}, GiveUpAfter: time.Hour}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = peer.Lead(ctx, dispatcher.Run) // ends as ctx does
	}()
	return func() { cancel(); <-done }
}

// until waits until the peer's state is as wanted.
func until(t *testing.T, peer *cluster.Peer, what string, holds func(cluster.View) bool) {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		view := peer.Stale()
		if holds(view) {
			return
		}
		select {
		case <-view.Changed():
		case <-limit:
			t.Fatalf("a minute has passed before %s", what)
		}
	}
}

func deliveries(view cluster.View, webhook string) []*cluster.Event {
	var events []*cluster.Event
	for event := range view.Deliveries("default", webhook) {
		events = append([]*cluster.Event{event}, events...) // oldest first
	}
	return events
}

func TestEventsOfARealPeerSurviveItsRestart(t *testing.T) {
	var healed atomic.Bool
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		if !healed.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	folder := t.TempDir()
	peer := openPeer(t, folder)
	secret, err := peer.Keyring().Seal([]byte("secret"), SecretContext)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	propose(t, peer, cluster.CreateOrganisation{Organisation: cluster.Organisation{ID: "default", Created: now}})
	propose(t, peer, cluster.PutWebhook{Webhook: cluster.Webhook{ID: "w", Org: "default", URL: e.url, Secret: secret, Created: now}})
	stop := lead(t, peer)
	spec := aJob("default", "", job.Queued).Spec
	propose(t, peer, cluster.CreateJob{ID: "5KQfnXCg8Qh", Org: "default", Spec: spec, At: now})
	propose(t, peer, cluster.CancelJob{ID: "5KQfnXCg8Qh", Org: "default", At: now})
	propose(t, peer, cluster.RetryJob{ID: "5KQfnXCg8Qh", Org: "default", At: now})
	until(t, peer, "a try has failed", func(view cluster.View) bool {
		events := deliveries(view, "w")
		return len(events) == 2 && len(events[0].Deliveries) > 0
	})
	stop()
	if err := peer.Close(); err != nil {
		t.Fatal(err)
	}

	healed.Store(true)
	peer = openPeer(t, folder)
	defer lead(t, peer)()
	until(t, peer, "both events are delivered", func(view cluster.View) bool {
		events := deliveries(view, "w")
		return len(events) == 2 && events[0].Done && events[1].Done
	})

	got := e.all()
	first, last := got[0], got[len(got)-1]
	if first.view.Status != job.Cancelled || last.view.Status != job.Queued {
		t.Errorf("the first request tells of %s, the last of %s", first.view.Status, last.view.Status)
	}
	receiver, err := standardwebhooks.NewWebhookRaw([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range got {
		if err := receiver.Verify(one.body, one.header); err != nil {
			t.Error(err)
		}
	}
}
