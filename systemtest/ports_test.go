package systemtest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Ports are taken from below those that the kernel gives to outgoing
// connections, so that a peer finds its own free again after a restart.
const (
	firstPort = 18_000
	lastPort  = 31_000
)

var ports struct {
	sync.Mutex
	next int
}

// freeAddress is an address on the loopback that nothing listens on, and that
// no other test of this process is given.
func freeAddress(t testing.TB) string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	if ports.next == 0 {
		ports.next = firstPort + rand.IntN((lastPort-firstPort)/2)
	}
	for ; ports.next < lastPort; ports.next++ {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(ports.next))
		stream, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil {
			continue
		}
		packets, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", address)
		_ = stream.Close()
		if err != nil {
			continue
		}
		_ = packets.Close()
		ports.next++
		return address
	}
	t.Fatal("no port is free")
	return ""
}
