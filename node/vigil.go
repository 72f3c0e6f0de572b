package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"millrace/cluster"
)

// The vigil is how a leader finds out, within seconds and without a false
// alarm, that a worker's process has ended. Silence alone proves nothing: a
// machine that encodes on every core is late with everything. So silence, or a
// poll whose connection breaks, only raises a doubt, and a worker in doubt is
// asked by a call of its own. What proves that the process is gone is its
// machine refusing the connection, or another run of it answering. A machine
// that doesn't answer at all keeps its attempts until the lease ends, or, when
// the other nodes have lost sight of it too, until silenceProof.
const (
	vigilEvery = 250 * time.Millisecond
	// brokenDoubt is how long after a poll broke off the next is waited for: a
	// worker breaks one off itself when it has news, and polls again at once.
	brokenDoubt = 300 * time.Millisecond
	// unheardDoubt is the same for the first poll of a new leader's term.
	unheardDoubt = 700 * time.Millisecond
	// silenceDoubt is how late a poll may be otherwise.
	silenceDoubt = 2500 * time.Millisecond
	// silenceProof is how long a worker that gossip has lost may be silent.
	silenceProof = 4 * time.Second
	// askEvery is how often a worker in doubt is asked, askTimeout how long it
	// may take to answer.
	askEvery   = time.Second
	askTimeout = time.Second
	// ownPause is how long this process may itself have stood still before
	// nobody else can be blamed for silence.
	ownPause = 2 * time.Second
	// forgetWorker is how long a worker that is gone is remembered.
	forgetWorker = 10 * time.Minute
)

const (
	reasonRestarted = "the node restarted"
	reasonRefused   = "the node's process has ended: its machine refuses connections"
	reasonRemoved   = "the node was removed from the cluster"
)

// witness is how the leader asks after a worker.
type witness interface {
	// session asks a node which run of its process answers.
	session(ctx context.Context, node string) (string, error)
	// inSight says whether gossip sees the node alive.
	inSight(node string) bool
}

// vigil watches over the workers until ctx ends.
func (l *leader) vigil(ctx context.Context, witness witness) error {
	var asking sync.WaitGroup
	defer asking.Wait()
	l.mu.Lock()
	l.awake = l.now()
	l.mu.Unlock()
	ticker := time.NewTicker(vigilEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		for _, worker := range l.doubted() {
			asking.Go(func() { l.ask(ctx, witness, worker) })
		}
	}
}

// doubted lists the workers that are to be asked now, and notes that they are.
func (l *leader) doubted() []*workerSeen {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.forgive(now)
	var list []*workerSeen
	for node, worker := range l.workers {
		if now.Sub(worker.seen) > forgetWorker {
			delete(l.workers, node) // its attempts are long lost
			continue
		}
		if !worker.asking && now.Sub(worker.asked) >= askEvery && worker.inDoubt(now) {
			worker.asking, worker.asked = true, now
			list = append(list, worker)
		}
	}
	return list
}

// forgive gives every worker the time that this process itself stood still, as
// a machine that was paused does: it could not hear them. The caller holds l.mu.
func (l *leader) forgive(now time.Time) {
	if l.awake.IsZero() {
		return
	}
	if gap := now.Sub(l.awake); gap > ownPause {
		l.log.Warn("this process stood still; workers get the time back", "time", gap)
		for _, worker := range l.workers {
			worker.seen = worker.seen.Add(gap)
			if !worker.answered.IsZero() {
				worker.answered = worker.answered.Add(gap)
			}
		}
	}
	l.awake = now
}

// inDoubt says whether there is reason to ask whether the worker lives.
func (w *workerSeen) inDoubt(now time.Time) bool {
	switch {
	case w.dead != "" || now.Sub(w.seen) > LeaseTime:
		return false // settled
	case w.unheard:
		return now.Sub(w.seen) > unheardDoubt
	case w.answered.IsZero():
		return now.Sub(w.seen) > w.report.Wait+silenceDoubt
	case w.broken:
		return now.Sub(w.answered) > brokenDoubt
	}
	return now.Sub(w.answered) > silenceDoubt
}

// ask asks a worker in doubt, and judges by what comes back.
func (l *leader) ask(ctx context.Context, witness witness, worker *workerSeen) {
	node := worker.report.Node
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	session, err := witness.session(asking, node)
	cancel()
	lost := err != nil && !witness.inSight(node)
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	worker.asking = false
	if l.workers[node] != worker {
		return // it has polled meanwhile
	}
	now := l.now()
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		worker.dead = reasonRefused
	case err == nil && session != "" && !worker.unheard && session != worker.session:
		worker.dead = reasonRestarted
	case err == nil && session != "":
		worker.session = session // what it held in another is lost
	case lost && now.Sub(worker.seen) > silenceProof:
		worker.dead = fmt.Sprintf("the node was silent for %s and the others see it no more", now.Sub(worker.seen).Round(time.Second/10))
	default:
		return
	}
	l.wakeLoop()
}

// expel takes the attempts of a node that was removed from the cluster away from
// it at once.
func (l *leader) expel(node string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.leading {
		return cluster.ErrNotLeader
	}
	if worker := l.workers[node]; worker != nil {
		worker.dead = reasonRemoved
		l.wakeLoop()
	}
	return nil
}
