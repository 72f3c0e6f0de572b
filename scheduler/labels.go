package scheduler

import (
	"slices"
	"strings"

	"millrace/job"
)

// A node has labels, which say what is special about it, and taints, which say
// whom it is kept for: a taint is a label that a job must require to be let in.
// What a job requires holds for all of its tasks, but for a kind of encoder, which
// only encodes have. What cancelled jobs leave is cleaned up where their labels are,
// or anywhere if no open node has them: a job must come to its end.

// Meets says whether a node with such labels and taints may do a task that
// requires so much (labels and kinds of encoder, separated by commas) and is made
// with an encoder, empty for one that encodes nothing.
func Meets(requires string, labels, taints []string, encoder string) bool {
	for _, taint := range taints {
		if !slices.Contains(strings.Split(requires, ","), taint) {
			return false
		}
	}
	if requires == "" {
		return true
	}
	for required := range strings.SplitSeq(requires, ",") {
		if job.IsEncoderKind(required) {
			if encoder != "" && !job.OfKind(encoder, required) {
				return false
			}
			continue
		}
		if !slices.Contains(labels, required) && !slices.Contains(taints, required) {
			return false
		}
	}
	return true
}

// meets says whether the class's nodes may do work with an encoder.
func (c *class) meets(work Work, encoder string) bool {
	return Meets(work.Requires, c.labels, c.taints, encoder)
}

// strayed says whether work may be done on a class whose nodes it isn't for, if no
// other is open.
func (c *class) strayed(work Work) bool {
	return work.Kind == job.CleanupTask && !c.meets(work, "")
}

// strayAfter is how long, in seconds, no open node may have the labels of what is to
// be cleaned up before it is done elsewhere: nodes restart, and new leaders hear of
// them one by one.
const strayAfter = 30

// sendAstray lets the cleanups be done anywhere for which there has been no open
// device for a while.
func (e *Engine) sendAstray() {
	for _, p := range e.cleanups {
		home := slices.ContainsFunc(p.ways, func(w *way) bool { return !w.stray && w.class.devices > 0 })
		switch {
		case home || p.tasks == 0:
			p.homeless, p.astray = e.clock, false
		case !p.astray && e.clock-p.homeless >= strayAfter:
			p.astray = true
			p.full, p.roomless = false, false // its other ways have had no turn
		}
	}
}

// split takes apart what is required: labels, and the kind of encoder.
func split(requires string) (labels []string, kind string) {
	for required := range strings.SplitSeq(requires, ",") {
		switch {
		case job.IsEncoderKind(required):
			kind = required
		case required != "":
			labels = append(labels, required)
		}
	}
	return labels, kind
}

// has says whether a job can require a label of a host.
func (h *host) has(label string) bool {
	return slices.Contains(h.node.Labels, label) || slices.Contains(h.node.Taints, label)
}
