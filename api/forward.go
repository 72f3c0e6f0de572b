package api

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// A peer without the cluster's state has those that have it answer, whatever
// needs a key: it could neither find that nor anything else. What it knows of
// itself (/healthz, /metrics, …) it tells itself.

// elsewhere is what answers a request in this peer's place; nil if it does.
func (s *Server) elsewhere(r *http.Request, route route, endpoint endpoint) http.Handler {
	if endpoint.role == "" {
		return nil
	}
	away := s.config.Elsewhere()
	if away != nil && route.local && s.hasKey(r) {
		return nil // it may be only that nobody has told it yet who leads
	}
	return away
}

// hasKey says whether what this peer has of the state has the request's key.
func (s *Server) hasKey(r *http.Request) bool {
	text, err := keyText(r)
	if err != nil {
		return false
	}
	_, known := s.config.State.Stale().KeyByHash(HashKey(text))
	return known
}

// forward has another handler answer. A stream goes on for as long as its
// client reads and this peer runs.
func forward(w http.ResponseWriter, r *http.Request, stream bool, to http.Handler) {
	if !stream {
		to.ServeHTTP(w, r)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		select {
		case <-ctx.Done():
		case <-stopping(r.Context()):
			cancel()
		}
	})
	to.ServeHTTP(newPatientWriter(w), r.WithContext(ctx))
}

// patientWriter lets the client of a stream take its time, as long as it takes
// something: the deadline of the whole answer becomes one of each write.
type patientWriter struct {
	http.ResponseWriter
	limits *http.ResponseController
}

// newPatientWriter begins a stream: nothing more is to be read of its request.
func newPatientWriter(w http.ResponseWriter) *patientWriter {
	p := &patientWriter{w, http.NewResponseController(w)}
	_ = p.limits.SetReadDeadline(time.Time{}) // else the connection is taken for dead when it is over
	p.wait()
	return p
}

// wait gives the client its time; what is written to no connection knows no
// deadlines and needs none.
func (p *patientWriter) wait() { _ = p.limits.SetWriteDeadline(time.Now().Add(streamWriteTimeout)) }

// Write implements http.ResponseWriter.
func (p *patientWriter) Write(data []byte) (int, error) {
	p.wait()
	return p.ResponseWriter.Write(data)
}

// Flush implements http.Flusher.
func (p *patientWriter) Flush() {
	p.wait()
	_ = p.limits.Flush() // the next write finds out
}

// Unwrap is for http.ResponseController.
func (p *patientWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }
