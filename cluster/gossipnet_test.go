package cluster

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// memoryNetwork carries the gossip of simulated members and counts it.
type memoryNetwork struct {
	members map[string]*memoryTransport // by address; filled before any is used
}

// traffic is what one member sends, or receives, in bytes. Packets have 28
// bytes of IP and UDP besides their own.
type traffic struct {
	Packets int64 // probes, membership, rumours, loads
	Streams int64 // push/pull
	Calls   int64 // profiles
}

// sum is all of it.
func (t traffic) sum() int64 { return t.Packets + t.Streams + t.Calls }

func (t traffic) minus(other traffic) traffic {
	return traffic{t.Packets - other.Packets, t.Streams - other.Streams, t.Calls - other.Calls}
}

// meter counts one direction of a member.
type meter struct{ packets, streams, calls atomic.Int64 }

func (m *meter) read() traffic {
	return traffic{m.packets.Load(), m.streams.Load(), m.calls.Load()}
}

// memoryTransport is one member's side of the network.
type memoryTransport struct {
	network        *memoryNetwork
	port           int
	packets        chan *memberlist.Packet
	streams        chan net.Conn
	sent, received meter
}

var _ memberlist.Transport = (*memoryTransport)(nil)

const (
	packetHeaders = 28
	// packetsQueued is about what a socket's buffer holds.
	packetsQueued = 128
	simulatedHost = "10.0.0.1"
)

// add makes a member's transport; its address is of no machine.
func (n *memoryNetwork) add() *memoryTransport {
	t := &memoryTransport{
		network: n, port: 1 + len(n.members), packets: make(chan *memberlist.Packet, packetsQueued), streams: make(chan net.Conn),
	}
	n.members[t.address()] = t
	return t
}

func (t *memoryTransport) address() string { return fmt.Sprintf("%s:%d", simulatedHost, t.port) }

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *memoryTransport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return net.ParseIP(simulatedHost), t.port, nil
}

// WriteTo implements memberlist.Transport. Packets get lost where a queue is full.
func (t *memoryTransport) WriteTo(data []byte, address string) (time.Time, error) {
	now := time.Now()
	to := t.network.members[address]
	if to == nil {
		return now, nil
	}
	size := int64(len(data) + packetHeaders)
	t.sent.packets.Add(size)
	to.received.packets.Add(size)
	packet := &memberlist.Packet{Buf: append([]byte(nil), data...), From: &net.UDPAddr{IP: net.ParseIP(simulatedHost), Port: t.port}, Timestamp: now}
	select {
	case to.packets <- packet:
	default:
	}
	return now, nil
}

// PacketCh implements memberlist.Transport.
func (t *memoryTransport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh implements memberlist.Transport.
func (t *memoryTransport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown implements memberlist.Transport.
func (t *memoryTransport) Shutdown() error { return nil }

// DialTimeout implements memberlist.Transport.
func (t *memoryTransport) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	to := t.network.members[address]
	if to == nil {
		return nil, ErrUnreachable
	}
	here, there := net.Pipe()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case to.streams <- &meteredConn{there, &to.sent, &t.received}:
		return &meteredConn{here, &t.sent, &to.received}, nil
	case <-timer.C:
		return nil, ErrUnreachable
	}
}

// meteredConn counts what is written to it.
type meteredConn struct {
	net.Conn
	sent, received *meter
}

func (c *meteredConn) Write(data []byte) (int, error) {
	n, err := c.Conn.Write(data)
	c.sent.streams.Add(int64(n))
	c.received.streams.Add(int64(n))
	return n, err
}
