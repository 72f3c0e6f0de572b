package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// forwardDial bounds how long a voter that doesn't answer the phone holds a
	// request up before the next one is asked.
	forwardDial = 2 * time.Second
	// forwardGrace is how long an answer of a leader that is none any more is
	// waited for where it isn't known whether it did what it was asked.
	forwardGrace = 2 * time.Second
	// forwardIdle is how long an idle connection is kept; shorter than peers
	// take to forget one.
	forwardIdle = 60 * time.Second
)

// errLeaderLost ends a request to a leader that is none any more.
var errLeaderLost = errors.New("it no longer leads")

// ForwardHTTP passes API requests on to the leader, or to another voter while
// that one can't be reached, by the peers' port; there HandleHTTP has the
// handler. It is for workers, and works on any peer.
//
// Both bodies stream, an answer is flushed as it comes, and the client's hanging
// up and its ctx's deadline go along. Headers of one hop stay behind; what the
// client says of proxies before is dropped and X-Forwarded-For, -Host and -Proto
// say what this peer saw.
//
// A request is tried with another voter as long as it surely has not arrived,
// and once more if it is a GET or HEAD without an answer. When no voter can be
// reached the answer is 503 with Retry-After, when it isn't known what became of
// the request 504, each as a problem (RFC 9457) of the API's codes. How slow a
// client may be is for the server in front to say.
func (p *Peer) ForwardHTTP() http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "leader" // the way is forwarder's
			r.Out.URL.RawQuery = r.In.URL.RawQuery              // the API judges it
			r.Out.Host = r.In.Host
			if body, ok := r.In.Body.(*clientBody); ok && r.Out.Body != nil {
				r.Out.Body = body // not wrapped: it may be sent again
			}
			r.SetXForwarded()
			r.Out.Header.Set(headerClient, r.In.RemoteAddr)
			r.Out.Header.Set(headerPeer, p.id)
			r.Out.Header.Del(headerTimeout)
			if deadline, ok := r.In.Context().Deadline(); ok {
				r.Out.Header.Set(headerTimeout, strconv.FormatInt(max(time.Until(deadline).Milliseconds(), 1), 10))
			}
		},
		Transport: p.forwarder, FlushInterval: -1, ErrorHandler: refuseForward,
		ErrorLog: log.New(lineLogger{p.log.With("part", "forward")}, "", 0),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if handler := p.forwarded.local(); handler != nil && p.Leads() {
			handler.ServeHTTP(w, r)
			return
		}
		if r.Body != nil && r.Body != http.NoBody {
			body := &clientBody{ReadCloser: r.Body}
			defer body.over.Store(true)
			r.Body = body
		}
		proxy.ServeHTTP(w, r)
	})
}

// local is the handler for requests that are answered here.
func (f *forwarded) local() http.Handler {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.handler
}

// forwarder finds the way of a request to a voter.
type forwarder struct {
	peer  *Peer
	http  *http.Transport
	grace time.Duration // forwardGrace
}

func newForwarder(p *Peer) *forwarder {
	return &forwarder{peer: p, grace: forwardGrace, http: p.httpTo(kindAPI, forwardDial, forwardIdle)}
}

// RoundTrip implements http.RoundTripper.
func (f *forwarder) RoundTrip(r *http.Request) (*http.Response, error) {
	var errs []error
	var asked []string
	again := harmless(r)
	for {
		voter, leads, changed := f.target(asked)
		if voter.Address == "" {
			return nil, errors.Join(append(errs, ErrNoLeader)...)
		}
		if !leads {
			changed = nil // it finds the leader itself
		}
		response, err := f.try(r, voter, changed)
		if err == nil {
			return response, nil
		}
		errs = append(errs, fmt.Errorf("ask %s: %w", voter.ID, err))
		asked = append(asked, voter.ID)
		if leads {
			f.peer.suspectLeader()
		}
		switch {
		case r.Context().Err() != nil:
			return nil, r.Context().Err()
		case f.peer.alive.Err() != nil:
			return nil, errors.Join(append(errs, ErrClosed)...)
		case errors.Is(err, ErrUnreachable) && resendable(r):
		case errors.Is(err, ErrUnreachable):
			return nil, errors.Join(errs...)
		case again:
			again = false
		default:
			return nil, errors.Join(append(errs, errUncertain)...)
		}
	}
}

// harmless says whether a request may be answered twice.
func harmless(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && resendable(r)
}

// target is whom to ask next: the leader, then the other voters. changed is
// closed when another peer leads.
func (f *forwarder) target(asked []string) (voter server, leads bool, changed <-chan struct{}) {
	leader, changed := f.peer.leader.now()
	if leader != "" && leader != f.peer.id && !slices.Contains(asked, leader) {
		if address := f.peer.addressOf(leader); address != "" {
			return server{leader, address}, true, changed
		}
	}
	voters := f.peer.votersInSight()
	for i := range voters {
		voter := voters[(int(shard(f.peer.id))+i)%len(voters)]
		if !slices.Contains(asked, voter.ID) {
			return voter, false, nil
		}
	}
	return server{}, false, nil
}

// try sends a request to one voter and waits until its answer begins.
func (f *forwarder) try(r *http.Request, voter server, changed <-chan struct{}) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	stop := context.AfterFunc(f.peer.alive, func() { cancel(ErrClosed) })
	begun := make(chan struct{})
	var watch sync.WaitGroup
	if changed != nil {
		watch.Go(func() {
			select {
			case <-begun:
				return
			case <-ctx.Done():
				return
			case <-changed:
			}
			if !harmless(r) {
				grace := time.NewTimer(f.grace)
				defer grace.Stop()
				select {
				case <-begun:
					return
				case <-ctx.Done():
					return
				case <-grace.C:
				}
			}
			cancel(errLeaderLost)
		})
	}
	out := r.WithContext(ctx)
	to := *r.URL
	to.Host = voter.Address
	out.URL = &to
	finished := func() {}
	if body, ok := r.Body.(*clientBody); ok {
		out.Body, finished = body.try()
	}
	response, err := f.http.RoundTrip(out)
	close(begun)
	watch.Wait()
	end := func() { stop(); cancel(nil) }
	switch {
	case err != nil:
		if cause := context.Cause(ctx); cause != nil && r.Context().Err() == nil {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		finished()
		end()
		return nil, err
	case response.Header.Get(headerRefused) != "":
		reason := response.Header.Get(headerRefused)
		_ = response.Body.Close()
		finished()
		end()
		return nil, fmt.Errorf("%w: %s", ErrUnreachable, reason)
	}
	response.Body = &endingBody{response.Body, end}
	return response, nil
}

// endingBody gives back what its request took.
type endingBody struct {
	io.ReadCloser
	end func()
}

// Close implements io.Closer.
func (b *endingBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

var _ http.RoundTripper = (*forwarder)(nil)
