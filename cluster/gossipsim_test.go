package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// gossipSimulation is a cluster of members that do nothing but gossip, in one
// process, over a network in memory that counts bytes. Everything else is what
// peers use: memberlist with its settings, and this room's sharing.
type gossipSimulation struct {
	Members int
	// ProfileBytes and LoadBytes are what each member tells of itself.
	ProfileBytes, LoadBytes int
	// LoadEvery is how often each member has a new load.
	LoadEvery time.Duration
	// ProfileEvery is how often some member has a new profile.
	ProfileEvery time.Duration
	// Settle is how long the members have, once all see each other, before
	// Measure begins.
	Settle, Measure time.Duration
}

// gossipReport is what a simulation found. Rates are bytes a second.
type gossipReport struct {
	Members int
	// Sent and Received are of a mean member, by kind.
	Sent     traffic
	Received traffic
	// MostSent and MostReceived are of the members with the most.
	MostSent     int64
	MostReceived int64
	// Profiles is the share of profiles that members have of each other at the
	// end, 1 for all.
	Profiles float64
	// ProfileSeconds is how long the slowest new profile took to reach all; 0
	// where none did.
	ProfileSeconds float64
	// LoadAge is how old members' knowledge of each other's load is at the end:
	// the median and the age that 99 in 100 are below, in seconds.
	LoadAge   float64
	LoadAge99 float64
}

// simulated is one member.
type simulated struct {
	id        string
	gossip    *gossip
	transport *memoryTransport
	before    [2]traffic
}

// callHeaders is about what a call and its answer take besides their bodies.
const callHeaders = 500

// run runs the simulation.
func (g gossipSimulation) run(ctx context.Context) (report gossipReport, err error) {
	if g.Members < 2 {
		return report, fmt.Errorf("simulate %d members: at least 2 can gossip", g.Members)
	}
	network := &memoryNetwork{members: make(map[string]*memoryTransport, g.Members)}
	members := make(map[string]*simulated, g.Members)
	var order []*simulated
	for n := range g.Members {
		m := &simulated{id: fmt.Sprintf("node-%05d", n), transport: network.add()}
		order = append(order, m)
		members[m.id] = m
	}
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer func() {
		cancel()
		for _, m := range order {
			if m.gossip != nil {
				err = errors.Join(err, m.gossip.list.Shutdown())
			}
		}
		work.Wait()
	}()
	for _, m := range order {
		if err := m.start(); err != nil {
			return report, err
		}
		m.gossip.shares.setProfile(filler(g.ProfileBytes, m.id))
	}
	if err := meet(ctx, order); err != nil {
		return report, err
	}
	for n, m := range order {
		work.Go(func() { m.fetcher(members).run(ctx) })
		// Their beats are spread evenly, as those of machines would be.
		work.Go(func() { m.live(ctx, g, time.Duration(n)*g.LoadEvery/time.Duration(len(order))) })
	}
	if err := pause(ctx, g.Settle); err != nil {
		return report, err
	}
	for _, m := range order {
		m.before = [2]traffic{m.transport.sent.read(), m.transport.received.read()}
	}
	begun := time.Now()
	slowest, err := g.change(ctx, order, begun.Add(g.Measure))
	if err != nil {
		return report, err
	}
	return measure(order, time.Since(begun), slowest), nil
}

func (m *simulated) start() error {
	log := slog.New(slog.DiscardHandler)
	g := &gossip{log: log, shares: newShares(m.id, log), seen: make(map[string]Member)}
	if _, err := g.describe(Identity{
		HTTPAddr: "192.168.100.100:8080", RaftAddr: "192.168.100.100:7947", Version: "v1.0.0", Role: "worker", Cluster: strings.Repeat("c", clusterIDSize),
	}); err != nil {
		return err
	}
	settings := g.settings(m.id)
	settings.Transport = m.transport
	list, err := memberlist.Create(settings)
	if err != nil {
		return fmt.Errorf("start member %s: %w", m.id, err)
	}
	g.list, m.gossip = list, g
	return nil
}

// meet has every member see all others: the first hears of all, then all of it.
func meet(ctx context.Context, order []*simulated) error {
	for range 2 {
		for _, m := range order[1:] {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if _, err := m.gossip.list.Join([]string{order[0].transport.address()}); err != nil {
				return fmt.Errorf("member %s joins: %w", m.id, err)
			}
		}
	}
	return nil
}

