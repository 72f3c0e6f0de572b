package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"millrace/job"
)

// Loopback serves Sources to ffmpeg on 127.0.0.1, each under a random path of
// 128 bits. It knows GET, HEAD and ranges, and nothing else: no listing, no
// writing, no way to another URL.
type Loopback struct {
	server   *http.Server
	listener net.Listener
	done     chan struct{} // closed when the server's goroutine has ended

	mu     sync.Mutex
	served map[string]*Served
}

// NewLoopback starts the server on a free port. Close it. When ctx ends, so do
// the reads.
func NewLoopback(ctx context.Context) (*Loopback, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen on the loopback for sources: %w", err)
	}
	l := &Loopback{listener: listener, done: make(chan struct{}), served: map[string]*Served{}}
	l.server = &http.Server{
		Handler:           http.HandlerFunc(l.handle),
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		// No write timeout: an encoder may let the connection wait for as long
		// as it takes to encode what it has.
	}
	go func() {
		defer close(l.done)
		_ = l.server.Serve(listener) // always an error: the server was closed
	}()
	return l, nil
}

// Port is where the server listens, for the sandbox's rules.
func (l *Loopback) Port() int { return l.listener.Addr().(*net.TCPAddr).Port }

// Close ends the server and every read that it has going. Release what is
// served first.
func (l *Loopback) Close() error {
	err := l.server.Close()
	<-l.done
	return err
}

// Served is a Source that can be fetched by URL until it is released.
type Served struct {
	loopback *Loopback
	source   *Source
	path     string

	ctx    context.Context // ends at Release
	cancel context.CancelFunc
	reads  sync.WaitGroup
	bytes  atomic.Int64

	mu      sync.Mutex
	failure *job.Failure
}

// Serve makes the source available under a new URL. The source must stay open
// until Release has returned.
func (l *Loopback) Serve(source *Source) *Served {
	s := &Served{loopback: l, source: source, path: "/" + randomName()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.served[s.path] = s
	return s
}

// URL is where the source is served.
func (s *Served) URL() string { return "http://" + s.loopback.listener.Addr().String() + s.path }

// Failure is why the source first failed while it was served, nil if it hasn't.
// A client that went away is no failure.
func (s *Served) Failure() *job.Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// Bytes is how much of the source has been read by the client so far.
func (s *Served) Bytes() int64 { return s.bytes.Load() }

// Release ends the URL and the reads under it, and waits for them. Calling it
// again does nothing.
func (s *Served) Release() {
	s.loopback.mu.Lock()
	delete(s.loopback.served, s.path)
	s.loopback.mu.Unlock()
	s.cancel()
	s.reads.Wait()
}

func (l *Loopback) handle(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	s := l.served[r.URL.Path]
	if s != nil {
		s.reads.Add(1) // under the lock, so that Release waits for it
	}
	l.mu.Unlock()
	if s == nil {
		http.NotFound(w, r)
		return
	}
	defer s.reads.Done()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	// Several ranges in one request are answered with all of it, as HTTP allows.
	if strings.Contains(r.Header.Get("Range"), ",") {
		r.Header.Del("Range")
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	w.Header().Set("Content-Type", "application/octet-stream")
	body := &servedReader{ctx: ctx, served: s}
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(body, 0, s.source.Size()))
}

// servedReader reads for one request. ServeContent drops its errors and breaks
// the connection off, so it keeps them in the Served.
type servedReader struct {
	ctx    context.Context
	served *Served
}

func (r *servedReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.served.source.ReadAtContext(r.ctx, p, off)
	r.served.bytes.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		r.served.note(r.ctx, err)
	}
	return n, err
}

func (s *Served) note(ctx context.Context, err error) {
	var failure *job.Failure
	if !errors.As(err, &failure) && ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		s.failure = asFailure(err)
	}
}
