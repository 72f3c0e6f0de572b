package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// The first byte of a connection between peers says what it is for; raft's and
// the API's is followed by the cluster's ID, so that a peer at an address that
// once was another cluster's can't disturb that one.
const (
	kindRaft = 'R'
	kindCall = 'C'
	kindAPI  = 'A'
)

// helloTimeout bounds the TLS handshake and the first bytes of a connection.
const helloTimeout = 10 * time.Second

// mux is the one port between peers: it sorts the connections that arrive into
// raft's, calls and API requests, behind the cluster's certificates where there are any.
type mux struct {
	listener net.Listener
	bundle   *bundle       // nil: in the clear
	cluster  func() string // the peer's cluster, "" while it has none
	refused  func(from net.Addr, err error)

	raft, calls, api chan net.Conn
	stop             context.Context
	close            context.CancelFunc
	work             sync.WaitGroup

	mu   sync.Mutex
	open map[*trackedConn]struct{}
}

func listenMux(ctx context.Context, address string, b *bundle, cluster func() string, refused func(net.Addr, error)) (*mux, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for raft: %w", err)
	}
	m := &mux{
		listener: listener, bundle: b, cluster: cluster, refused: refused,
		raft: make(chan net.Conn), calls: make(chan net.Conn), api: make(chan net.Conn), open: make(map[*trackedConn]struct{}),
	}
	m.stop, m.close = context.WithCancel(context.WithoutCancel(ctx))
	m.work.Go(m.accept)
	if b != nil {
		m.work.Go(m.guard)
	}
	return m, nil
}

// acceptPause is how long to wait after a failed accept: usually the process
// has run out of files.
const acceptPause = 50 * time.Millisecond

func (m *mux) accept() {
	for {
		conn, err := m.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			select {
			case <-m.stop.Done():
				return
			case <-time.After(acceptPause):
				continue
			}
		}
		tracked := &trackedConn{Conn: conn, mux: m}
		if !m.track(tracked) {
			_ = conn.Close()
			return
		}
		m.work.Go(func() {
			if err := m.sort(tracked); err != nil {
				_ = tracked.Close()
				if m.stop.Err() == nil {
					m.refused(conn.RemoteAddr(), err)
				}
			}
		})
	}
}

// sort finds out what a connection is for and hands it over.
func (m *mux) sort(raw *trackedConn) error {
	if err := raw.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return err
	}
	conn := net.Conn(raw)
	if m.bundle != nil {
		secured := tls.Server(raw, m.bundle.serverConfig())
		if err := secured.HandshakeContext(m.stop); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
		conn = secured
		raw.secured.Store(secured)
	}
	hello := make([]byte, 1+clusterIDSize)
	if _, err := io.ReadFull(conn, hello[:1]); err != nil {
		return fmt.Errorf("read the first byte: %w", err)
	}
	var queue chan net.Conn
	switch hello[0] {
	case kindCall:
		queue = m.calls
	case kindRaft, kindAPI:
		if _, err := io.ReadFull(conn, hello[1:]); err != nil {
			return fmt.Errorf("read the cluster's id: %w", err)
		}
		if ours := m.cluster(); ours == "" || ours != string(hello[1:]) {
			return fmt.Errorf("raft or API of %w", ErrOtherCluster)
		}
		queue = map[byte]chan net.Conn{kindRaft: m.raft, kindAPI: m.api}[hello[0]]
	default:
		return errors.New("it doesn't speak as a peer does: is one side without the cluster's bundle?")
	}
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return err
	}
	select {
	case queue <- conn:
		return nil
	case <-m.stop.Done():
		return net.ErrClosed
	}
}

// dial connects to another peer's port.
func (m *mux) dial(ctx context.Context, address string, kind byte) (net.Conn, error) {
	hello := []byte{kind}
	if kind != kindCall {
		cluster := m.cluster()
		if cluster == "" {
			return nil, errors.New("this peer is in no cluster yet")
		}
		hello = append(hello, cluster...)
	}
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	conn := raw
	if m.bundle != nil {
		tracked := &trackedConn{Conn: raw, mux: m, dialled: true}
		if !m.track(tracked) {
			return nil, errors.Join(net.ErrClosed, raw.Close())
		}
		secured := tls.Client(tracked, m.bundle.clientConfig())
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("TLS handshake with %s: %w", address, err), tracked.Close())
		}
		conn = secured
		tracked.secured.Store(secured)
	}
	deadline, _ := ctx.Deadline() // zero: none
	if err := conn.SetWriteDeadline(deadline); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if _, err := conn.Write(hello); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := conn.SetWriteDeadline(time.Time{}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Close ends the port with every connection that came in by it, and with a
// bundle those that went out, too.
func (m *mux) Close() error {
	m.close()
	err := m.listener.Close()
	m.mu.Lock()
	for conn := range m.open {
		_ = conn.Conn.Close() // raft and HTTP find out
	}
	m.open = nil
	m.mu.Unlock()
	m.work.Wait()
	return err
}

// trackedConn is a connection that the mux ends with itself, or sooner.
type trackedConn struct {
	net.Conn
	mux     *mux
	dialled bool
	secured atomic.Pointer[tls.Conn] // set once the other side has shown its certificate
}

// track remembers a connection; false when the mux has ended.
func (m *mux) track(conn *trackedConn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open == nil {
		return false
	}
	m.open[conn] = struct{}{}
	return true
}

// Close implements net.Conn.
func (c *trackedConn) Close() error {
	c.mux.mu.Lock()
	delete(c.mux.open, c)
	c.mux.mu.Unlock()
	return c.Conn.Close()
}

// muxListener is one kind's side of the mux.
type muxListener struct {
	mux    *mux
	queue  chan net.Conn
	ctx    context.Context
	cancel context.CancelFunc
}

func (m *mux) side(queue chan net.Conn) *muxListener {
	l := &muxListener{mux: m, queue: queue}
	l.ctx, l.cancel = context.WithCancel(m.stop)
	return l
}

// Accept implements net.Listener.
func (l *muxListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.queue:
		return conn, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener; the port stays open for the other kinds.
func (l *muxListener) Close() error { l.cancel(); return nil }

// Addr implements net.Listener.
func (l *muxListener) Addr() net.Addr { return l.mux.listener.Addr() }

// raftStream is raft's side of the mux.
type raftStream struct {
	*muxListener
	told string // the address that other peers dial
}

var _ raft.StreamLayer = raftStream{}

// Addr implements net.Listener. Raft takes it for the peer's address.
func (s raftStream) Addr() net.Addr { return toldAddr(s.told) }

// toldAddr is an address that other peers dial; its host may be a name.
type toldAddr string

// Network implements net.Addr.
func (toldAddr) Network() string { return "tcp" }

// String implements net.Addr.
func (a toldAddr) String() string { return string(a) }

// Dial implements raft.StreamLayer.
func (s raftStream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	return s.mux.dial(ctx, string(address), kindRaft)
}
