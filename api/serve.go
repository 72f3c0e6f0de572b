package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// headerTimeout is how long a client may take for a request's headers: a
	// slow one costs a goroutine and a file descriptor for so long, no more.
	headerTimeout = 5 * time.Second
	// idleTimeout is how long a connection is kept for the next request; above
	// the 60 s that most proxies keep theirs, so that they close first.
	idleTimeout = 75 * time.Second
	// maxHeaderBytes is the most that a request's headers may hold: a presigned
	// URL stands in bodies here, never in a header.
	maxHeaderBytes = 32 << 10
	// drainTimeout is how long requests that are being answered are waited for
	// when the peer stops; one takes RequestTimeout at most.
	drainTimeout = 20 * time.Second
)

// stoppingKey is under which a request's context has the channel that is
// closed when its server begins to stop.
type stoppingKey struct{}

// stopping is closed when the server that took the request begins to stop; nil
// if it wasn't Serve. Streams end then, other requests are answered to their end.
func stopping(ctx context.Context) <-chan struct{} {
	channel, _ := ctx.Value(stoppingKey{}).(<-chan struct{})
	return channel
}

// Serve answers requests that come to listener until ctx ends. Then it takes no
// more, lets those that are being answered finish, and returns nil; those that
// take too long are cut off, which is an error. It closes the listener.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	requests, cutOff := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), stoppingKey{}, ctx.Done()))
	defer cutOff()
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return requests },
		// Handshakes that fail and clients that misbehave are no news.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve HTTP on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(requests, drainTimeout)
	defer cancel()
	err := server.Shutdown(grace)
	if err != nil {
		cutOff()
		err = errors.Join(fmt.Errorf("stop HTTP on %s: %w", listener.Addr(), err), server.Close())
	}
	if serving := <-ended; !errors.Is(serving, http.ErrServerClosed) {
		err = errors.Join(err, serving)
	}
	return err
}
