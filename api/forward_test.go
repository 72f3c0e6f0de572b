package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"millrace/cluster"
	"millrace/job"
)

// stateless is a peer without state in front of one that has it.
func stateless(t *testing.T) (front, back *fixture, base string) {
	t.Helper()
	back = newFixture(t)
	target, err := url.Parse(back.serve())
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		Transport: transport, FlushInterval: -1,
	}
	// Its own state has none of the keys, as a worker's.
	empty := newFixture(t)
	empty.server, err = New(Config{
		State: unreachable{empty.peer, cluster.ErrNotLeader}, Sealer: empty.peer.Keyring(),
		Elsewhere: func() http.Handler { return proxy }, BodyTimeout: 200 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	empty.keys = back.keys
	stop := empty.serve()
	return empty, back, stop
}

func TestPeerWithoutStateHasAnotherAnswer(t *testing.T) {
	front, back, _ := stateless(t)
	created := front.create("forwarded")
	if _, exists := back.peer.Stale().Job("default", created.ID); !exists {
		t.Fatal("the job isn't there")
	}
	listed := front.want(http.StatusOK, front.do("default/read", "GET", jobsPath+"?page_size=1", ""))
	if listed.members(t)["count"] != 1.0 {
		t.Errorf("got %s", listed.body)
	}
	front.want(http.StatusUnauthorized, front.do("", "GET", jobsPath, ""))
	front.want(http.StatusOK, front.do("default/admin", "GET", "/api/v1/cluster/", ""))
	front.want(http.StatusOK, front.do("", "GET", "/readyz", ""))
	for _, own := range []string{"/healthz", "/metrics", "/openapi.json", "/"} {
		front.want(http.StatusOK, front.do("", "GET", own, ""))
	}
}

func TestStreamThroughAnotherPeerOutlivesTheTimeOfOneAnswer(t *testing.T) {
	front, back, base := stateless(t)
	created := front.create("stream")
	stream := front.open(base, jobsPath+string(created.ID)+"/events/", "")
	if first := stream.nextStatus(); first.job.Status != job.Queued {
		t.Fatalf("got %+v", first)
	}
	// Longer than an answer may take, which is the point: time is what is tested.
	time.Sleep(2 * front.server.config.BodyTimeout)
	back.fail(created.ID)
	last := stream.nextStatus()
	for last.job.Status == job.Transcoding {
		last = stream.nextStatus()
	}
	if last.job.Status != job.Error {
		t.Errorf("got %+v", last)
	}
}

func TestStreamEndsWhenThePeerLosesItsState(t *testing.T) {
	var lost atomic.Bool
	f := newFixture(t, func(c *Config) {
		c.Heartbeat = 5 * time.Millisecond
		c.Elsewhere = func() http.Handler {
			if lost.Load() {
				return http.NotFoundHandler()
			}
			return nil
		}
	})
	stream := f.open(f.serve(), "/api/v1/default/events/", "")
	if !stream.until(": heartbeat") {
		t.Fatal("the stream is dead")
	}
	lost.Store(true)
	if stream.until(": never") {
		t.Error("it says what nobody says")
	}
}

func TestForwardedStreamEndsWhenThePeerStops(t *testing.T) {
	ended := make(chan struct{})
	f := newFixture(t, func(c *Config) {
		c.Elsewhere = func() http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(ended)
				w.Header().Set("Content-Type", "text/event-stream")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			})
		}
	})
	listener := httptest.NewUnstartedServer(nil).Listener
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, listener, f.server) }()
	f.open("http://"+listener.Addr().String(), "/api/v1/default/events/", "")
	stop()
	<-ended
	if err := <-served; err != nil && !strings.Contains(err.Error(), "deadline") {
		t.Error(err)
	}
}
