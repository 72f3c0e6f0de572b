package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// term is one unbroken time of this peer as the cluster's leader, beginning
// once everything that earlier leaders acknowledged has been applied here.
type term struct {
	number uint64
	ctx    context.Context // ends with the leadership
}

// leadership is the term that this peer leads in now, if it does.
type leadership struct {
	mu      sync.Mutex
	term    *term
	changed chan struct{} // closed and replaced at each change
}

// open makes t the present term, unless it has ended already.
func (l *leadership) open(t *term) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.ctx.Err() == nil {
		l.change(t)
	}
}

// shut ends the present term.
func (l *leadership) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.change(nil)
}

func (l *leadership) change(t *term) {
	l.term = t
	close(l.changed)
	l.changed = make(chan struct{})
}

// now is the term that this peer leads in, nil if it doesn't, and a channel
// that is closed when that changes.
func (l *leadership) now() (*term, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term, l.changed
}

// watchLeadership begins and ends terms as raft tells. Raft waits for the
// channel, so nothing here may take long, and it is read until raft has ended.
func (p *Peer) watchLeadership(notify <-chan bool) {
	var taking sync.WaitGroup
	end := func() {}
	defer func() { end(); taking.Wait() }()
	halted := p.machine.halted
	for {
		select {
		case <-p.stopped:
			return
		case <-halted:
			halted = nil
			end()
		case leads := <-notify:
			end()
			if !leads {
				p.log.Info("no longer the leader")
				continue
			}
			ctx, cancel := context.WithCancel(p.alive)
			begun := &term{number: p.raft.CurrentTerm(), ctx: ctx}
			taking.Go(func() { p.takeOffice(begun) })
			end = func() {
				cancel()
				p.lead.shut()
			}
		}
	}
}

// barrierTimeout is how long a new leader waits for room to write its barrier.
const barrierTimeout = 10 * time.Second

// takeOffice opens a term for reads and leader's work.
func (p *Peer) takeOffice(t *term) {
	if !p.barrier(t) {
		return
	}
	p.correctAddress()
	p.log.Info("this peer leads the cluster", "term", t.number)
	p.lead.open(t)
	s := &steward{peer: p, conditions: make(map[string]condition), passedOver: make(map[string]time.Time)}
	p.steward.Store(s)
	s.run(t.ctx)
}

// barrier waits until all that earlier leaders committed is applied here, and
// says whether the term still lasts.
func (p *Peer) barrier(t *term) bool {
	if p.begin() != nil {
		return false
	}
	defer p.end()
	for {
		err := p.raft.Barrier(barrierTimeout).Error()
		if err == nil {
			break
		}
		if t.ctx.Err() != nil || p.raft.State() != raft.Leader {
			return false // the next term has another one take office
		}
		p.log.Warn("the new leader's barrier is tried again", "error", err)
	}
	return p.raft.CurrentTerm() == t.number
}

// correctAddress tells the cluster where this leader is now, if it moved since
// its last start: a lone voter has nobody who could do it for it.
func (p *Peer) correctAddress() {
	if p.begin() != nil {
		return
	}
	defer p.end()
	p.changing.Lock()
	defer p.changing.Unlock()
	future := p.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		p.log.Warn("the cluster's addresses can't be read", "error", err)
		return
	}
	address := p.transport.LocalAddr()
	for _, server := range future.Configuration().Servers {
		if server.ID != raft.ServerID(p.id) || server.Address == address {
			continue
		}
		if err := p.raft.AddVoter(server.ID, address, future.Index(), barrierTimeout).Error(); err != nil {
			p.log.Warn("the new raft address can't be told", "address", address, "error", err)
			continue
		}
		p.log.Info("the raft address has changed", "from", server.Address, "to", address)
	}
}

// Lead runs work each time this peer becomes the leader, once everything that
// was acknowledged before has been applied here. work's ctx ends when the
// leadership does; work must then return soon, and what it returns is dropped.
// Lead ends with work's own error, with nil when ctx ends, and with ErrClosed
// or ErrHalted when the peer does.
func (p *Peer) Lead(ctx context.Context, work func(ctx context.Context) error) error {
	for {
		present, changed := p.lead.now()
		if present != nil && present.ctx.Err() == nil {
			if err := p.leadOnce(ctx, present, work); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.alive.Done():
			return ErrClosed
		case <-p.machine.halted:
			return p.machine.haltError()
		case <-changed:
		}
	}
}

func (p *Peer) leadOnce(ctx context.Context, present *term, work func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(present.ctx, cancel)
	defer stop()
	if err := work(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
