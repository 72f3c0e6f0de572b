package systemtest

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

// gate stands before an S3 server and can hold requests, so that a test can do
// something at the very moment at which a peer writes an object.
type gate struct {
	t       testing.TB
	server  *httptest.Server
	gateway *storagetest.Gateway

	mu      sync.Mutex
	method  string
	suffix  string         // of the path of what is held
	held    chan struct{}  // gets a token for each request that is held
	release chan struct{}  // closed to let everything through
	busy    int            // requests that are yet to be refused
	begun   map[string]int // by path: the moment at which a write began,
	ended   map[string]int // and at which the latest was answered
	moment  int            // counts both
}

func newGate(t testing.TB, gateway *storagetest.Gateway) *gate {
	t.Helper()
	target, err := url.Parse(gateway.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, gateway: gateway, held: make(chan struct{}, 100), release: make(chan struct{}),
		begun: make(map[string]int), ended: make(map[string]int)}
	// The Host stays as the peer signed it.
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	g.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		hold, release := g.suffix != "" && r.Method == g.method && strings.HasSuffix(r.URL.Path, g.suffix), g.release
		busy := g.busy > 0 && r.Method == http.MethodPut
		if busy {
			g.busy--
		}
		g.mu.Unlock()
		if busy {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if hold {
			g.held <- struct{}{}
			select {
			case <-release:
			case <-r.Context().Done():
				return
			}
		}
		g.note(r, g.begun)
		proxy.ServeHTTP(w, r)
		g.note(r, g.ended)
	}))
	t.Cleanup(func() {
		g.open()
		g.server.CloseClientConnections()
		g.server.Close()
	})
	return g
}

// url names an object behind the gate.
func (g *gate) url(bucket, key string) string {
	behind := *g.gateway
	behind.Endpoint = g.server.URL
	return behind.URL(bucket, key)
}

// hold makes requests wait whose method is this and whose path ends so.
func (g *gate) hold(method, suffix string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.method, g.suffix, g.release = method, suffix, make(chan struct{})
}

// reached waits until a request is held.
func (g *gate) reached() {
	g.t.Helper()
	eventually(g.t, "a request to "+g.suffix+" is held", func() bool {
		select {
		case <-g.held:
			return true
		default:
			return false
		}
	})
}

// note writes down the moment at which a write begins or is answered.
func (g *gate) note(r *http.Request, what map[string]int) {
	if r.Method != http.MethodPut {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.moment++
	what[strings.TrimPrefix(r.URL.Path, "/")] = g.moment
}

// refuse answers the next n writes with 503.
func (g *gate) refuse(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy = n
}

// refusals is how many of them are still to come.
func (g *gate) refusals() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.busy
}

// wroteBefore says whether the write of an object was answered before that of
// another began. Both are named by bucket and key, and were written once.
func (g *gate) wroteBefore(object, other string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ended[object] > 0 && g.ended[object] < g.begun[other]
}

// open lets everything through from now on.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.suffix != "" {
		close(g.release)
	}
	g.suffix = ""
}
