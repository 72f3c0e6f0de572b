package netlab

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	os.Exit(Main(func() int {
		code := m.Run()
		if err := goleak.Find(); err != nil && code == 0 {
			println(err.Error())
			return 1
		}
		return code
	}))
}

// socket is a UDP socket on a host.
func socket(t *testing.T, h *Host) net.PacketConn {
	t.Helper()
	var s net.PacketConn
	if err := h.network.do(func() (err error) {
		s, err = new(net.ListenConfig).ListenPacket(t.Context(), "udp", h.At("5000"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// arrivals sends so many packets and counts those that come within a while
// after the last.
func arrivals(t *testing.T, from, to net.PacketConn, packets int) int {
	t.Helper()
	for range packets {
		if _, err := from.WriteTo([]byte("hello"), to.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	buffer := make([]byte, 16)
	for n := 0; ; n++ {
		if err := to.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := to.ReadFrom(buffer); err != nil {
			return n
		}
	}
}

func TestLinksAreCutOneWayAndBothWaysAndHeal(t *testing.T) {
	t.Parallel()
	lab := New(t)
	a, b, c := lab.Host(), lab.Host(), lab.Host()
	atA, atB, atC := socket(t, a), socket(t, b), socket(t, c)
	expect := func(what string, from, to net.PacketConn, want int) {
		t.Helper()
		if got := arrivals(t, from, to, 3); got != want {
			t.Errorf("%s: %d of 3 packets arrive, want %d", what, got, want)
		}
	}
	expect("a good link", atA, atB, 3)
	lab.Cut(a, b)
	expect("a cut link", atA, atB, 0)
	expect("its other way", atB, atA, 3)
	expect("another link", atA, atC, 3)
	lab.Split([]*Host{a, b}, []*Host{c})
	expect("a part to the other", atA, atC, 0)
	expect("the other to a part", atC, atA, 0)
	expect("within a part", atB, atA, 3)
	lab.Heal()
	expect("a healed link", atA, atB, 3)
	expect("another healed link", atC, atA, 3)
}

func TestALinkLosesSomePackets(t *testing.T) {
	t.Parallel()
	lab := New(t)
	a, b := lab.Host(), lab.Host()
	atA, atB := socket(t, a), socket(t, b)
	lab.Lose(30, a, b)
	// That so few or so many of 200 arrive has a chance below one in 10^9.
	if got := arrivals(t, atA, atB, 200); got < 95 || got > 178 {
		t.Errorf("%d of 200 packets arrive at a loss of 30 %%", got)
	}
}

func TestASlowLinkDelaysStreamsAndKeepsThem(t *testing.T) {
	t.Parallel()
	const delay = 200 * time.Millisecond
	lab := New(t)
	a, b := lab.Host(), lab.Host()
	var listener net.Listener
	if err := a.network.do(func() (err error) {
		listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", a.At("5000"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		server, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = server.Close() }()
		buffer := make([]byte, 5)
		for {
			if _, err := server.Read(buffer); err != nil {
				return
			}
			if _, err := server.Write(buffer); err != nil {
				return
			}
		}
	}()
	var client net.Conn
	if err := b.network.do(func() (err error) {
		client, err = new(net.Dialer).DialContext(t.Context(), "tcp", a.At("5000"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	roundTrip := func() time.Duration {
		t.Helper()
		begun := time.Now()
		buffer := make([]byte, 5)
		if _, err := client.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Read(buffer); err != nil {
			t.Fatal(err)
		}
		return time.Since(begun)
	}
	roundTrip()
	lab.Delay(delay, a, b)
	for range 3 {
		if took := roundTrip(); took < 2*delay {
			t.Errorf("a round trip takes %s over two ways of %s", took, delay)
		}
	}
	lab.Heal()
	roundTrip()
}

func TestProgramsRunOnTheirHost(t *testing.T) {
	t.Parallel()
	h := New(t).Host()
	var out strings.Builder
	c := exec.CommandContext(t.Context(), "ip", "-brief", "address")
	c.Stdout = &out
	exited, err := h.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	<-exited
	if !strings.Contains(out.String(), h.Address()) || !strings.Contains(out.String(), "127.0.0.1") {
		t.Errorf("the host has the addresses\n%s", out.String())
	}
	if exited, err = h.Start(exec.CommandContext(context.Background(), "/not/there")); err == nil {
		t.Error("a program that isn't there was started")
	}
	<-exited
}
