package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Calls between peers are HTTP/1.1 POSTs of JSON on raft's port, behind its
// certificates: deadlines, cancellation, long polls and reuse of connections
// come from net/http, and one port and one trust serve both.

// Handler answers a call of another peer. from is the ID that the caller gives
// itself: whoever has the cluster's bundle is trusted with that. in may be nil;
// out is encoded as JSON. ctx ends with the caller's, and with the peer.
type Handler func(ctx context.Context, from string, in json.RawMessage) (out any, err error)

// The calls of this room; a room above takes other names.
const (
	callPropose   = "cluster/propose"
	callReadIndex = "cluster/read-index"
	callWelcome   = "cluster/welcome"
	callPledge    = "cluster/pledge"
	callRelease   = "cluster/release"
	callJoin      = "cluster/join"
	callRemove    = "cluster/remove"
	callHealth    = "cluster/health"
	callProfiles  = "cluster/profiles"
	callLeader    = "cluster/leader"
)

// open calls are answered to peers that are in no cluster yet.
var openCalls = map[string]bool{callWelcome: true, callPledge: true, callRelease: true, callJoin: true}

const (
	headerCluster = "Millrace-Cluster"
	headerPeer    = "Millrace-Peer"
	headerTimeout = "Millrace-Timeout-Ms"
	// maxCallBytes bounds a call's body and its answer: a command and its wrapping.
	maxCallBytes = maxCommandBytes + 1<<20
	// idleCalls is how many idle connections are kept to each peer.
	idleCalls = 32
)

// caller makes calls and answers them.
type caller struct {
	peer   *Peer
	server *http.Server
	client *http.Client
	idle   *http.Transport
	work   sync.WaitGroup

	mu       sync.RWMutex
	handlers map[string]Handler
	closed   bool
	answers  sync.WaitGroup
}

func newCaller(p *Peer) *caller {
	c := &caller{peer: p, handlers: make(map[string]Handler)}
	c.idle = p.httpTo(kindCall, helloTimeout, 90*time.Second)
	c.client = &http.Client{Transport: c.idle}
	c.server = p.httpServer(c, 16<<10, "calls")
	return c
}

// serve begins to answer.
func (c *caller) serve() {
	listener := c.peer.mux.side(c.peer.mux.calls)
	c.work.Go(func() { _ = c.server.Serve(listener) }) // ends with http.ErrServerClosed
}

// stop refuses new calls and waits for the handlers; their ctx has ended.
func (c *caller) stop() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.answers.Wait()
	err := c.server.Close()
	c.idle.CloseIdleConnections()
	c.work.Wait()
	return err
}

// Handle answers calls of a method from now on. The names that begin with
// "cluster/" are this room's own.
func (p *Peer) Handle(method string, handler Handler) {
	p.caller.mu.Lock()
	defer p.caller.mu.Unlock()
	p.caller.handlers[method] = handler
}

// Call has another peer (or this one) answer a method: in is sent as JSON, the
// answer is decoded into out, which may be nil. It may take as long as ctx
// lasts: long polls are fine.
//
// Errors: what the handler gave, as text, and as itself if it is one of this
// room's; ErrUnreachable when the call surely did not arrive; ErrOtherCluster;
// ctx's. Any other means that it may have arrived.
func (p *Peer) Call(ctx context.Context, peerID, method string, in, out any) error {
	if peerID == p.id {
		return p.callSelf(ctx, method, in, out)
	}
	address := p.addressOf(peerID)
	if address == "" {
		return fmt.Errorf("call %s of %s: its address isn't known: %w", method, peerID, ErrUnreachable)
	}
	if err := p.callAt(ctx, address, method, in, out); err != nil {
		return fmt.Errorf("call %s of %s: %w", method, peerID, err)
	}
	return nil
}

