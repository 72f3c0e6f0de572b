package cluster

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// raftDialTimeout bounds a call to another peer's raft, the answer included.
	raftDialTimeout = 10 * time.Second
	// raftConnections is how many idle connections are kept to each peer.
	raftConnections = 3
)

// stream is the connections that raft's calls travel on: plain TCP. It is a
// type of its own so that TLS can be put around both of its ends.
type stream struct{ net.Listener }

var _ raft.StreamLayer = stream{}

func listenRaft(ctx context.Context, address string) (stream, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return stream{}, fmt.Errorf("listen for raft: %w", err)
	}
	return stream{listener}, nil
}

// Dial implements raft.StreamLayer.
func (stream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	dialer := net.Dialer{Timeout: timeout}
	return dialer.Dial("tcp", string(address))
}
