package main

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// gossipPort is where peers that --join names without a port are looked for.
const gossipPort = "7946"

// checkCluster checks what the settings say of other peers. A combination that
// would leave the peer waiting for others that can't reach it is refused.
func (s *Settings) checkCluster() error {
	if s.Expect < 0 || s.MaxVoters < 1 {
		return usagef("--expect is %d and --max-voters is %d: the first can't be less than 0, the second not less than 1", s.Expect, s.MaxVoters)
	}
	if s.Expect > s.MaxVoters {
		return usagef("--expect is %d, but at most %d peers vote (--max-voters): form the cluster with that many, the others join it with --join alone", s.Expect, s.MaxVoters)
	}
	listen := make(map[string]string) // hosts by flag
	for _, address := range []struct{ flag, value string }{{"--http", s.HTTP}, {"--gossip", s.Gossip}, {"--raft", s.Raft}} {
		host, _, err := net.SplitHostPort(address.value)
		if address.value == "" && address.flag == "--gossip" && s.Expect <= 1 && len(s.Join) == 0 {
			continue // a peer that stays alone needs none
		}
		if err != nil {
			return usagef("%s is %q: it must be like 10.0.0.5:8080", address.flag, address.value)
		}
		listen[address.flag] = host
	}
	if s.Advertise != "" {
		if _, _, err := net.SplitHostPort(s.Advertise); err == nil || unspecified(s.Advertise) || strings.ContainsAny(s.Advertise, "[]/ ") {
			return usagef("--advertise is %q: it must be one host that other peers reach, without a port", s.Advertise)
		}
	} else if unspecified(listen["--raft"]) {
		return usagef("--raft is %s, all addresses of this machine: say with --advertise which of them other peers reach", s.Raft)
	}
	for i, address := range s.Join {
		var err error
		if s.Join[i], err = joinAddress(address); err != nil {
			return err
		}
	}
	return s.checkReach(listen)
}

// checkReach refuses addresses of this peer that the others can't reach.
func (s *Settings) checkReach(listen map[string]string) error {
	away := slices.IndexFunc(s.Join, func(address string) bool {
		host, _, _ := net.SplitHostPort(address)
		return !loopback(host)
	})
	for _, flag := range []string{"--raft", "--gossip"} {
		host := listen[flag]
		switch {
		case !loopback(host):
		case s.Advertise != "" && !loopback(s.Advertise):
			return usagef("--advertise is %s, but %s listens on %s, which only this machine reaches: set it to an address of this machine, or 0.0.0.0", s.Advertise, flag, host)
		case away >= 0:
			return usagef("--join names %s, but %s listens on %s, which only this machine reaches: set --raft, --gossip and --http to an address of this machine that other peers reach", s.Join[away], flag, host)
		}
	}
	if away >= 0 && loopback(s.Advertise) {
		return usagef("--join names %s, but --advertise is %s, which only this machine reaches", s.Join[away], s.Advertise)
	}
	return nil
}

// joinAddress completes and checks one address of --join.
func joinAddress(address string) (string, error) {
	wrong := func(why string) (string, error) {
		return "", usagef("--join names %q: %s; it must be another peer's gossip address, like 10.0.0.5:%s", address, why, gossipPort)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.Trim(address, "[]"), gossipPort
		if _, err := netip.ParseAddr(host); err != nil && strings.ContainsAny(host, ":/ ") {
			return wrong("that is no host and port")
		}
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return wrong("its port is none")
	}
	if unspecified(host) {
		return wrong("its host is none")
	}
	return net.JoinHostPort(host, port), nil
}

// unspecified says whether a host means all addresses of a machine.
func unspecified(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "" || err == nil && address.IsUnspecified()
}

// loopback says whether only the machine itself reaches a host.
func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}
