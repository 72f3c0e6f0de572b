package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"millrace/job"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// received is one request as an endpoint saw it.
type received struct {
	header http.Header
	body   []byte
	view   job.View
	at     time.Time
}

// endpoint is a receiver of webhooks that keeps what it got and answers by a function.
type endpoint struct {
	url    string
	mutex  sync.Mutex
	got    []received
	answer func(w http.ResponseWriter, r *http.Request, nth int)
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	one := received{header: r.Header.Clone(), body: body, at: time.Now()}
	_ = json.Unmarshal(body, &one.view)
	e.mutex.Lock()
	e.got = append(e.got, one)
	nth := len(e.got)
	e.mutex.Unlock()
	if e.answer != nil {
		e.answer(w, r, nth)
	}
}

func (e *endpoint) all() []received {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return append([]received(nil), e.got...)
}

// serve starts an endpoint on a real port.
func serve(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, nth int)) *endpoint {
	t.Helper()
	e := &endpoint{answer: answer}
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	e.url = server.URL + "/hook"
	return e
}

// answerWith answers every request with one status.
func answerWith(code int) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(code) }
}

// client is a client of the test's own, closed at its end.
func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// start runs a dispatcher until stop is called or the test ends.
func start(t *testing.T, config Config) (stop func()) {
	t.Helper()
	if config.Sealer == nil {
		config.Sealer = plain{}
	}
	if config.Client == nil {
		config.Client = client(t)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := New(config).Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

// pipes is a network in memory on which fake time works: real HTTP servers and
// clients over net.Pipe.
type pipes struct {
	mutex     sync.Mutex
	listeners map[string]*pipeListener // by host:port
}

type pipeListener struct {
	connections chan net.Conn
	closed      chan struct{}
	once        sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.connections:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80} }

// serve starts an endpoint at http://host/hook.
func (p *pipes) serve(t *testing.T, host string, answer func(http.ResponseWriter, *http.Request, int)) *endpoint {
	t.Helper()
	e := &endpoint{url: "http://" + host + "/hook", answer: answer}
	listener := &pipeListener{connections: make(chan net.Conn), closed: make(chan struct{})}
	p.mutex.Lock()
	if p.listeners == nil {
		p.listeners = make(map[string]*pipeListener)
	}
	p.listeners[host+":80"] = listener
	p.mutex.Unlock()
	server := &http.Server{Handler: e}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return e
}

func (p *pipes) client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		p.mutex.Lock()
		listener := p.listeners[address]
		p.mutex.Unlock()
		if listener == nil {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: net.UnknownNetworkError("connection refused")}
		}
		near, far := net.Pipe()
		select {
		case listener.connections <- far:
			return near, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}
