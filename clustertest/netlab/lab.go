package netlab

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

// Lab is a network of hosts. Its methods may be called by several goroutines.
type Lab struct {
	t      testing.TB
	number int
	hub    netip.Addr

	mu    sync.Mutex
	hosts []*Host
	links map[link]fault
}

// link is the way from one host to another.
type link struct{ from, to *Host }

// labs counts the networks of this process, each of which has a /24 of 10.77/16.
var labs atomic.Int32

// New makes a network without hosts that is gone when the test ends.
func New(t testing.TB) *Lab {
	t.Helper()
	l := &Lab{t: t, number: int(labs.Add(1)), links: make(map[link]fault)}
	if l.number > 255 {
		t.Fatal("a run of tests can have 255 networks")
	}
	l.hub = l.address(hubNumber)
	if err := l.bridge(); err != nil {
		t.Fatal("make a network: ", err)
	}
	t.Cleanup(l.close)
	return l
}

// hubNumber is the hub's in each network, above those of hosts.
const hubNumber = 254

func (l *Lab) address(number int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 77, byte(l.number), byte(number)})
}

// Prefix is the network that all addresses of the lab are in.
func (l *Lab) Prefix() netip.Prefix { return netip.PrefixFrom(l.hub, 24).Masked() }

// Hub is the address at which hosts reach what the test itself serves.
func (l *Lab) Hub() string { return l.hub.String() }

func (l *Lab) bridgeName() string { return fmt.Sprintf("lab%d", l.number) }

func (l *Lab) bridge() error {
	return firstError(
		func() error { return command("", "ip", "link", "add", l.bridgeName(), "type", "bridge") },
		func() error { return command("", "ip", "address", "add", l.hub.String()+"/24", "dev", l.bridgeName()) },
		func() error { return command("", "ip", "link", "set", l.bridgeName(), "up") },
	)
}

func (l *Lab) close() {
	l.mu.Lock()
	hosts := l.hosts
	l.mu.Unlock()
	for _, h := range hosts {
		h.close()
	}
	if err := command("", "ip", "link", "del", l.bridgeName()); err != nil {
		l.t.Error(err)
	}
}

func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
