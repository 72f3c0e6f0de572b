package bench

import (
	"bytes"
	"sync"

	"github.com/hashicorp/raft"
)

// maxGrouped is as in the cluster room.
const maxGrouped = 64

// grouper puts submissions into bare raft as the cluster room does: those that come
// while raft is busy go into one entry together.
type grouper struct {
	raft    *raft.Raft
	waiting chan asked
	done    sync.WaitGroup
}

type asked struct {
	data []byte
	done chan error
}

func startGrouper(leader *raft.Raft) *grouper {
	g := &grouper{raft: leader, waiting: make(chan asked, 4*maxGrouped)}
	g.done.Go(g.run)
	return g
}

// stop ends it once nobody submits any more.
func (g *grouper) stop() {
	close(g.waiting)
	g.done.Wait()
}

func (g *grouper) apply(data []byte) error {
	a := asked{data, make(chan error, 1)}
	g.waiting <- a
	return <-a.done
}

func (g *grouper) run() {
	for first := range g.waiting {
		group := []asked{first}
		for len(group) < maxGrouped && len(g.waiting) > 0 { // nobody else takes any
			group = append(group, <-g.waiting)
		}
		lines := make([][]byte, len(group))
		for i, a := range group {
			lines[i] = a.data
		}
		future := g.raft.ApplyLog(rawEntry(bytes.Join(lines, []byte(",\n"))), applyTimeout)
		g.done.Go(func() {
			err := future.Error()
			for _, a := range group {
				a.done <- err
			}
		})
	}
}
