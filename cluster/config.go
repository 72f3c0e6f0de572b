package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
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
	// Advertise is the host that other peers are told in place of those of
	// RaftAddr and GossipAddr: for a peer that listens on 0.0.0.0 or :: or is
	// behind an address translation that leaves ports as they are.
	Advertise string
	// Bundle is the folder of the cluster's certificates and keys, as InitBundle
	// makes it; "" means no encryption between peers: for networks where nobody
	// else is.
	Bundle string
	// Join are gossip addresses of other peers, any of them. A peer with an empty
	// data folder, with Join and without Expect, joins their cluster.
	Join []string
	// Expect is how many peers with empty data folders form a cluster, all of
	// them voters, as soon as they see each other: 3 or 5. 0 and 1 with nobody to
	// join mean that the peer is a cluster of one at once. It means nothing for a
	// peer that is in a cluster.
	Expect int
	// MaxVoters is how many peers vote, the others follow along: 5. All peers
	// should have the same.
	MaxVoters int
	// StableFor is how long a peer must have been well before it may vote: 10 s.
	StableFor time.Duration
	// ReplaceAfter is how long a voter must have been away before another peer
	// votes in its place: 1 min.
	ReplaceAfter time.Duration
	// Version is the program's version, told to other peers.
	Version string
	// Logger takes the peer's words; slog.Default() when nil.
	Logger *slog.Logger

	// Fatal is called once when the peer has stopped for good because it can't
	// apply the log (ErrHalted). The peer must still be closed, but not from
	// here: Close waits for Fatal to return. Left nil, the peer only logs.
	Fatal func(error)

	// HeartbeatTimeout is how long a follower hears nothing before it asks for
	// votes, and how long a lone peer takes to lead: 750 ms. Shorter finds a dead
	// leader sooner and takes a slow one for dead more often.
	HeartbeatTimeout time.Duration
	// ElectionTimeout is how long a candidate waits for votes, 750 ms; at least
	// HeartbeatTimeout.
	ElectionTimeout time.Duration
	// LeaderLease is how long a leader leads without hearing from a majority,
	// 500 ms; at most HeartbeatTimeout.
	LeaderLease time.Duration
	// CommitDelay is how long a leader without new entries takes to tell the
	// others what is committed, 10 ms: about what a read or write through
	// another peer takes longer than through the leader.
	CommitDelay time.Duration
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

// electAfter is the usual time without a leader before an election: see
// DESIGN.md, "Elections after 750 ms".
const electAfter = 750 * time.Millisecond

// withDefaults fills in what was left zero and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.DataDir == "" {
		return c, errors.New("the data folder has no name")
	}
	host, _, err := net.SplitHostPort(c.RaftAddr)
	if err != nil {
		return c, fmt.Errorf("raft address %q: %w", c.RaftAddr, err)
	}
	if unspecified(host) && c.Advertise == "" {
		return c, fmt.Errorf("raft address %q: name the address of this machine that other peers reach, here or to be advertised (127.0.0.1 if there are none)", c.RaftAddr)
	}
	if c.Advertise != "" && (unspecified(c.Advertise) || strings.ContainsAny(c.Advertise, "[]/")) {
		return c, fmt.Errorf("advertise %q: it must be one host, without a port", c.Advertise)
	}
	if (c.Expect > 1 || len(c.Join) > 0) && c.GossipAddr == "" {
		return c, errors.New("a cluster of several peers needs a gossip address")
	}
	if c.Expect < 0 || c.MaxVoters < 0 {
		return c, fmt.Errorf("expect %d peers and at most %d voters: neither can be negative", c.Expect, c.MaxVoters)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	setDefault(&c.HeartbeatTimeout, electAfter)
	setDefault(&c.ElectionTimeout, max(electAfter, c.HeartbeatTimeout))
	setDefault(&c.LeaderLease, min(500*time.Millisecond, c.HeartbeatTimeout))
	setDefault(&c.CommitDelay, 10*time.Millisecond)
	setDefault(&c.MaxVoters, 5)
	setDefault(&c.StableFor, 10*time.Second)
	setDefault(&c.ReplaceAfter, time.Minute)
	setDefault(&c.SnapshotThreshold, 8192)
	setDefault(&c.SnapshotInterval, 30*time.Second)
	setDefault(&c.TrailingLogs, 4*c.SnapshotThreshold)
	return c, nil
}

// unspecified says whether a host means all of a machine's addresses.
func unspecified(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// told is what other peers are told of an address that this peer listens on.
func (c Config) told(listening net.Addr) string {
	if c.Advertise == "" {
		return listening.String()
	}
	_, port, err := net.SplitHostPort(listening.String())
	if err != nil {
		return listening.String()
	}
	return net.JoinHostPort(c.Advertise, port)
}

// alone says whether a peer with an empty folder is to be a cluster of one.
func (c Config) alone() bool { return c.Expect <= 1 && len(c.Join) == 0 }

func setDefault[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}
