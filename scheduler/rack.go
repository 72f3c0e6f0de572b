package scheduler

import (
	"cmp"
	"slices"

	"millrace/hwaccel"
)

// rack is the devices while a decision is being made.
type rack struct {
	spots []*spot // by node and device, so that equal choices are made alike
}

// spot is one device with the room that is left.
type spot struct {
	node    *Node
	profile hwaccel.Profile
	free    hwaccel.Room
	// placed are the assignments made here in this decision, by index, and
	// whether each goes faster with more threads.
	placed    []int
	divisible []bool
}

func newRack(nodes []Node) *rack {
	r := &rack{}
	for i := range nodes {
		if nodes[i].Draining {
			continue
		}
		for _, device := range nodes[i].Devices {
			r.spots = append(r.spots, &spot{node: &nodes[i], profile: device.Profile, free: device.Free})
		}
	}
	slices.SortFunc(r.spots, func(a, b *spot) int {
		return cmp.Or(cmp.Compare(a.node.ID, b.node.ID), cmp.Compare(a.profile.Device.ID, b.profile.Device.ID))
	})
	return r
}

// choose finds the device that suits a task best, and the encoder to use there:
// one where it hasn't failed, then one with the better encoder, then the one
// with the most room, so that work spreads. It is nil when none that can do the
// task has room.
func (r *rack) choose(task Task) (*spot, string) {
	var best candidate
	for _, s := range r.spots {
		if c, can := s.candidate(task); can && (best.spot == nil || c.better(best)) {
			best = c
		}
	}
	return best.spot, best.encoder
}

// candidate is a device that can do a task, with what speaks for it.
type candidate struct {
	spot    *spot
	encoder string
	rank    int  // of the encoder, 0 is best
	failed  bool // the task failed on this node
}

// candidate is the fit step. Tasks that encode nothing run on the CPU.
func (s *spot) candidate(task Task) (candidate, bool) {
	c := candidate{spot: s, failed: slices.Contains(task.FailedOn, s.node.ID)}
	// A task that needs more than the whole device gets the whole device.
	need := task.Need
	need.Threads = min(need.Threads, max(1, s.profile.Room.Threads))
	need.MemoryBytes = min(need.MemoryBytes, s.profile.Room.MemoryBytes)
	if !s.free.Fits(need) {
		return c, false
	}
	if len(task.Encoders) == 0 {
		return c, s.profile.Device.Kind == hwaccel.CPU
	}
	c.rank = slices.IndexFunc(task.Encoders, s.profile.Works)
	if c.rank < 0 {
		return c, false
	}
	c.encoder = task.Encoders[c.rank]
	return c, true
}

func (c candidate) better(than candidate) bool {
	switch {
	case c.failed != than.failed:
		return than.failed
	case c.rank != than.rank:
		return c.rank < than.rank
	}
	return c.spot.free.Threads > than.spot.free.Threads
}

// shareRest gives the threads that no task waits for to the encodes that were
// just placed: a job's last chunks, or a short video's only one, then use the
// whole machine.
func (r *rack) shareRest(placed []Assignment) {
	for _, s := range r.spots {
		var wide []int
		for i, index := range s.placed {
			if s.divisible[i] {
				wide = append(wide, index)
			}
		}
		for i := 0; len(wide) > 0 && s.free.Threads > 0; i++ {
			placed[wide[i%len(wide)]].Threads++
			s.free.Threads--
		}
	}
}
