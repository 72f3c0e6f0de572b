package scheduler

import (
	"cmp"
	"math"
	"slices"

	"millrace/hwaccel"
	"millrace/job"
)

// A task on a GPU takes a small part of one of its host's CPU threads, an encode in
// software a whole one for up to a minute. So a host with GPUs never has a whole number
// of threads left, and what is left may be what a GPU needs next. Under a full queue
// therefore
//
//   - an encode in software begins with a part of a thread where no device has a whole
//     one, and takes as much longer;
//   - work that isn't a GPU's leaves the GPUs of its host what they need to be kept at
//     work (the dimension [Spare]): else one whose queue was empty for a moment waits a
//     minute for a twentieth of a thread.
const (
	// leastPart is the least part of a thread, in thousandths, that an encode begins
	// with: with less its chunk would be the last of its job for long. With 0.3 batches
	// ended later.
	leastPart = 600
	// partUntil is by which part of the time in which all that waits can be done an
	// encode on a part of a thread must have ended: one that is among the last to end
	// holds up all.
	partUntil = 0.5
	// fullFrom is how much must wait for the queue to count as full here, in seconds of
	// the whole rack: with less whoever has the rack nearly to itself gets all threads,
	// and whole ones.
	fullFrom = 60.0
	// learnFromPart is with which part of its threads an attempt must have run to be
	// learned from: how much more than its part the operating system gives a process
	// nobody says.
	learnFromPart = 0.9
)

// reserve is the CPU threads, in thousandths, that a node's GPUs need at work on whole
// ladders from 1080p, which come to about twice the pixels of that, or that a task on the
// small pictures of 480p needs on one of them, which is as much as two from 1080p. One
// thread is left to what only the CPU can do in any case.
func (n *Node) reserve() int64 {
	all, most := 0.0, 0.0
	for _, d := range n.Devices {
		if d.Kind == hwaccel.CPU || d.Out != "" {
			continue
		}
		fastest := 0.0
		for _, speed := range d.Encoders {
			fastest = max(fastest, speed.at(fullHD))
		}
		all += fastest / 2
		most = max(most, fastest)
	}
	return min(int64(max(all, most)*gpuHostSeconds*Thread), max(0, n.Host[Threads]-Thread))
}

// spare is the threads that are free for work that isn't a GPU's, in thousandths: those
// that are left beside the reserve, as far as that isn't taken by what the GPUs do.
func (h *host) spare() int64 {
	others := h.whole[Spare] - h.free[Spare]
	gpus := h.whole[Threads] - h.free[Threads] - others
	return h.free[Threads] - max(0, h.reserve-gpus)
}

// unreserved is what is free for work that isn't a GPU's and takes one thread at most.
func (h *host) unreserved() int64 {
	if h.full {
		return h.spare()
	}
	return h.free[Threads]
}

// setFull takes note of whether threads are short: under a full queue, and where
// encodes wait for GPUs.
func (e *Engine) setFull(full bool) {
	if e.full == full {
		return
	}
	e.full = full
	for _, h := range e.nodes { // the order doesn't matter
		if h.full = full; h.reserve > 0 && !h.gone {
			e.changed(h)
		}
	}
	for _, p := range e.active {
		p.full, p.roomless = false, false
	}
}

// findParts notes whether a way's tasks can begin with a part of a thread.
func (w *way) findParts() {
	w.least = w.need
	w.parts = w.pile.work.Kind == job.EncodeTask && w.need[Encode] == 0 && w.need[Threads] == Thread
	if w.parts {
		w.least.setThreads(leastPart)
	}
}

// setThreads makes a need one of so many thousandths of threads, for what isn't a GPU's.
func (r *Room) setThreads(thousandths int64) { r[Threads], r[Spare] = thousandths, thousandths }

// fits says whether some task of a way may fit into a room.
func (e *Engine) fits(w *way, room *Room) bool {
	if e.full {
		return room.Fits(&w.least)
	}
	return room.Fits(&w.need)
}

// part is the least part of a thread, in thousandths, with which a task of so many
// frames may begin now; Thread if it needs a whole one.
func (e *Engine) part(w *way, frames int64) int64 {
	if !w.parts || !e.full {
		return Thread
	}
	whole := math.Ceil(Thread * w.time(frames) / (partUntil * e.horizon))
	return max(leastPart, int64(min(whole, Thread)))
}

// taken is the room that a task with so many threads takes on a device: the last of them
// may be a part of one.
func (w *way) taken(d *device, threads int) Room {
	need, whole, left := w.need, w.need[Threads], d.host.unreserved()
	if w.divisible && threads > 1 {
		whole, left = int64(threads)*Thread, d.host.spare()
	}
	switch {
	case w.parts:
		need.setThreads(max(leastOf(whole), min(whole, left)))
	case w.divisible:
		need.setThreads(whole)
		need[Memory] += w.threadBytes * int64(threads-1)
	}
	return need
}

// leastOf is the least that a task takes that was given so much of threads.
func leastOf(thousandths int64) int64 {
	return (thousandths+Thread-1)/Thread*Thread - Thread + leastPart
}

// pace is the part of its threads that an attempt has.
func (r *run) pace() float64 {
	if !r.way.parts {
		return 1
	}
	whole := leastOf(r.need[Threads]) + Thread - leastPart
	return float64(r.need[Threads]) / float64(whole)
}

// squeeze takes from encodes in software, the latest first, what a host's threads are
// overdrawn by: which of them began with a part of a thread isn't known of attempts that
// were adopted.
func (e *Engine) squeeze(h *host) {
	if h.free[Threads] >= 0 {
		return
	}
	var runs []*run
	for _, r := range e.runs {
		if r.device.host == h && r.way.parts {
			runs = append(runs, r)
		}
	}
	slices.SortFunc(runs, func(a, b *run) int {
		return cmp.Or(cmp.Compare(b.started, a.started), cmp.Compare(a.ref.Job, b.ref.Job), cmp.Compare(a.ref.Task, b.ref.Task), cmp.Compare(a.ref.Attempt, b.ref.Attempt))
	})
	for _, r := range runs {
		less := min(-h.free[Threads], r.need[Threads]-leastOf(r.need[Threads]))
		if less <= 0 {
			continue
		}
		r.need.setThreads(r.need[Threads] - less)
		h.free[Threads] += less
		h.free[Spare] += less
		e.estimate(r)
		r.class.ends.fix(r)
	}
	e.changed(h)
}
