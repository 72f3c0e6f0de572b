package node

import (
	"slices"
	"time"

	"millrace/cluster"
	"millrace/job"
)

// workerSeen is what the leader knows of a worker: from its latest poll, and
// from asking it since. Times are monotonic.
type workerSeen struct {
	report Report
	// session is the run of the worker's process that is known to be there; ""
	// while it isn't known.
	session string
	seen    time.Time // when the poll came
	frames  map[job.Ref]Running
	// sent are the attempts it was told to start since that poll.
	sent map[job.Ref]bool

	// unheard: it holds attempts of an earlier term and hasn't polled in this
	// one; seen is then the term's beginning.
	unheard bool
	// answered is when the poll was answered, or broke off; zero while it waits.
	answered time.Time
	broken   bool
	// asked is when it was last asked whether it lives, asking: just now.
	asked  time.Time
	asking bool
	// dead is the proof that the process that polled has ended, "" without one.
	dead string
}

// unheard is a worker that holds attempts at the beginning of a term.
func unheard(node string, now time.Time) *workerSeen {
	return &workerSeen{report: Report{Node: node}, seen: now, unheard: true}
}

// gone says whether an attempt that is to stop was never begun: the worker was
// not told to start it and doesn't report it.
func (w *workerSeen) gone(ref job.Ref) bool {
	_, running := w.frames[ref]
	ended := slices.ContainsFunc(w.report.Ended, func(e Ended) bool { return e.Ref == ref })
	return !running && !ended && !w.sent[ref]
}

// closed says why a worker is given nothing new, "" if it may be.
func (w *workerSeen) closed(view cluster.View, now time.Time) string {
	decided, _ := view.NodeState(w.report.Node)
	switch {
	case w.dead != "":
		return w.dead
	case w.unheard:
		return "it has not reported to this leader yet"
	case now.Sub(w.seen) > LeaseTime:
		return "it doesn't answer"
	case w.report.Closed != "":
		return w.report.Closed
	case w.report.Draining:
		return "it is stopping"
	case decided.Draining:
		return "it is draining"
	}
	return ""
}
