package api

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"millrace/cluster"
	"millrace/job"
)

// watch tells the streams what changes until ctx ends.
func (h *hub) watch(ctx context.Context, done chan struct{}) {
	defer close(done)
	progress := time.NewTicker(h.config.ProgressInterval)
	defer progress.Stop()
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		view := h.config.State.Stale()
		started := time.Now()
		h.tellStatus(view)
		// A look for a stream that was away takes as long as the history is;
		// resting ten times as long keeps streams from taking more than a tenth
		// of a core.
		rest.Reset(max(h.config.EventInterval, 10*time.Since(started)))
		for due := false; !due; {
			select {
			case <-ctx.Done():
				return
			case <-progress.C:
				h.config.Progress.Refresh(ctx)
				h.tellProgress()
			case <-h.joined:
				due = true
			case <-view.Changed():
				due = true
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-rest.C:
		}
	}
}

func (h *hub) subscribers() []*subscriber {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return slices.Collect(maps.Keys(h.subs))
}

// audience is streams by what they want to hear of.
type audience struct {
	ofOrg map[string][]*subscriber
	ofJob map[job.ID][]*subscriber
}

func (a *audience) add(sub *subscriber) {
	if a.ofOrg == nil {
		a.ofOrg, a.ofJob = make(map[string][]*subscriber), make(map[job.ID][]*subscriber)
	}
	if sub.job == "" {
		a.ofOrg[sub.org] = append(a.ofOrg[sub.org], sub)
	} else {
		a.ofJob[sub.job] = append(a.ofJob[sub.job], sub)
	}
}

// of lists the streams that want to hear of a job.
func (a *audience) of(j *job.Job) iter.Seq[*subscriber] {
	return func(yield func(*subscriber) bool) {
		for _, sub := range a.ofOrg[j.Org] {
			if !yield(sub) {
				return
			}
		}
		for _, sub := range a.ofJob[j.ID] {
			if sub.org == j.Org && !yield(sub) {
				return
			}
		}
	}
}

// tellStatus gives each stream the jobs that changed since it was last told.
func (h *hub) tellStatus(view cluster.View) {
	changed, _, known := view.ChangedJobs(h.index)
	h.index = view.Index()
	subs := h.subscribers()
	var told, missed audience // whom what changed is enough for, and the others
	for _, sub := range subs {
		switch {
		case !known:
			clear(sub.sent)
			sub.heard = false
			missed.add(sub)
		case !sub.met:
			missed.add(sub)
		default:
			told.add(sub)
		}
		sub.met = true
	}
	letters := make(map[*subscriber][]news)
	for _, j := range changed {
		h.address(letters, j, told.of(j))
	}
	for org, subs := range missed.ofOrg {
		oldest := slices.MinFunc(subs, func(a, b *subscriber) int { return cmp.Compare(a.last, b.last) }).last
		for j := range changedIn(view, org, oldest) {
			h.address(letters, j, slices.Values(subs))
		}
	}
	for id, subs := range missed.ofJob {
		if j, exists := view.Job(subs[0].org, id); exists { // whoever gets a stream of it is of its organisation
			h.address(letters, j, slices.Values(subs))
		}
	}
	for _, sub := range subs {
		sub.put(letters[sub])
		sub.last = max(sub.last, view.Index())
	}
}

// address puts a job into the letters to those streams that don't know its state.
func (h *hub) address(letters map[*subscriber][]news, j *job.Job, to iter.Seq[*subscriber]) {
	progress := sync.OnceValue(func() job.Progress { return h.progressOf(j) }) // if anybody is told
	for sub := range to {
		if j.Revision <= sub.last {
			continue
		}
		letters[sub] = append(letters[sub], news{job: j, progress: progress(), status: true})
		if j.Status == job.Transcoding {
			sub.sent[j.ID] = progress()
		} else {
			delete(sub.sent, j.ID)
		}
	}
}

// changedIn lists an organisation's jobs that changed after a revision: of those that
// changed lately, or else of all that there are.
func changedIn(view cluster.View, org string, after uint64) iter.Seq[*job.Job] {
	from := view.Jobs(org)
	if changed, _, known := view.ChangedJobs(after); known {
		from = slices.Values(changed)
	}
	return func(yield func(*job.Job) bool) {
		for j := range from {
			if j.Org == org && j.Revision > after && !yield(j) {
				return
			}
		}
	}
}

// tellProgress gives each stream the running jobs whose progress is not what it
// was told last.
func (h *hub) tellProgress() {
	var heard, anew audience
	for _, sub := range h.subscribers() {
		if sub.heard {
			heard.add(sub)
		} else {
			anew.add(sub)
			sub.heard = true
		}
	}
	var moved []job.ID
	moved, h.mark = h.config.Progress.Moved(h.mark)
	h.tellMoved(moved, &heard)
	if anew.ofOrg != nil {
		all, _ := h.config.Progress.Moved(ProgressMark{})
		h.tellMoved(all, &anew)
	}
}

func (h *hub) tellMoved(moved []job.ID, to *audience) {
	if to.ofOrg == nil {
		return // there is nobody
	}
	view := h.config.State.Stale() // which has come to whatever moved on this peer
	letters := make(map[*subscriber][]news)
	for _, id := range moved {
		record, running := view.UnsettledRecord(id)
		if !running || record.Job.Status != job.Transcoding {
			continue
		}
		progress := sync.OnceValue(func() job.Progress { return h.progressOf(record.Job) })
		for sub := range to.of(record.Job) {
			if !same(progress(), sub.sent[id]) {
				letters[sub] = append(letters[sub], news{job: record.Job, progress: progress()})
				sub.sent[id] = progress()
			}
		}
	}
	for sub, told := range letters {
		sub.put(told)
	}
}

func (h *hub) progressOf(j *job.Job) job.Progress {
	progress, _ := h.config.Progress.Progress(j.ID)
	return progress
}

func same(a, b job.Progress) bool {
	return a.Percent == b.Percent && a.WaitsFor == b.WaitsFor && (a.ETA == nil) == (b.ETA == nil) && (a.ETA == nil || *a.ETA == *b.ETA)
}
