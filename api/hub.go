package api

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

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
//
// It looks only at jobs that changed since it looked before. Only for a stream
// that was away for long, and after this peer was given the whole state, it goes
// through all that an organisation has.
type hub struct {
	config Config
	joined chan struct{} // holds one token when a subscriber has come

	// Of the goroutine that watches: the index of the state that it looked at last,
	// and how far it has told of progress.
	index uint64
	mark  ProgressMark

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
	// hub's goroutine touches it after subscribe, and what follows.
	last uint64
	// met says that the hub has looked for it at what changed, heard that it has told
	// it of all progress; sent is the progress of running jobs that it was told last.
	met, heard bool
	sent       map[job.ID]job.Progress

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

// put leaves news for the stream, in place of older news of the same jobs: all of
// what is told at once, so that it is also taken at once, oldest change first. One
// that has fallen behind is left nothing more, so that it is told of no change
// without those before.
func (s *subscriber) put(told []news) {
	if len(told) == 0 {
		return
	}
	slices.SortFunc(told, byRevision)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, n := range told {
		old, waiting := s.pending[n.job.ID]
		if s.behind = s.behind || !waiting && len(s.pending) >= maxPending; s.behind {
			break
		}
		if waiting && n.job.Revision < old.job.Revision {
			continue // progress of a state that is out of date
		}
		n.status = n.status || old.status
		s.pending[n.job.ID] = n
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

func byRevision(a, b news) int { return cmp.Compare(a.job.Revision, b.job.Revision) }
