package netlab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// tun is a host's way over slow links: packets that the host routes into the
// device are kept as long as their link takes, and come out of the device of the
// host that they are for.
type tun struct {
	host   *Host
	device *os.File
	work   sync.WaitGroup
	routed map[*Host]bool
}

// slowDevice is its name on each host.
const slowDevice = "slow0"

// longestPacket is a TUN device's, with its usual MTU of 1500 bytes.
const longestPacket = 1500

// openTUN adds the device to a host.
func openTUN(h *Host) (*tun, error) {
	w := &tun{host: h, routed: make(map[*Host]bool)}
	err := h.network.do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		request, err := unix.NewIfreq(slowDevice)
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			return errors.Join(fmt.Errorf("make the device %s: %w", slowDevice, err), unix.Close(fd))
		}
		w.device = os.NewFile(uintptr(fd), slowDevice)
		// Answers may go another way than questions come.
		for _, device := range []string{"all", "eth0", slowDevice} {
			file := "/proc/sys/net/ipv4/conf/" + device + "/rp_filter" // of this thread's namespace
			if err := os.WriteFile(file, []byte("0"), 0o600); err != nil {
				return fmt.Errorf("accept packets from the device %s: %w", slowDevice, err)
			}
		}
		return command("", "ip", "link", "set", slowDevice, "up")
	})
	if err != nil {
		return nil, err
	}
	w.work.Go(w.read)
	return w, nil
}

// route sends what goes over slow links into the device, and the rest by eth0.
func (h *Host) route() error {
	for _, other := range h.lab.hosts {
		slow := h.lab.links[link{h, other}].delay > 0
		if slow == (h.slow != nil && h.slow.routed[other]) {
			continue
		}
		for _, end := range []*Host{h, other} {
			if end.slow != nil {
				continue
			}
			var err error
			if end.slow, err = openTUN(end); err != nil {
				return err
			}
		}
		does := "del"
		if slow {
			does = "add"
		}
		err := h.network.do(func() error {
			return command("", "ip", "route", does, other.Address(), "dev", slowDevice, "src", h.Address())
		})
		if err != nil {
			return err
		}
		h.slow.routed[other] = slow
	}
	return nil
}

// read takes the host's packets from the device until it is closed.
func (w *tun) read() {
	packet := make([]byte, longestPacket)
	for {
		n, err := w.device.Read(packet)
		if err != nil {
			return
		}
		const destination = 16 // in an IPv4 header
		if n < destination+4 || packet[0]>>4 != 4 {
			continue // the kernel's own IPv6 chatter
		}
		to, _ := netip.AddrFromSlice(packet[destination : destination+4])
		w.forward(to, append([]byte(nil), packet[:n]...))
	}
}

// forward puts a packet out at its destination when its time has come. Packets
// that come close together may change places, as on any long way.
func (w *tun) forward(to netip.Addr, packet []byte) {
	lab := w.host.lab
	lab.mu.Lock()
	defer lab.mu.Unlock()
	for _, h := range lab.hosts {
		if h.address != to || h.slow == nil {
			continue
		}
		out := h.slow.device
		delay := lab.links[link{w.host, h}].delay
		time.AfterFunc(delay, func() {
			_, _ = out.Write(packet) // a network gives no promises
		})
	}
}

func (w *tun) close() {
	_ = w.device.Close()
	w.work.Wait()
}
