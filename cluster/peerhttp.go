package cluster

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"
)

// httpTo makes HTTP connections of a kind to other peers, by their raft
// addresses. One that can't be made is ErrUnreachable: nothing was sent.
func (p *Peer) httpTo(kind byte, dialTimeout, idleTimeout time.Duration) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialTimeout)
			defer cancel()
			conn, err := p.mux.dial(ctx, address, kind)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
			}
			return conn, nil
		},
		MaxIdleConnsPerHost: idleCalls, IdleConnTimeout: idleTimeout, DisableCompression: true,
	}
}

// httpServer answers other peers' HTTP until it is closed. The requests' ctx
// ends with the peer at the latest; part names it in the log.
func (p *Peer) httpServer(handler http.Handler, headerBytes int, part string) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: helloTimeout, MaxHeaderBytes: headerBytes,
		BaseContext: func(net.Listener) context.Context { return p.alive },
		ErrorLog:    log.New(lineLogger{p.log.With("part", part)}, "", 0),
	}
}
