package api

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"millrace/cluster"
	"millrace/job"
)

// maxPending is how many jobs' news may wait for one client; one that falls
// further behind is cut off, and gets the present state when it comes again.
const maxPending = 10_000

// hub watches the state for all event streams, in one goroutine that lives
// while there is a stream. It looks at the state at most once per
// EventInterval, however fast that changes, and leaves each subscriber the
// latest of every job that changed: a client that is slow, or was away, misses
// states in between but never the last one.
type hub struct {
	config Config
	joined chan struct{} // holds one token when a subscriber has come

	mutex sync.Mutex
	subs  map[*subscriber]struct{}

	// life is held to start the watching goroutine and to wait for its end, so
	// that there is never more than one. That goroutine itself doesn't take it.
	life sync.Mutex
	stop context.CancelFunc // nil while there is no goroutine
	done chan struct{}      // closed when it has ended
}

// subscriber is one stream's place in the hub.
type subscriber struct {
	org string
	job job.ID // "" for all of the organisation's
	// last is the revision up to which this stream has been told. Only the
	// hub's goroutine touches it after subscribe.
	last uint64
	sent map[job.ID]job.Progress // what was told last; the hub's goroutine's own

	wake    chan struct{} // holds one token while something is pending
	mutex   sync.Mutex
	pending map[job.ID]news
	behind  bool // too much is pending
}

// news is one job that a stream has to be told of.
type news struct {
	job      *job.Job
	progress job.Progress
	status   bool // the job itself changed, not only its progress
}

func newHub(config Config) *hub {
	return &hub{config: config, subs: make(map[*subscriber]struct{}), joined: make(chan struct{}, 1)}
}

// count is the number of streams.
func (h *hub) count() int {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return len(h.subs)
}

// subscribe adds a stream that has been told everything up to revision last;
// false when there are too many, or the organisation has half of all.
func (h *hub) subscribe(org string, id job.ID, last uint64) (*subscriber, bool) {
	h.life.Lock()
	defer h.life.Unlock()
	sub := &subscriber{org: org, job: id, last: last, wake: make(chan struct{}, 1),
		sent: make(map[job.ID]job.Progress), pending: make(map[job.ID]news)}
	if !h.add(sub) {
		return nil, false
	}
	if h.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		h.stop, h.done = stop, make(chan struct{})
		go h.watch(ctx, h.done)
	}
	signal(h.joined)
	return sub, true
}

func (h *hub) add(sub *subscriber) bool {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	own := 0
	for other := range h.subs {
		if other.org == sub.org {
			own++
		}
	}
	if len(h.subs) >= h.config.MaxStreams || own >= max(1, h.config.MaxStreams/2) {
		return false
	}
	h.subs[sub] = struct{}{}
	return true
}

// unsubscribe removes a stream. The last one to go waits for the goroutine.
func (h *hub) unsubscribe(sub *subscriber) {
	h.life.Lock()
	defer h.life.Unlock()
	if h.remove(sub) > 0 {
		return
	}
	h.stop()
	<-h.done
	h.stop = nil
}

// remove takes a stream out and says how many are left.
func (h *hub) remove(sub *subscriber) int {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	delete(h.subs, sub)
	return len(h.subs)
}

