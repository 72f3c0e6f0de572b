package client_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"millrace/api/client"
	"millrace/job"
)

// goneServer is the address of a server that isn't there any more.
func goneServer(t *testing.T) string {
	t.Helper()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	return gone.URL
}

// several is a client of the fixture's peer behind other servers.
func (f *fixture) several(t *testing.T, before ...string) *client.Client {
	t.Helper()
	c, err := client.New(strings.Join(append(before, f.base), ", "), f.key, "default")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func TestNextServerIsAskedWhenOneCannotBeReached(t *testing.T) {
	f := newFixture(t)
	created := f.create("next")
	f.fail(created.ID)
	c := f.several(t, goneServer(t), goneServer(t))
	if read, err := c.Job(t.Context(), created.ID); err != nil || read.ID != created.ID {
		t.Errorf("%+v, %v", read, err)
	}
	// Nothing was sent to those that are gone, so any request may go on.
	if again, err := f.several(t, goneServer(t)).Retry(t.Context(), created.ID); err != nil || again.Status != job.Queued {
		t.Errorf("%+v, %v", again, err)
	}
	none, err := client.New(goneServer(t)+","+goneServer(t), f.key, "default")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := none.Job(t.Context(), created.ID); err == nil || strings.Count(err.Error(), "reach 127.0.0.1") != 2 {
		t.Errorf("got %v", err)
	}
}

func TestNextServerIsAskedAfter503IfThatDoesNoHarm(t *testing.T) {
	f := newFixture(t)
	var requests atomic.Int32
	// One that lost its leader while it made the change: it is made all the same.
	uncertain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		r.RequestURI = ""
		again := r.Clone(r.Context())
		again.URL.Scheme, again.URL.Host = "http", strings.TrimPrefix(f.base, "http://")
		if response, err := http.DefaultTransport.RoundTrip(again); err == nil {
			_ = response.Body.Close()
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"code": "no_leader", "detail": "The cluster has no leader now."}`))
	}))
	t.Cleanup(func() { uncertain.Close(); http.DefaultTransport.(*http.Transport).CloseIdleConnections() })

	created, err := f.several(t, uncertain.URL).CreateJob(t.Context(), client.CreateRequest{
		InputURL: "https://example.com/a.mp4", OutputPath: "s3://bucket/once/", Resolutions: []string{"240p"},
	})
	if err != nil {
		t.Fatal(err)
	}
	jobs := 0
	for range f.peer.Stale().Jobs("default") {
		jobs++
	}
	if jobs != 1 || requests.Load() != 1 {
		t.Errorf("%d jobs after %d requests", jobs, requests.Load())
	}
	c := f.several(t, uncertain.URL)
	for range 3 {
		if _, err := c.Job(t.Context(), created.ID); err != nil {
			t.Fatal(err)
		}
	}
	if got := requests.Load(); got != 2 {
		t.Errorf("the server that answers isn't stayed with: %d requests went to the other", got)
	}
	var problem *client.Problem
	if err := f.several(t, uncertain.URL).Redeliver(t.Context(), "x", "evt_1"); !errors.As(err, &problem) || problem.Status != http.StatusServiceUnavailable {
		t.Errorf("a request that may not be sent twice was, or its problem is lost: %v", err)
	}
	if _, err := f.several(t, uncertain.URL, goneServer(t)).Drain(t.Context(), "nobody"); !errors.As(err, &problem) || problem.Code != "not_found" {
		t.Errorf("got %v", err)
	}
}
