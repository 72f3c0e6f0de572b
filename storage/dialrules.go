package storage

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
)

// DialRules says which addresses may be connected to on behalf of a user. They
// are asked about the address that is about to be dialled, after name
// resolution, so that no spelling, redirect or DNS answer gets around them. The
// zero value allows public addresses only.
type DialRules struct {
	// Allowed are the networks that the operator opened although they are
	// private, loopback or otherwise reserved.
	Allowed []netip.Prefix
	// Refuse, if set, is asked about each address that would be let through,
	// and refuses it by saying true: the cluster's own ports, for one. It must
	// not block.
	Refuse func(netip.AddrPort) bool
}

// BlockedError is a connection that DialRules refused.
type BlockedError struct {
	Address string // as dialled
	Reason  string // what kind of address it is: "loopback", …
}

func (e *BlockedError) Error() string {
	return fmt.Sprintf("address %s is not allowed: %s", e.Address, e.Reason)
}

// reserved lists what is not the public internet. Go's IsPrivate and
// IsGlobalUnicast miss about half of it. The first match names the reason, so
// single addresses stand before the networks around them.
var reserved = []struct {
	prefix netip.Prefix
	reason string
}{
	{netip.MustParsePrefix("169.254.169.254/32"), "cloud metadata"},
	{netip.MustParsePrefix("100.100.100.200/32"), "cloud metadata"},
	{netip.MustParsePrefix("192.0.0.192/32"), "cloud metadata"},
	{netip.MustParsePrefix("fd00:ec2::254/128"), "cloud metadata"},
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier-grade NAT"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relay"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("::/128"), "unspecified"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("::ffff:0:0/96"), "IPv4 inside IPv6"},
	{netip.MustParsePrefix("::/96"), "IPv4 inside IPv6"},
	{netip.MustParsePrefix("64:ff9b::/96"), "NAT64"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "NAT64"},
	{netip.MustParsePrefix("2001::/32"), "Teredo"},
	{netip.MustParsePrefix("2001::/23"), "reserved"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation"},
	{netip.MustParsePrefix("2002::/16"), "6to4"},
	{netip.MustParsePrefix("3fff::/20"), "documentation"},
	{netip.MustParsePrefix("fc00::/7"), "private"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "site-local"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

// publicIPv6 is all of IPv6 that is routed; whatever lies outside is refused
// without having to be listed.
var publicIPv6 = netip.MustParsePrefix("2000::/3")

// Check says whether addr may be dialled: nil, or a *BlockedError.
func (r DialRules) Check(addr netip.AddrPort) error {
	ip := addr.Addr()
	blocked := func(reason string) error {
		return &BlockedError{Address: addr.String(), Reason: reason}
	}
	if !ip.IsValid() {
		return blocked("not an address")
	}
	if ip.Zone() != "" {
		return blocked("an address with a zone")
	}
	reason := reservedAs(ip)
	if reason != "" && !r.allows(ip) {
		return blocked(reason)
	}
	if r.Refuse != nil && r.Refuse(netip.AddrPortFrom(ip.Unmap(), addr.Port())) {
		return blocked("a port of this cluster")
	}
	return nil
}

func (r DialRules) allows(ip netip.Addr) bool {
	ip = ip.Unmap() // a Prefix never contains a mapped address
	for _, prefix := range r.Allowed {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// reservedAs says which reserved network the address lies in, "" for a public one.
func reservedAs(ip netip.Addr) string {
	if ip.Is4In6() {
		return "IPv4 inside IPv6"
	}
	for _, network := range reserved {
		if network.prefix.Contains(ip) {
			return network.reason
		}
	}
	if ip.Is6() && !publicIPv6.Contains(ip) {
		return "reserved"
	}
	return ""
}

// Control is a net.Dialer's ControlContext: it refuses the connection before a
// packet is sent. Only TCP is let through.
func (r DialRules) Control(_ context.Context, network, address string, _ syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return &BlockedError{Address: address, Reason: "not TCP"}
	}
	// ParseAddrPort takes zones, unlike some resolvers' own parsers, which
	// panic on them.
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return &BlockedError{Address: address, Reason: "not an address"}
	}
	return r.Check(addr)
}
