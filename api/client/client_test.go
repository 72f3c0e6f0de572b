package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace/api"
	"millrace/api/client"
	"millrace/cluster"
	"millrace/job"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a client of a served API over a real peer.
type fixture struct {
	*client.Client
	t    *testing.T
	peer *cluster.Peer
	base string
	key  string
	wrap atomic.Pointer[func(http.Handler) http.Handler] // around the API, if set
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	discard := slog.New(slog.DiscardHandler)
	peer, err := cluster.Open(t.Context(), cluster.Config{
		DataDir: t.TempDir(), RaftAddr: "127.0.0.1:0", Logger: discard,
		HeartbeatTimeout: 20 * time.Millisecond, ElectionTimeout: 20 * time.Millisecond, LeaderLease: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := peer.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	server, err := api.New(api.Config{State: peer, Sealer: peer.Keyring(), EventInterval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, peer: peer}
	text, key, err := api.NewKey(rand.Reader, "default", cluster.RoleAdmin, "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	f.propose(cluster.CreateOrganisation{Organisation: cluster.Organisation{ID: "default", Created: time.Now()}})
	f.propose(cluster.CreateKey{Key: key})
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wrap := f.wrap.Load(); wrap != nil {
			(*wrap)(server).ServeHTTP(w, r)
			return
		}
		server.ServeHTTP(w, r)
	})
	serving, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- api.Serve(serving, listener, handler) }()
	f.base, f.key = "http://"+listener.Addr().String(), text
	if f.Client, err = client.New(f.base, text, "default"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.CloseIdleConnections()
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) propose(command cluster.Command) {
	f.t.Helper()
	if _, err := f.peer.Propose(f.t.Context(), command); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) create(prefix string) job.View {
	f.t.Helper()
	created, err := f.CreateJob(f.t.Context(), client.CreateRequest{
		InputURL: "https://example.com/a.mp4", OutputPath: "s3://bucket/" + prefix + "/", Resolutions: []string{"240p"},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return created
}

// fail ends a job in an error.
func (f *fixture) fail(id job.ID) {
	f.t.Helper()
	ref := job.Ref{Job: id, Task: job.TaskID(job.InspectTask), Attempt: 1}
	f.propose(cluster.StartAttempts{At: time.Now(), Assignments: []cluster.JobAssignment{{
		Job: id, Assignment: job.Assignment{Task: ref.Task, Attempt: 1, Node: "n", Session: "s", Device: "cpu"},
	}}})
	f.propose(cluster.FailTask{Ref: ref, Failure: *job.Fail(job.InputNotFound, "HTTP 404"), At: time.Now()})
}

func TestClientGoesThroughAJobsLife(t *testing.T) {
	f := newFixture(t)
	if err := f.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	created := f.create("life")
	if read, err := f.Job(t.Context(), created.ID); err != nil || read.ID != created.ID || read.Status != job.Queued {
		t.Fatalf("%+v, %v", read, err)
	}
	if read, err := f.JobWithTasks(t.Context(), created.ID); err != nil || len(read.Tasks) != 1 {
		t.Fatalf("%+v, %v", read, err)
	}
	if said, err := f.Cancel(t.Context(), created.ID); err != nil || said != "Job cancelled successfully." {
		t.Fatalf("%q, %v", said, err)
	}
	if again, err := f.Retry(t.Context(), created.ID, "240p"); err != nil || again.Status != job.Queued {
		t.Fatalf("%+v, %v", again, err)
	}
}

func TestClientListsAllPages(t *testing.T) {
	f := newFixture(t)
	for i := range 5 {
		f.create(fmt.Sprint("list", i))
	}
	count := 0
	for _, err := range f.Jobs(t.Context(), client.JobFilter{PageSize: 2, Statuses: []job.Status{job.Queued}, OldestFirst: true}) {
		if err != nil {
			t.Fatal(err)
		}
		count++
	}
	if count != 5 {
		t.Errorf("%d jobs", count)
	}
}

func TestClientManagesWebhooks(t *testing.T) {
	f := newFixture(t)
	made, err := f.CreateWebhook(t.Context(), "https://example.com/a", "s1")
	if err != nil {
		t.Fatal(err)
	}
	if put, err := f.UpdateWebhook(t.Context(), made.ID, "https://example.com/b", "s2"); err != nil || put.SecretToken != "s2" {
		t.Fatalf("%+v, %v", put, err)
	}
	if read, err := f.Webhook(t.Context(), made.ID); err != nil || read.URL != "https://example.com/b" {
		t.Fatalf("%+v, %v", read, err)
	}
	f.fail(f.create("event").ID)
	last := ""
	for delivery, err := range f.Deliveries(t.Context(), made.ID) {
		if err != nil {
			t.Fatal(err)
		}
		last = delivery.ID
	}
	if err := f.Redeliver(t.Context(), made.ID, last); err != nil {
		t.Error(err)
	}
	if err := f.DeleteWebhook(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	for webhook, err := range f.Webhooks(t.Context()) {
		t.Errorf("left: %+v, %v", webhook, err)
	}
}

func TestRefusalsSayWhatIsWrong(t *testing.T) {
	f := newFixture(t)
	_, err := f.CreateJob(t.Context(), client.CreateRequest{InputURL: "ftp://x", OutputPath: "s3://bucket/a/"})
	var problem *client.Problem
	if !errors.As(err, &problem) || problem.Status != 400 || problem.Code != "invalid_request" ||
		!strings.Contains(err.Error(), "input_url: The URL's scheme") || !strings.Contains(err.Error(), "resolutions: ") {
		t.Errorf("got %v", err)
	}
	_, err = f.Job(t.Context(), "11111111111")
	if !errors.As(err, &problem) || problem.Status != 404 || problem.Temporary() {
		t.Errorf("got %v", err)
	}
	stranger, err := client.New(f.base, "mr_wrong", "default")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.CloseIdleConnections()
	if _, err = stranger.Job(t.Context(), "11111111111"); !errors.As(err, &problem) || problem.Code != "not_authenticated" {
		t.Errorf("got %v", err)
	}
}

func TestBadAddressesAndKeysAreRefusedBeforeUse(t *testing.T) {
	for _, c := range []struct{ server, key, org string }{
		{"", "k", "o"}, {"localhost:8080", "k", "o"}, {"ftp://x", "k", "o"}, {"http://", "k", "o"}, {"http://x?a=b", "k", "o"},
		{"http://x", "k\n", "o"}, {"http://x", "k", ""},
	} {
		if _, err := client.New(c.server, c.key, c.org); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

func TestWatchSeesAJobToItsEnd(t *testing.T) {
	f := newFixture(t)
	created := f.create("watch")
	var seen []job.Status
	err := f.Watch(t.Context(), created.ID, func(j job.View) {
		seen = append(seen, j.Status)
		if j.Status == job.Queued {
			f.fail(created.ID)
		}
	})
	if err != nil || len(seen) < 2 || seen[0] != job.Queued || seen[len(seen)-1] != job.Error {
		t.Errorf("saw %v, %v", seen, err)
	}
	// One that has ended already is seen once.
	seen = nil
	if err := f.Watch(t.Context(), created.ID, func(j job.View) { seen = append(seen, j.Status) }); err != nil || len(seen) != 1 {
		t.Errorf("saw %v, %v", seen, err)
	}
}

func TestWatchConnectsAgainWhenTheStreamBreaks(t *testing.T) {
	f := newFixture(t)
	created := f.create("broken")
	var connections atomic.Int32
	cutFirst := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/events/") && connections.Add(1) == 1 {
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
	}
	f.wrap.Store(&cutFirst)
	err := f.Watch(t.Context(), created.ID, func(j job.View) {
		if j.Status == job.Queued {
			f.fail(created.ID)
		}
	})
	if err != nil || connections.Load() < 2 {
		t.Errorf("after %d connections: %v", connections.Load(), err)
	}
}

func TestWatchPollsWhereThereAreNoStreams(t *testing.T) {
	f := newFixture(t)
	created := f.create("poll")
	f.fail(created.ID)
	noStreams := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/events/") {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	f.wrap.Store(&noStreams)
	var seen []job.Status
	if err := f.Watch(t.Context(), created.ID, func(j job.View) { seen = append(seen, j.Status) }); err != nil || len(seen) != 1 || seen[0] != job.Error {
		t.Errorf("saw %v, %v", seen, err)
	}
}

func TestWatchGivesUpOnWhatTimeCannotCure(t *testing.T) {
	f := newFixture(t)
	var problem *client.Problem
	if err := f.Watch(t.Context(), "11111111111", func(job.View) {}); !errors.As(err, &problem) || problem.Status != 404 {
		t.Errorf("got %v", err)
	}
	created := f.create("ctx")
	ctx, cancel := context.WithCancel(t.Context())
	err := f.Watch(ctx, created.ID, func(job.View) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAnswersThatAreNotOursAreToldPlainly(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte("<html>Bad gateway</html>"))
	}))
	defer proxy.Close()
	c, err := client.New(proxy.URL, "k", "default")
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	var problem *client.Problem
	if err := c.Ready(t.Context()); !errors.As(err, &problem) || problem.RetryAfter != 7*time.Second || !problem.Temporary() || !strings.Contains(err.Error(), "Bad Gateway") {
		t.Errorf("got %v", err)
	}
}
