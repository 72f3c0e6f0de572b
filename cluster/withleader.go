package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// errTryNext asks withLeader for another try with the next leader.
var errTryNext = errors.New("try the next leader")

// leaderPause is how long to wait before a leader that refused is asked again,
// if nothing is heard of a change.
const leaderPause = 20 * time.Millisecond

// maxLost is how many leaders may be lost during one call before it gives up.
const maxLost = 3

// patience is how long a call waits for a leader from when it was lost: two
// elections. Where there has been none for longer, it isn't waited for at all:
// this peer knows then that it is cut off or the others are gone.
func (p *Peer) patience() time.Duration {
	return 2 * (p.config.HeartbeatTimeout + p.config.ElectionTimeout)
}

// withLeader runs work with the ID of the leader, this peer's own if it leads.
// work's ctx ends when another leader is heard of. While there is no leader, or
// the peer that was taken for one says that it isn't, it waits and tries again.
func (p *Peer) withLeader(ctx context.Context, work func(ctx context.Context, leader string) error) error {
	patient := time.Now().Add(p.patience() - p.leader.lostFor())
	for tries := 0; ; {
		leader, changed := p.leader.now()
		err := ErrNoLeader
		if leader != "" {
			err = p.underLeader(ctx, changed, leader, work)
			if !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrNoLeader) && !errors.Is(err, errTryNext) {
				return err
			}
			if errors.Is(err, errUncertain) && !errors.Is(err, errTryNext) {
				return err
			}
			if errors.Is(err, errTryNext) && tries < maxLost {
				tries++
				patient = time.Now().Add(p.patience()) // the leader was lost only now
			}
		}
		if p.machine.haltError() != nil {
			return p.machine.haltError()
		}
		giveUp, pause := time.NewTimer(time.Until(patient)), time.NewTimer(leaderPause)
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-p.alive.Done():
			err = ErrClosed
		case <-giveUp.C:
			if !errors.Is(err, ErrNoLeader) {
				err = fmt.Errorf("%w: %w", ErrNoLeader, err)
			}
		case <-changed:
			err = nil
		case <-pause.C:
			err = nil
		}
		giveUp.Stop()
		pause.Stop()
		if err != nil {
			return err
		}
	}
}

// underLeader runs work until it ends or another leader is heard of; then what
// it did isn't known.
func (p *Peer) underLeader(ctx context.Context, changed <-chan struct{}, leader string, work func(ctx context.Context, leader string) error) error {
	if leader == p.id {
		return work(ctx, leader) // what this peer itself led, raft settles
	}
	under, cancel := context.WithCancel(ctx)
	defer cancel()
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-under.Done():
		case <-changed:
			cancel()
		}
	})
	err := work(under, leader)
	lost := under.Err() != nil && ctx.Err() == nil
	cancel()
	watch.Wait()
	if err != nil && lost && errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w: %s no longer leads", errTryNext, errUncertain, leader)
	}
	return err
}

// currentLeader is the leader as raft on this peer knows it.
type currentLeader struct {
	mu      sync.Mutex
	id      string
	lost    time.Time     // when there was none any more, if there is none
	changed chan struct{} // closed and replaced at each change
}

func (l *currentLeader) now() (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.id, l.changed
}

// lostFor is how long there has been no leader; 0 while there is one.
func (l *currentLeader) lostFor() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.id != "" {
		return 0
	}
	return time.Since(l.lost)
}

func (l *currentLeader) set(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.id != id {
		l.lost = time.Now()
		l.id = id
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

// watchLeader follows raft's word on who leads.
func (p *Peer) watchLeader() {
	heard := make(chan raft.Observation, 16)
	observer := raft.NewObserver(heard, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	p.raft.RegisterObserver(observer)
	defer p.raft.DeregisterObserver(observer)
	// Observations may be dropped when many come at once, so raft is asked.
	look := time.NewTicker(p.config.HeartbeatTimeout)
	defer look.Stop()
	for {
		_, moved := p.standing.now()
		p.review()
		_, id := p.raft.LeaderWithID()
		p.setLeader(roleHolder, string(id))
		select {
		case <-p.stopped:
			return
		case <-heard:
		case <-moved:
		case <-look.C:
		}
	}
}
