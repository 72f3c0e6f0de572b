package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"millrace/hwaccel"
	"millrace/job"
)

// Unmet says, for people, why no open device can take an encode by one of
// work.Encoders, or a task that encodes nothing if there are none, whatever its
// room: what is required that no node has, whom the nodes that have it are kept
// for, or why they take nothing now. It is empty if an open device could.
func (e *Engine) Unmet(work Work) string {
	const nobody = "no device of the cluster can do this: "
	labels, kind := split(work.Requires)
	var hosts []*host
	for _, id := range slices.Sorted(maps.Keys(e.nodes)) {
		if h := e.nodes[id]; !h.gone {
			hosts = append(hosts, h)
		}
	}
	if missing := missingLabels(hosts, labels); missing != "" {
		return nobody + missing
	}
	hosts = slices.DeleteFunc(hosts, func(h *host) bool {
		return slices.ContainsFunc(labels, func(label string) bool { return !h.has(label) })
	})
	var tainted []string
	could := len(hosts)
	hosts = slices.DeleteFunc(hosts, func(h *host) bool {
		unasked := slices.DeleteFunc(slices.Clone(h.node.Taints), func(taint string) bool { return slices.Contains(labels, taint) })
		if len(unasked) > 0 {
			tainted = append(tainted, fmt.Sprintf("%s with %s", h.node.ID, strings.Join(unasked, " and ")))
		}
		return len(unasked) > 0
	})
	if len(hosts) == 0 && could > 0 {
		return nobody + "every node" + having(labels) + " is tainted (" + atMost(tainted) + "), and the job doesn't require that"
	}
	var closed []string
	for _, h := range hosts {
		for _, d := range h.devices {
			switch {
			case !d.makes(work, kind):
			case d.closed() == "":
				return ""
			default:
				closed = append(closed, d.key()+": "+d.closed())
			}
		}
	}
	if len(closed) > 0 {
		return "the devices that could do this take nothing now: " + atMost(closed)
	}
	needs := work.needs()
	if len(tainted) > 0 {
		needs += "; tainted nodes are kept for jobs that require that: " + atMost(tainted)
	}
	return nobody + needs
}

// missingLabels says which labels no host has, or that none has all of them; empty
// if one does.
func missingLabels(hosts []*host, labels []string) string {
	var missing []string
	for _, label := range labels {
		if !slices.ContainsFunc(hosts, func(h *host) bool { return h.has(label) }) {
			missing = append(missing, label)
		}
	}
	if len(missing) > 0 {
		return "no node has the " + labelsText(missing)
	}
	if len(labels) > 0 && !slices.ContainsFunc(hosts, func(h *host) bool {
		return !slices.ContainsFunc(labels, func(label string) bool { return !h.has(label) })
	}) {
		return "no node has all of the " + labelsText(labels)
	}
	return ""
}

// UnmetOf says, for people, why no open device can take what a job has waiting,
// whatever its room; empty if one could, or nothing waits.
func (e *Engine) UnmetOf(id job.ID) string {
	q := e.jobs[id]
	if q == nil {
		return ""
	}
	for _, g := range q.groups {
		if p := g.lane.pile; len(g.tasks) > 0 && !p.canStart() {
			return e.whyNobody(p)
		}
	}
	return ""
}

// whyNobody says why no open device can do a pile's work.
func (e *Engine) whyNobody(p *pile) string {
	if why := e.Unmet(p.work); why != "" {
		return why
	}
	return "no device of the cluster can do this: " + p.work.needs()
}

// makes says whether a device has an encoder for a work that is of a kind.
func (d *device) makes(work Work, kind string) bool {
	if work.Encoders == "" {
		return d.spec.Kind == hwaccel.CPU
	}
	return slices.ContainsFunc(d.spec.Encoders, func(s Speed) bool {
		return slices.Contains(strings.Split(work.Encoders, ","), s.Codec) && job.OfKind(s.Codec, kind) && work.takes(s.Headers)
	})
}

// needs says what work can't do without.
func (w Work) needs() string {
	labels, kind := split(w.Requires)
	need := "a CPU"
	if w.Encoders != "" {
		encoders := slices.DeleteFunc(strings.Split(w.Encoders, ","), func(encoder string) bool { return !job.OfKind(encoder, kind) })
		need = "encoder " + strings.Join(encoders, " or ")
		if len(encoders) == 0 {
			need = fmt.Sprintf("encoder %s, and the job requires the kind %s", strings.ReplaceAll(w.Encoders, ",", " or "), kind)
		}
	}
	if len(labels) > 0 {
		need += ", on a node" + having(labels)
	}
	return need
}

func having(labels []string) string {
	if len(labels) == 0 {
		return ""
	}
	return " with the " + labelsText(labels)
}

func labelsText(labels []string) string {
	if len(labels) == 1 {
		return "label " + labels[0]
	}
	return "labels " + strings.Join(labels, " and ")
}

// atMost writes a list that may be long.
func atMost(list []string) string {
	const most = 5
	if more := len(list) - most; more > 0 {
		list = append(slices.Clone(list[:most]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, "; ")
}
