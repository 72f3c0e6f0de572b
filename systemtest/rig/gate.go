package rig

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"millrace/storage/storagetest"
)

// Gate stands before an S3 server and can hold requests, so that a test can do
// something at the very moment at which a peer writes an object.
type Gate struct {
	t       testing.TB
	server  *httptest.Server
	gateway *storagetest.Gateway

	mu       sync.Mutex
	method   string
	suffix   string         // of the path of what is held
	answered bool           // what is held is the answer
	held     chan struct{}  // gets a token for each request that is held
	release  chan struct{}  // closed to let everything through
	busy     int            // requests that are yet to be refused
	begun    map[string]int // by path: the moment at which a write began,
	ended    map[string]int // and at which the latest was answered
	moment   int            // counts both
}

// NewGate stands at address (host:port, port 0 for a free one) until the test ends.
func NewGate(t testing.TB, gateway *storagetest.Gateway, address string) *Gate {
	t.Helper()
	target, err := url.Parse(gateway.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{t: t, gateway: gateway, held: make(chan struct{}, 100), release: make(chan struct{}),
		begun: make(map[string]int), ended: make(map[string]int)}
	// The Host stays as the peer signed it.
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	g.server = Listen(t, address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		hold, answered, release := g.suffix != "" && r.Method == g.method && strings.HasSuffix(r.URL.Path, g.suffix), g.answered, g.release
		busy := g.busy > 0 && r.Method == http.MethodPut
		if busy {
			g.busy--
		}
		g.mu.Unlock()
		if busy {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if hold && !answered && !g.wait(r, release) {
			return
		}
		g.note(r, g.begun)
		if hold && answered {
			proxy.ServeHTTP(&late{ResponseWriter: w, before: func() { g.wait(r, release) }}, r)
		} else {
			proxy.ServeHTTP(w, r)
		}
		g.note(r, g.ended)
	}))
	t.Cleanup(g.Open)
	return g
}

// wait holds a request until the gate opens, or says that its client is gone.
func (g *Gate) wait(r *http.Request, release <-chan struct{}) bool {
	g.held <- struct{}{}
	select {
	case <-release:
		return true
	case <-r.Context().Done():
		return false
	}
}

// late does something before the answer goes out.
type late struct {
	http.ResponseWriter
	before func()
}

func (l *late) WriteHeader(status int) {
	l.before()
	l.ResponseWriter.WriteHeader(status)
}

// URL names an object behind the gate.
func (g *Gate) URL(bucket, key string) string {
	behind := *g.gateway
	behind.Endpoint = g.server.URL
	return behind.URL(bucket, key)
}

// Hold makes requests wait whose method is this and whose path ends so.
func (g *Gate) Hold(method, suffix string) { g.hold(method, suffix, false) }

// HoldAnswer lets them through to the store, and makes its answer wait.
func (g *Gate) HoldAnswer(method, suffix string) { g.hold(method, suffix, true) }

func (g *Gate) hold(method, suffix string, answered bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.method, g.suffix, g.answered, g.release = method, suffix, answered, make(chan struct{})
}

// Reached waits until a request is held.
func (g *Gate) Reached() {
	g.t.Helper()
	Eventually(g.t, "a request to "+g.suffix+" is held", func() bool {
		select {
		case <-g.held:
			return true
		default:
			return false
		}
	})
}

// note writes down the moment at which a write begins or is answered.
func (g *Gate) note(r *http.Request, what map[string]int) {
	if r.Method != http.MethodPut {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.moment++
	what[strings.TrimPrefix(r.URL.Path, "/")] = g.moment
}

// Refuse answers the next n writes with 503.
func (g *Gate) Refuse(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy = n
}

// Refusals is how many of them are still to come.
func (g *Gate) Refusals() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.busy
}

// WroteBefore says whether the write of an object was answered before that of
// another began. Both are named by bucket and key, and were written once.
func (g *Gate) WroteBefore(object, other string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ended[object] > 0 && g.ended[object] < g.begun[other]
}

// Open lets everything through from now on.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.suffix != "" {
		close(g.release)
	}
	g.suffix = ""
}
