package cluster

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// API requests that a worker passes on come to a voter by the peers' port, as
// the client sent them: HTTP/1.1 on connections of their own, behind the
// cluster's certificates.

const (
	// headerClient is the client's address, as the peer that took the request saw it.
	headerClient = "Millrace-Client"
	// headerRefused is in the answer of a peer that didn't look at the request.
	headerRefused = "Millrace-Refused"
	// forwardedHeaderBytes is the most that a passed-on request's headers may
	// hold: more than any API server takes, so that it is that one who refuses.
	forwardedHeaderBytes = 1 << 20
	// forwardedDrain is how long a stopping peer lets requests that others have
	// passed on to it come to an end.
	forwardedDrain = 5 * time.Second
)

// forwarded answers the API requests that other peers pass on.
type forwarded struct {
	peer   *Peer
	server *http.Server
	drains time.Duration // forwardedDrain
	work   sync.WaitGroup

	mu      sync.Mutex
	handler http.Handler
	closed  bool
	open    map[*forwardedAnswer]context.CancelFunc
	gone    chan struct{} // closed and replaced when a request has ended
}

func newForwarded(p *Peer) *forwarded {
	f := &forwarded{peer: p, drains: forwardedDrain, open: make(map[*forwardedAnswer]context.CancelFunc), gone: make(chan struct{})}
	f.server = p.httpServer(f, forwardedHeaderBytes, "forwarded")
	return f
}

// serve begins to answer.
func (f *forwarded) serve() {
	listener := f.peer.mux.side(f.peer.mux.api)
	f.work.Go(func() { _ = f.server.Serve(listener) }) // ends with http.ErrServerClosed
}

// HandleHTTP answers, from now on, the API requests that other peers pass on to
// this one (see ForwardHTTP): it is told the client's address as RemoteAddr. It
// is asked only while this peer holds the state. A request's ctx ends with the
// client's, and with the peer; streams (text/event-stream) end as soon as the
// peer begins to stop.
func (p *Peer) HandleHTTP(handler http.Handler) {
	p.forwarded.mu.Lock()
	defer p.forwarded.mu.Unlock()
	p.forwarded.handler = handler
}

// ServeHTTP implements http.Handler.
func (f *forwarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if limit, err := strconv.ParseInt(r.Header.Get(headerTimeout), 10, 64); err == nil && limit > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, time.Duration(limit)*time.Millisecond)
		defer stop()
	}
	answer := &forwardedAnswer{ResponseWriter: w, of: f}
	handler := f.begin(answer, cancel)
	if handler == nil || !f.peer.HoldsState() {
		// Not a word of the request was looked at: another peer may be asked.
		w.Header().Set(headerRefused, "this peer doesn't answer for others")
		w.WriteHeader(http.StatusServiceUnavailable)
		f.end(answer)
		return
	}
	defer f.end(answer)
	r = r.WithContext(ctx)
	if client := r.Header.Get(headerClient); client != "" {
		r.RemoteAddr = client
	}
	for _, name := range []string{headerClient, headerTimeout, headerPeer} {
		r.Header.Del(name)
	}
	handler.ServeHTTP(answer, r)
}

// begin counts a request in; nil says that none is taken.
func (f *forwarded) begin(answer *forwardedAnswer, cancel context.CancelFunc) http.Handler {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.open[answer] = cancel
	return f.handler
}

func (f *forwarded) end(answer *forwardedAnswer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, answer)
	close(f.gone)
	f.gone = make(chan struct{})
}

// drain takes no more requests, ends the streams, and waits for the others.
func (f *forwarded) drain() {
	patience := time.NewTimer(f.drains)
	defer patience.Stop()
	for {
		f.mu.Lock()
		f.closed = true
		for answer, cancel := range f.open {
			if answer.stream {
				cancel()
			}
		}
		left, gone := len(f.open), f.gone
		f.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-gone:
		case <-patience.C:
			f.peer.log.Warn("requests that other peers have passed on are cut off", "requests", left)
			return
		}
	}
}

// stop ends what drain has left; the requests' ctx has ended.
func (f *forwarded) stop() error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	err := f.server.Close()
	for {
		f.mu.Lock()
		left, gone := len(f.open), f.gone
		f.mu.Unlock()
		if left == 0 {
			break
		}
		<-gone
	}
	f.work.Wait()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}

// forwardedAnswer notices whether an answer is a stream.
type forwardedAnswer struct {
	http.ResponseWriter
	of     *forwarded
	begun  bool
	stream bool // guarded by of.mu
}

// WriteHeader implements http.ResponseWriter.
func (a *forwardedAnswer) WriteHeader(status int) {
	a.begin()
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *forwardedAnswer) Write(data []byte) (int, error) {
	a.begin()
	return a.ResponseWriter.Write(data)
}

func (a *forwardedAnswer) begin() {
	if a.begun {
		return
	}
	a.begun = true
	if !strings.HasPrefix(a.Header().Get("Content-Type"), "text/event-stream") {
		return
	}
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	a.stream = true
	if a.of.closed {
		if cancel := a.of.open[a]; cancel != nil {
			cancel()
		}
	}
}

// Flush implements http.Flusher, for handlers that ask for it themselves.
func (a *forwardedAnswer) Flush() {
	a.begin()
	_ = http.NewResponseController(a.ResponseWriter).Flush() // it can: it is net/http's
}

// Unwrap is for http.ResponseController.
func (a *forwardedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
