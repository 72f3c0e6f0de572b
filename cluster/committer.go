package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// enqueueTimeout is how long an entry waits for room in raft's queue: raft takes
// none while it writes the ones before.
const enqueueTimeout = 10 * time.Second

// committer puts the commands that this peer takes as the leader into the log:
// those that come while raft is busy with the ones before go into one entry
// together, as far as all peers understand that. Nothing waits for company.
type committer struct {
	peer *Peer

	mu      sync.Mutex
	waiting []submitted
	// wake has a token while there may be something that waits.
	wake chan struct{}
}

// submitted is a command on its way into the log.
type submitted struct {
	ctx      context.Context
	envelope []byte
	done     chan<- error // has room for the one answer
}

func newCommitter(p *Peer) *committer { return &committer{peer: p, wake: make(chan struct{}, 1)} }

// submit puts a command's envelope into the log and waits until it is applied, at
// most until ctx ends: then it may be applied all the same.
func (c *committer) submit(ctx context.Context, envelope []byte) error {
	if err := c.peer.begin(); err != nil {
		return err
	}
	done := make(chan error, 1)
	c.mu.Lock()
	c.waiting = append(c.waiting, submitted{ctx, envelope, done})
	c.mu.Unlock()
	c.rouse()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-done:
		return err
	}
}

func (c *committer) rouse() {
	select {
	case c.wake <- struct{}{}:
	default: // it is awake
	}
}

// run does the work until the peer has stopped. Close waits for every command
// that was begun before it lets raft end, so none is left over.
func (c *committer) run() {
	for {
		select {
		case <-c.peer.stopped:
			return
		case <-c.wake:
		}
		for group := c.take(); len(group) > 0; group = c.take() {
			future := c.peer.raft.ApplyLog(entryOf(group), enqueueTimeout)
			// Raft has the next one while this one goes to the other voters; it
			// answers each while it runs, and Close waits for that.
			go c.settle(group, future)
		}
	}
}

// take removes from the queue what is to be the next entry.
func (c *committer) take() []submitted {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := 1
	if len(c.waiting) > 1 && c.peer.understood() >= groupVersion {
		most = maxGrouped
	}
	var group []submitted
	bytes, taken := 0, 0
	for _, s := range c.waiting {
		if err := s.ctx.Err(); err != nil { // nobody waits for it any more
			taken++
			c.answer(s, err)
			continue
		}
		bytes += len(s.envelope)
		if len(group) > 0 && (len(group) == most || bytes > maxGroupBytes || !groupable(s.envelope)) {
			break
		}
		group = append(group, s)
		taken++
		if !groupable(s.envelope) {
			break
		}
	}
	if c.waiting = c.waiting[taken:]; len(c.waiting) == 0 {
		c.waiting = nil // the array behind it goes
	}
	return group
}

func entryOf(group []submitted) raft.Log {
	if len(group) == 1 {
		return logOf(group[0].envelope)
	}
	envelopes := make([][]byte, len(group))
	for i, s := range group {
		envelopes[i] = s.envelope
	}
	return groupOf(envelopes)
}

// settle tells the submitters of an entry what became of it.
func (c *committer) settle(group []submitted, future raft.Future) {
	err := c.peer.raftError(future.Error())
	for _, s := range group {
		c.answer(s, err)
	}
}

func (c *committer) answer(s submitted, err error) {
	s.done <- err
	c.peer.end()
}