func signal(channel chan struct{}) {
	select {
	case channel <- struct{}{}:
	default: // there is a token already
	}
}

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
		// A look takes as long as the history is; resting ten times as long
		// keeps streams from taking more than a tenth of a core.
		rest.Reset(max(h.config.EventInterval, 10*time.Since(started)))
		for due := false; !due; {
			select {
			case <-ctx.Done():
				return
			case <-progress.C:
				h.config.Progress.Refresh(ctx)
				h.tellProgress(h.config.State.Stale())
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

// tellStatus gives each stream the jobs that changed since it was last told.
func (h *hub) tellStatus(view cluster.View) {
	whole := make(map[string][]*subscriber) // streams of whole organisations
	for _, sub := range h.subscribers() {
		if sub.job == "" {
			whole[sub.org] = append(whole[sub.org], sub)
			continue
		}
		if j, exists := view.Job(sub.org, sub.job); exists && j.Revision > sub.last {
			sub.put(news{job: j, progress: h.progressOf(j), status: true})
			sub.last = j.Revision
		}
	}
	for org, subs := range whole {
		oldest := slices.MinFunc(subs, func(a, b *subscriber) int { return cmp.Compare(a.last, b.last) }).last
		if view.Index() <= oldest {
			continue // nothing at all has changed
		}
		var changed []news
		for j := range view.Jobs(org) {
			if j.Revision > oldest {
				changed = append(changed, news{job: j, progress: h.progressOf(j), status: true})
			}
		}
		slices.SortFunc(changed, byRevision)
		for _, sub := range subs {
			sub.put(changed[after(changed, sub.last):]...)
			sub.last = max(sub.last, view.Index())
		}
	}
}

// tellProgress gives each stream the running jobs whose progress is not what it
// was told last.
func (h *hub) tellProgress(view cluster.View) {
	running := make(map[string][]*job.Job) // by organisation, of those that have streams
	subs := h.subscribers()
	for _, sub := range subs {
		running[sub.org] = nil
	}
	for record := range view.Unsettled() {
		if _, watched := running[record.Job.Org]; watched && record.Job.Status == job.Transcoding {
			running[record.Job.Org] = append(running[record.Job.Org], record.Job)
		}
	}
	for _, sub := range subs {
		for _, j := range running[sub.org] {
			if sub.job != "" && sub.job != j.ID {
				continue
			}
			if progress := h.progressOf(j); !same(progress, sub.sent[j.ID]) {
				sub.put(news{job: j, progress: progress})
				sub.sent[j.ID] = progress
			}
		}
		// Jobs that have ended are forgotten.
		maps.DeleteFunc(sub.sent, func(id job.ID, _ job.Progress) bool {
			return !slices.ContainsFunc(running[sub.org], func(j *job.Job) bool { return j.ID == id })
		})
	}
}

func (h *hub) progressOf(j *job.Job) job.Progress {
	progress, _ := h.config.Progress.Progress(j.ID)
	return progress
}

func same(a, b job.Progress) bool {
	return a.Percent == b.Percent && a.WaitsFor == b.WaitsFor && (a.ETA == nil) == (b.ETA == nil) && (a.ETA == nil || *a.ETA == *b.ETA)
}

func byRevision(a, b news) int { return cmp.Compare(a.job.Revision, b.job.Revision) }

// after is where in news that are sorted by revision those after one begin.
func after(sorted []news, revision uint64) int {
	at, _ := slices.BinarySearchFunc(sorted, revision, func(n news, last uint64) int {
		return cmp.Or(cmp.Compare(n.job.Revision, last), -1)
	})
	return at
}

// put leaves news for the stream, in place of older news of the same jobs: all of
// what is told at once, so that it is also taken at once, oldest change first.
func (s *subscriber) put(told ...news) {
	if len(told) == 0 {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, n := range told {
		old, waiting := s.pending[n.job.ID]
		switch {
		case !waiting && len(s.pending) >= maxPending:
			s.behind = true
		case waiting && n.job.Revision < old.job.Revision:
			// progress of a state that is out of date
		default:
			n.status = n.status || old.status
			s.pending[n.job.ID] = n
		}
	}
	signal(s.wake)
}

// take is what the stream has to be told, oldest change first; false when it
// has fallen too far behind.
func (s *subscriber) take() ([]news, bool) {
	s.mutex.Lock()
	pending, behind := s.pending, s.behind
	s.pending = make(map[job.ID]news)
	s.mutex.Unlock()
	return slices.SortedFunc(maps.Values(pending), byRevision), !behind
}
