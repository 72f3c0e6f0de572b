package netlab

import (
	"fmt"
	"strings"
	"time"
)

// fault is what is wrong with a link.
type fault struct {
	cut   bool
	loss  int // percent of packets
	delay time.Duration
}

// Cut stops all that from sends to the hosts to; what they send reaches from.
func (l *Lab) Cut(from *Host, to ...*Host) {
	l.t.Helper()
	l.change(func() {
		for _, h := range to {
			l.set(from, h, func(f *fault) { f.cut = true })
		}
	})
}

// Split parts the network: no host of a reaches one of b, nor the other way.
func (l *Lab) Split(a, b []*Host) {
	l.t.Helper()
	l.change(func() {
		for _, one := range a {
			for _, other := range b {
				l.set(one, other, func(f *fault) { f.cut = true })
				l.set(other, one, func(f *fault) { f.cut = true })
			}
		}
	})
}

// Lose drops so many percent of the packets between each two of the hosts, by
// chance, each way.
func (l *Lab) Lose(percent int, hosts ...*Host) {
	l.t.Helper()
	l.change(func() { l.between(hosts, func(f *fault) { f.loss = percent }) })
}

// Delay makes each packet between each two of the hosts take so long, each way.
func (l *Lab) Delay(d time.Duration, hosts ...*Host) {
	l.t.Helper()
	l.change(func() { l.between(hosts, func(f *fault) { f.delay = d }) })
}

// Heal makes all links good again.
func (l *Lab) Heal() {
	l.t.Helper()
	l.change(func() { clear(l.links) })
}

func (l *Lab) between(hosts []*Host, spoil func(*fault)) {
	for _, one := range hosts {
		for _, other := range hosts {
			if one != other {
				l.set(one, other, spoil)
			}
		}
	}
}

func (l *Lab) set(from, to *Host, spoil func(*fault)) {
	f := l.links[link{from, to}]
	spoil(&f)
	l.links[link{from, to}] = f
}

// change lets spoil change the links and makes the hosts' rules and routes say
// so. Each host's rules change at one moment.
func (l *Lab) change(spoil func()) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	spoil()
	for _, h := range l.hosts {
		if err := h.apply(); err != nil {
			l.t.Fatal("change the network: ", err)
		}
	}
}

// apply writes the host's rules for what arrives, and its routes for what it
// sends, anew.
func (h *Host) apply() error {
	rules := []string{"flush chain ip faults arriving"}
	for _, other := range h.lab.hosts {
		f := h.lab.links[link{other, h}]
		rule := "add rule ip faults arriving ip saddr " + other.Address()
		switch {
		case f.cut:
			rules = append(rules, rule+" drop")
		case f.loss > 0:
			rules = append(rules, fmt.Sprintf("%s numgen random mod 100 < %d drop", rule, f.loss))
		}
	}
	return firstError(
		func() error {
			return h.network.do(func() error { return command(strings.Join(rules, "\n")+"\n", "nft", "-f", "-") })
		},
		h.route,
	)
}