// fetcher fetches from the others, counting what calls would carry.
func (m *simulated) fetcher(members map[string]*simulated) *fetcher {
	others := make([]string, 0, len(members)-1)
	for id := range members {
		if id != m.id {
			others = append(others, id)
		}
	}
	return &fetcher{
		shares: m.gossip.shares, others: func() []string { return others },
		ask: func(_ context.Context, id string, request profileRequest) (profileAnswer, error) {
			other := members[id]
			answer, err := other.gossip.shares.give(request, &other.gossip.shares.serving)
			asked, _ := json.Marshal(request)
			answered, _ := json.Marshal(answer)
			m.count(other, len(asked)+callHeaders)
			other.count(m, len(answered)+callHeaders)
			return answer, err
		},
	}
}

func (m *simulated) count(to *simulated, bytes int) {
	m.transport.sent.calls.Add(int64(bytes))
	to.transport.received.calls.Add(int64(bytes))
}

// live has a new load at each beat.
func (m *simulated) live(ctx context.Context, g gossipSimulation, first time.Duration) {
	if pause(ctx, first) != nil {
		return
	}
	ticker := time.NewTicker(g.LoadEvery)
	defer ticker.Stop()
	for n := 0; ; n++ {
		m.gossip.shares.setLoad(filler(g.LoadBytes, fmt.Sprint(n)))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// change gives one member after the other a new profile until the time is up,
// and says how long the slowest took to reach all.
func (g gossipSimulation) change(ctx context.Context, order []*simulated, until time.Time) (slowest time.Duration, err error) {
	for n := 0; ; n++ {
		if err := pause(ctx, min(g.ProfileEvery, time.Until(until))); err != nil {
			return 0, err
		}
		if !time.Now().Before(until) {
			return slowest, nil
		}
		changed, begun := order[n%len(order)], time.Now()
		profile := filler(g.ProfileBytes, fmt.Sprint("new ", n))
		changed.gossip.shares.setProfile(profile)
		for left := order; time.Now().Before(until); {
			left = slices.DeleteFunc(slices.Clone(left), func(m *simulated) bool {
				return string(m.gossip.shares.of([]string{changed.id})[0].Profile) == string(profile)
			})
			if len(left) == 0 {
				slowest = max(slowest, time.Since(begun))
				break
			}
			if err := pause(ctx, 100*time.Millisecond); err != nil {
				return 0, err
			}
		}
	}
}

func measure(order []*simulated, took, slowest time.Duration) gossipReport {
	report := gossipReport{Members: len(order), ProfileSeconds: slowest.Seconds()}
	var sent, received traffic
	var ages []float64
	profiles := 0
	rate := func(bytes int64) int64 { return int64(float64(bytes) / took.Seconds()) }
	for _, m := range order {
		out, in := m.transport.sent.read().minus(m.before[0]), m.transport.received.read().minus(m.before[1])
		sent = traffic{sent.Packets + out.Packets, sent.Streams + out.Streams, sent.Calls + out.Calls}
		received = traffic{received.Packets + in.Packets, received.Streams + in.Streams, received.Calls + in.Calls}
		report.MostSent, report.MostReceived = max(report.MostSent, rate(out.sum())), max(report.MostReceived, rate(in.sum()))
		m.gossip.shares.mu.Lock()
		for _, known := range m.gossip.shares.issues {
			if known.profileEdition != 0 {
				profiles++
			}
			if known.loadEdition != 0 {
				ages = append(ages, time.Since(time.Unix(0, int64(known.loadEdition))).Seconds())
			}
		}
		m.gossip.shares.mu.Unlock()
	}
	mean := func(t traffic) traffic {
		n := int64(len(order))
		return traffic{rate(t.Packets) / n, rate(t.Streams) / n, rate(t.Calls) / n}
	}
	report.Sent, report.Received = mean(sent), mean(received)
	report.Profiles = float64(profiles) / float64(len(order)*len(order))
	if slices.Sort(ages); len(ages) > 0 {
		report.LoadAge, report.LoadAge99 = ages[len(ages)/2], ages[len(ages)*99/100]
	}
	return report
}

// filler is JSON of some bytes that doesn't compress well.
func filler(size int, word string) json.RawMessage {
	data := make([]byte, 0, max(size, len(word)+2))
	data = append(append(data, '"'), word...)
	for n := uint32(len(word) + 1); len(data) < size-1; n = n*1664525 + 1013904223 {
		data = append(data, "0123456789abcdefghijklmnopqrstuv"[n>>27])
	}
	return append(data, '"')
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
