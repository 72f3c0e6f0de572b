package node

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
)

// advertised is the host that other peers are told in place of those that this
// peer listens on, "" where they are told these. Where the raft address names
// one, and gossip listens on all, the raft address's is meant.
func (c Config) advertised() string {
	if c.Advertise != "" {
		return c.Advertise
	}
	raftHost, _, _ := net.SplitHostPort(c.RaftAddr)
	gossipHost, _, err := net.SplitHostPort(c.GossipAddr)
	if err == nil && unspecified(gossipHost) && !unspecified(raftHost) {
		return raftHost
	}
	return ""
}

// toldHTTP is the address that other peers are told of the API, which listens
// on listening.
func (c Config) toldHTTP(listening net.Addr) string {
	host, port, err := net.SplitHostPort(listening.String())
	if err != nil {
		return listening.String()
	}
	raftHost, _, _ := net.SplitHostPort(c.RaftAddr)
	switch {
	case c.Advertise != "" && !loopback(host):
		host = c.Advertise
	case unspecified(host) && !unspecified(raftHost):
		host = raftHost
	}
	return net.JoinHostPort(host, port)
}

// warnOfTrust says where more than the cluster's peers can get at it.
func (c Config) warnOfTrust() {
	host, _, _ := net.SplitHostPort(c.RaftAddr)
	if c.Bundle == "" && !loopback(host) {
		c.Logger.Warn("peers talk unencrypted: whoever reaches their ports can join and read everything; make them certificates with millrace cluster init", "raft", c.RaftAddr, "gossip", c.GossipAddr)
	}
	if c.Bundle == "" {
		return
	}
	if _, err := os.Stat(filepath.Join(c.Bundle, "ca.key")); err == nil {
		c.Logger.Warn("the key of the cluster's CA lies on this machine, which doesn't need it; give each peer a folder of its own with millrace cluster export", "folder", c.Bundle)
	}
}

// unspecified says whether a host means all addresses of a machine.
func unspecified(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "" || err == nil && address.IsUnspecified()
}

// loopback says whether only the machine itself reaches a host.
func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}
