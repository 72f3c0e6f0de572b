package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Config says who a peer is and where it keeps and offers what it has. Fields
// left zero take the defaults that their comments name.
type Config struct {
	// ID names the peer for ever. Left empty, it is drawn at the first start
	// and kept in DataDir/node.id; another one than is kept there is refused.
	ID string
	// DataDir is the folder of the peer's log, snapshots and keys; made if it
	// isn't there. One process at a time may use it.
	DataDir string
	// RaftAddr is the host:port that raft listens on and that other peers reach
	// it at. Port 0 takes a free one. It may change between starts.
	RaftAddr string
	// GossipAddr is the host:port of gossip, UDP and TCP; "" means no gossip.
	GossipAddr string
	// HTTPAddr is the host:port at which other peers reach this one's API. It is
	// only told to them.
	HTTPAddr string
	// Version is the program's version, told to other peers.
	Version string
	// Logger takes the peer's words; slog.Default() when nil.
	Logger *slog.Logger

	// Fatal is called once when the peer has stopped for good because it can't
	// apply the log (ErrHalted). The peer must still be closed, but not from
	// here: Close waits for Fatal to return. Left nil, the peer only logs.
	Fatal func(error)

	// HeartbeatTimeout is how long a follower hears nothing before it asks for
	// votes, and how long a lone peer takes to lead: 1 s. Shorter finds a dead
	// leader sooner and takes a slow one for dead more often.
	HeartbeatTimeout time.Duration
	// ElectionTimeout is how long a candidate waits for votes, 1 s; at least
	// HeartbeatTimeout.
	ElectionTimeout time.Duration
	// LeaderLease is how long a leader leads without hearing from a majority,
	// 500 ms; at most HeartbeatTimeout.
	LeaderLease time.Duration
	// SnapshotThreshold is the number of log entries after which a snapshot is
	// taken: 8192. Fewer make starts faster and write more.
	SnapshotThreshold uint64
	// SnapshotInterval is how often that is looked at: 30 s.
	SnapshotInterval time.Duration
	// TrailingLogs is how many entries stay in the log behind a snapshot, so
	// that a follower that was away, or a peer whose latest snapshot is damaged,
	// catches up without one: 4 × SnapshotThreshold.
	TrailingLogs uint64
}

// withDefaults fills in what was left zero and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.DataDir == "" {
		return c, errors.New("the data folder has no name")
	}
	host, _, err := net.SplitHostPort(c.RaftAddr)
	if err != nil {
		return c, fmt.Errorf("raft address %q: %w", c.RaftAddr, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return c, fmt.Errorf("raft address %q: name the address of this machine that other peers reach (127.0.0.1 if there are none)", c.RaftAddr)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	setDefault(&c.HeartbeatTimeout, time.Second)
	setDefault(&c.ElectionTimeout, max(time.Second, c.HeartbeatTimeout))
	setDefault(&c.LeaderLease, min(500*time.Millisecond, c.HeartbeatTimeout))
	setDefault(&c.SnapshotThreshold, 8192)
	setDefault(&c.SnapshotInterval, 30*time.Second)
	setDefault(&c.TrailingLogs, 4*c.SnapshotThreshold)
	return c, nil
}

func setDefault[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}
