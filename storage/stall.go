package storage

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// errStalled is why a transfer's context was cancelled by its watch.
var errStalled = errors.New("too few bytes for too long")

// watch cancels a transfer that brings fewer than least bytes in any window.
// The first window covers connecting and waiting for the answer's header.
type watch struct {
	window time.Duration
	least  int64
	moved  atomic.Int64
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

// startWatch gives the context to make the request with. Call stop when the
// transfer is over.
func (s *Store) startWatch(ctx context.Context) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{
		window: s.config.StallTimeout,
		least:  max(1, int64(s.config.StallTimeout.Seconds()*float64(s.config.MinBytesPerSecond))),
		cancel: cancel,
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.window, w.look)
	return ctx, w
}

func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	if w.moved.Swap(0) < w.least {
		w.cancel(errStalled)
		return
	}
	w.timer.Reset(w.window)
}

func (w *watch) stop() {
	w.mu.Lock()
	w.stopped = true
	w.timer.Stop()
	w.mu.Unlock()
	w.cancel(nil)
}

// count gives r with its bytes seen by the watch.
func (w *watch) count(r io.Reader) io.Reader { return &countedReader{r, w} }

type countedReader struct {
	io.Reader
	watch *watch
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.watch.moved.Add(int64(n))
	return n, err
}