// CallLeader is Call to whichever peer leads, this one too. It ends with
// ErrNoLeader when there is none, or another takes over meanwhile; it doesn't
// wait for one and doesn't try twice.
func (p *Peer) CallLeader(ctx context.Context, method string, in, out any) error {
	leader, changed := p.leader.now()
	if leader == "" {
		return fmt.Errorf("call %s of the leader: %w", method, ErrNoLeader)
	}
	err := p.underLeader(ctx, changed, leader, func(ctx context.Context, leader string) error {
		return p.Call(ctx, leader, method, in, out)
	})
	if errors.Is(err, errTryNext) {
		return fmt.Errorf("call %s of the leader: %w: %w", method, ErrNoLeader, err)
	}
	if errors.Is(err, ErrUnreachable) || errors.Is(err, ErrNotLeader) || errors.Is(err, ErrNoLeader) {
		p.suspectLeader()
	}
	return err
}

func (p *Peer) callSelf(ctx context.Context, method string, in, out any) error {
	data, err := encodeBody(in)
	if err != nil {
		return fmt.Errorf("call %s: %w", method, err)
	}
	answered, err := p.caller.answer(ctx, p.id, method, data)
	if err != nil || out == nil {
		return err
	}
	encoded, err := json.Marshal(answered)
	if err != nil {
		return fmt.Errorf("call %s: %w", method, err)
	}
	return json.Unmarshal(encoded, out)
}

func encodeBody(in any) (json.RawMessage, error) {
	if in == nil {
		return nil, nil
	}
	if raw, ok := in.(json.RawMessage); ok {
		return raw, nil
	}
	return json.Marshal(in)
}

// callAt calls the peer at an address, whoever that is.
func (p *Peer) callAt(ctx context.Context, address, method string, in, out any) error {
	data, err := encodeBody(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/"+method, bytes.NewReader(data))
	if err != nil {
		return err
	}
	request.Header.Set(headerCluster, p.Cluster())
	request.Header.Set(headerPeer, p.id)
	if deadline, ok := ctx.Deadline(); ok {
		request.Header.Set(headerTimeout, strconv.FormatInt(max(time.Until(deadline).Milliseconds(), 1), 10))
	}
	response, err := p.caller.client.Do(request)
	if err != nil {
		return callError(ctx, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxCallBytes))
	if err != nil {
		return callError(ctx, err)
	}
	if response.StatusCode != http.StatusOK {
		return decodeRefusal(response.StatusCode, body)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// callError says whether a call that failed on its way may have arrived.
func callError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrUnreachable):
		return err
	}
	return fmt.Errorf("%w: %w", errUncertain, err)
}

// ServeHTTP implements http.Handler.
func (c *caller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if limit, err := strconv.ParseInt(r.Header.Get(headerTimeout), 10, 64); err == nil && limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(limit)*time.Millisecond)
		defer cancel()
	}
	method := strings.TrimPrefix(r.URL.Path, "/")
	if theirs, ours := r.Header.Get(headerCluster), c.peer.Cluster(); theirs != ours && !(openCalls[method] && (theirs == "" || ours == "")) {
		writeRefusal(w, fmt.Errorf("%w: the caller is of %q, this peer of %q", ErrOtherCluster, theirs, ours))
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCallBytes))
	if err != nil {
		writeRefusal(w, fmt.Errorf("read the call: %w", err))
		return
	}
	out, err := c.answer(ctx, r.Header.Get(headerPeer), method, data)
	if err != nil {
		writeRefusal(w, err)
		return
	}
	encoded, err := json.Marshal(out)
	if err != nil {
		writeRefusal(w, fmt.Errorf("encode the answer: %w", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(encoded) // the caller finds out
}

func (c *caller) answer(ctx context.Context, from, method string, in json.RawMessage) (any, error) {
	c.mu.RLock()
	handler, closed := c.handlers[method], c.closed
	if !closed {
		c.answers.Add(1)
	}
	c.mu.RUnlock()
	if closed {
		return nil, ErrClosed
	}
	defer c.answers.Done()
	if handler == nil {
		return nil, fmt.Errorf("%w: %q", errNoMethod, method)
	}
	return handler(ctx, from, in)
}
