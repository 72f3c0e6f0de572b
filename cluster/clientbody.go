package cluster

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// maxResent is the size of the largest body that is kept, to be sent again to
// another voter: several times what a job needs.
const maxResent = 64 << 10

// clientBody is a client's request body, which may be sent more than once.
type clientBody struct {
	io.ReadCloser
	over atomic.Bool // the request was answered: a transport may try to read on

	mu   sync.Mutex
	kept []byte // what was read so far
	lost bool   // that is no longer all of it
	err  error  // of the read that came to the end
}

// resendable says whether the whole of a request can still be sent.
func resendable(r *http.Request) bool {
	if r.Body == nil || r.Body == http.NoBody {
		return true
	}
	body, ok := r.Body.(*clientBody)
	if !ok {
		return false
	}
	body.mu.Lock()
	defer body.mu.Unlock()
	return !body.lost
}

// try is the body for one try. finished waits until nobody reads it any more: a
// transport may do so after it has given up.
func (b *clientBody) try() (body io.ReadCloser, finished func()) {
	t := &bodyTry{of: b, closed: make(chan struct{})}
	return t, func() { <-t.closed }
}

// bodyTry reads a client's body from its start.
type bodyTry struct {
	of     *clientBody
	at     int
	close  sync.Once
	closed chan struct{}
}

// Read implements io.Reader.
func (t *bodyTry) Read(data []byte) (int, error) {
	b := t.of
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.lost && t.at < len(b.kept) {
		n := copy(data, b.kept[t.at:])
		t.at += n
		return n, nil
	}
	if b.over.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.ReadCloser.Read(data)
	if b.lost = b.lost || len(b.kept)+n > maxResent; b.lost {
		b.kept = nil
	} else {
		b.kept = append(b.kept, data[:n]...)
		t.at += n
	}
	b.err = err
	return n, err
}

// Close implements io.Closer: nothing that a proxy does may end it.
func (b *clientBody) Close() error { return nil }

// Close implements io.Closer. The client's own body is closed by the API's server.
func (t *bodyTry) Close() error {
	t.close.Do(func() { close(t.closed) })
	return nil
}
