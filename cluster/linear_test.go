package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// Commands that share log entries, of many clients at once, while leaders come and go:
// each answer must be what some one order of all commands explains, in which each comes
// between its call and its return. Registers are the URLs of webhooks.

const (
	linearClients   = 24
	linearWrites    = 25 // of each client, with as many reads
	linearRegisters = 12
)

// plays is what clients did and saw, for porcupine to judge.
type plays struct {
	t       *testing.T
	peers   []*Peer
	begun   time.Time
	clients atomic.Int64
	done    atomic.Int64 // operations
	broken  bool         // who tries again forgets that it tried

	mu         sync.Mutex
	operations []porcupine.Operation
}

// asked is a write of a value, or a read where that is "".
type asked struct{ register, value string }

const outcomeUnknown = "the outcome isn't known"

var linearModel = porcupine.Model{
	Partition: func(all []porcupine.Operation) (parts [][]porcupine.Operation) {
		of := make(map[string][]porcupine.Operation)
		for _, o := range all {
			register := o.Input.(asked).register
			of[register] = append(of[register], o)
		}
		for _, part := range of {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		if in := input.(asked); in.value != "" {
			return true, in.value
		}
		return output == state, state
	},
}

// record does an operation; one whose outcome isn't known may happen at any time later.
func (p *plays) record(client int64, in asked, do func() (string, error)) {
	call := time.Since(p.begun).Nanoseconds()
	out, err := do()
	returned := time.Since(p.begun).Nanoseconds()
	p.done.Add(1)
	if err != nil {
		if in.value == "" {
			return // a read that failed says nothing
		}
		out, returned = outcomeUnknown, math.MaxInt64
		client = p.clients.Add(1) // nobody has two operations at a time
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.operations = append(p.operations, porcupine.Operation{ClientId: int(client), Input: in, Call: call, Output: out, Return: returned})
}

// sent is a write that was sent, and can be sent once more.
type sent struct {
	put PutWebhook
	of  proposal
}

func (p *plays) write(ctx context.Context, client int64, at *Peer, register, value string) sent {
	s := sent{PutWebhook{Webhook{ID: register, Org: "default", URL: value, Created: noon}}, proposal{ID: rand.Text(), Base: at.Stale().Index()}}
	p.record(client, asked{register, value}, func() (string, error) { return "", p.send(ctx, at, s) })
	return s
}

func (p *plays) send(ctx context.Context, at *Peer, s sent) error {
	envelope, err := encodeEnvelope(s.put, s.of)
	if err != nil {
		return err
	}
	return at.submit(ctx, envelope)
}

// sendAgain is what a client does that didn't hear the answer: nothing comes of it
// where the first try was applied, as the command's ID tells.
func (p *plays) sendAgain(ctx context.Context, at *Peer, s sent) {
	if p.broken {
		s.of.ID = rand.Text()
	}
	_ = p.send(ctx, at, s)
}

func (p *plays) read(ctx context.Context, client int64, at *Peer, register string) {
	p.record(client, asked{register: register}, func() (string, error) {
		v, err := at.View(ctx)
		if err != nil {
			return "", err
		}
		if found, is := v.Webhook("default", register); is {
			return found.URL, nil
		}
		return "", nil
	})
}

// play is one client, which asks each peer in turn.
func (p *plays) play(ctx context.Context, number int) {
	client := p.clients.Add(1)
	var before sent
	for n := range linearWrites {
		ctx, cancel := context.WithTimeout(ctx, patient)
		at, next := p.peers[(number+n)%len(p.peers)], p.peers[(number+n+1)%len(p.peers)]
		register := fmt.Sprint("r", (number*7+n)%linearRegisters)
		if n%4 == 3 && !p.broken { // the one that breaks does so at the end, where it is surely seen
			p.sendAgain(ctx, next, before)
		}
		before = p.write(ctx, client, at, register, fmt.Sprintf("http://%d/%d", number, n))
		p.read(ctx, client, next, register)
		cancel()
	}
}

// deposed takes the office from the leader each time that some operations are done.
func (p *plays) deposed(ctx context.Context) (terms int) {
	const every = linearClients * linearWrites * 2 / 8
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for next := int64(every); ; {
		select {
		case <-ctx.Done():
			return terms
		case <-tick.C:
		}
		if p.done.Load() < next {
			continue
		}
		for _, peer := range p.peers {
			if peer.Leads() && peer.raft.LeadershipTransfer().Error() == nil {
				terms, next = terms+1, next+every
				break
			}
		}
	}
}

func TestCommandsThatShareEntriesAreOneHistoryWhoeverLeads(t *testing.T) {
	for _, c := range []struct {
		name   string
		broken bool
		want   porcupine.CheckResult
	}{
		{"as it is built", false, porcupine.Ok},
		{"with commands that are tried twice as two", true, porcupine.Illegal},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // it waits for disks
			peers := trio(t)
			propose[any](t, peers["a"], createOrg("default"))
			p := &plays{t: t, peers: []*Peer{peers["a"], peers["b"], peers["c"]}, begun: time.Now(), broken: c.broken}
			ctx, stop := context.WithCancel(t.Context())
			terms := make(chan int)
			go func() { terms <- p.deposed(ctx) }()
			var clients sync.WaitGroup
			for number := range linearClients {
				clients.Go(func() { p.play(t.Context(), number) })
			}
			clients.Wait()
			stop()
			if n := <-terms; n < 3 {
				t.Errorf("%d leaders were deposed: the test sees too little", n)
			}
			groups, grouped := groupsIn(read(t, peers["b"]))
			p.ending(peers)
			if grouped < 100 {
				t.Errorf("%d commands shared %d entries: the test sees too little", grouped, groups)
			}
			t.Logf("%d operations, %d commands in %d shared entries", len(p.operations), grouped, groups)
			if verdict := porcupine.CheckOperationsTimeout(linearModel, p.operations, patient); verdict != c.want {
				t.Errorf("porcupine says %s, want %s", verdict, c.want)
			}
		})
	}
}

// ending kills the leader, and has each register written twice, the first write sent
// once more to the next leader, and read.
func (p *plays) ending(peers map[string]*Peer) {
	ctx, client := p.t.Context(), p.clients.Add(1)
	register := func(n int) string { return fmt.Sprint("r", n) }
	leader := leaderOf(p.t, peers)
	var first []sent
	for n := range linearRegisters {
		first = append(first, p.write(ctx, client, leader, register(n), fmt.Sprint("http://first/", n)))
		p.write(ctx, client, leader, register(n), fmt.Sprint("http://second/", n))
	}
	cutOff(p.t, leader)
	others := othersThan(peers, leader)
	ready(p.t, others...)
	for n := range linearRegisters {
		read(p.t, others[0]) // under the next leader
		p.sendAgain(ctx, others[0], first[n])
		p.read(ctx, client, others[1], register(n))
	}
}

// groupsIn counts the log entries of which a state knows several commands.
func groupsIn(v View) (groups, commands int) {
	of := make(map[uint64]int)
	for _, row := range v.(*view).proposals {
		of[row.Index]++
	}
	for _, n := range of {
		if n > 1 {
			groups, commands = groups+1, commands+n
		}
	}
	return groups, commands
}
