package netlab

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
)

// Host is a machine of a lab.
type Host struct {
	lab     *Lab
	number  int
	address netip.Addr
	network *namespace
	slow    *tun // what is delayed goes this way; nil until something is
}

// Host adds a machine to the network.
func (l *Lab) Host() *Host {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	h := &Host{lab: l, number: len(l.hosts) + 1}
	if h.number >= hubNumber {
		l.t.Fatal("a network can have 253 hosts")
	}
	h.address = l.address(h.number)
	if err := h.connect(); err != nil {
		l.t.Fatal("add a host to the network: ", err)
	}
	l.hosts = append(l.hosts, h)
	return h
}

// connect makes the host's namespace and its cable to the bridge.
func (h *Host) connect() (err error) {
	if h.network, err = newNamespace(); err != nil {
		return err
	}
	cable := fmt.Sprintf("lab%d-%d", h.lab.number, h.number)
	err = firstError(
		func() error {
			return command("", "ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", h.network.path())
		},
		func() error { return command("", "ip", "link", "set", cable, "master", h.lab.bridgeName(), "up") },
	)
	if err != nil {
		return err
	}
	return h.network.do(func() error {
		return firstError(
			func() error { return command("", "ip", "address", "add", h.address.String()+"/24", "dev", "eth0") },
			func() error { return command("", "ip", "link", "set", "eth0", "up") },
			func() error {
				return command("table ip faults {\n chain arriving {\n type filter hook input priority 0;\n }\n}\n", "nft", "-f", "-")
			},
		)
	})
}

// Address is the host's.
func (h *Host) Address() string { return h.address.String() }

// At is the host's address with a port.
func (h *Host) At(port string) string { return net.JoinHostPort(h.Address(), port) }

// Start starts a program on the host. It reaps it, and closes exited when it
// has ended; its exit code is in c.ProcessState then. The thread that starts it
// lives as long as the program, so Pdeathsig works.
func (h *Host) Start(c *exec.Cmd) (exited <-chan struct{}, err error) {
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		begun := false
		err := h.network.do(func() error {
			if err := c.Start(); err != nil {
				return err
			}
			begun = true
			started <- nil
			return c.Wait()
		})
		if !begun {
			started <- err
		}
	}()
	return ended, <-started
}

func (h *Host) close() {
	if h.slow != nil {
		h.slow.close()
	}
	_ = h.network.file.Close()
}
