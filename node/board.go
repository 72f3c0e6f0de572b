package node

import (
	"context"
	"sync"
	"time"

	"millrace/api"
	"millrace/cluster"
	"millrace/job"
)

const (
	// boardFresh is how old what a follower knows of progress may be: however
	// many clients ask it, it asks the leader twice a second at most, and never
	// while nobody asks.
	boardFresh = 500 * time.Millisecond
	// boardWait bounds how long a request waits for the leader's answer.
	boardWait = time.Second
)

// progressBoard shows on any peer how far jobs have come. It implements
// api.ProgressSource: on the leader from the leader itself, else from its last
// answer.
type progressBoard struct {
	leader *leader
	// ask asks the leader, wherever it is, what moved after a mark that it gave.
	ask func(context.Context, api.ProgressMark) (Moved, error)
	now func() time.Time

	mu    sync.Mutex
	known Progresses
	moves moves
	// mark is what the leader's last answer was up to, index what this peer's state
	// was up to when it was looked through for jobs that have ended.
	mark   api.ProgressMark
	index  uint64
	asked  time.Time
	answer chan struct{} // closed when the question under way is over; nil without one
}

// Moved is the leader's answer to how far running jobs have come, and what others
// wait for: those of which that moved since a mark, up to another. All says that it
// is all that there is to tell.
type Moved struct {
	Mark api.ProgressMark `json:"mark"`
	All  bool             `json:"all,omitempty"`
	Jobs Progresses       `json:"jobs"`
}

// Progresses is how far running jobs have come, and what others wait for.
type Progresses map[job.ID]RunProgress

// RunProgress is how far one run of a job has come.
type RunProgress struct {
	Run     int            `json:"run"`
	Percent float64        `json:"percent"`
	ETA     *time.Duration `json:"eta,omitempty"`
	// WaitsFor is as in job.Progress.
	WaitsFor string `json:"waits_for,omitempty"`
}

// Progress implements api.ProgressSource.
func (b *progressBoard) Progress(id job.ID) (job.Progress, bool) {
	if b.leader.leads() {
		return b.leader.Progress(id)
	}
	record, found := b.leader.state.Stale().Record(id)
	if !found || record.Job.Status.Terminal() {
		return job.Progress{}, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	known, is := b.known[id]
	if !is || known.Run != record.Job.Run {
		return job.Progress{}, false
	}
	runs := record.Job.Status == job.Transcoding
	return job.Progress{Percent: known.Percent, ETA: known.ETA, WaitsFor: known.WaitsFor}, runs || known.WaitsFor != ""
}

// Refresh implements api.ProgressSource. The first who asks asks the leader, the
// others wait for the same answer.
func (b *progressBoard) Refresh(ctx context.Context) {
	if b.leader.leads() {
		return
	}
	b.mu.Lock()
	if b.now().Sub(b.asked) < boardFresh && b.answer == nil {
		b.mu.Unlock()
		return
	}
	// One that hangs up is no reason not to answer the others.
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), boardWait)
	defer cancel()
	if answer := b.answer; answer != nil {
		b.mu.Unlock()
		select {
		case <-answer:
		case <-wait.Done():
		case <-ctx.Done():
		}
		return
	}
	answer := make(chan struct{})
	b.answer, b.asked = answer, b.now()
	since := b.mark
	b.mu.Unlock()
	told, err := b.ask(wait, since)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil && b.mark == since { // nothing was handed over meanwhile
		b.take(told)
	}
	b.answer = nil
	close(answer)
}

// Moved implements api.ProgressSource.
func (b *progressBoard) Moved(since api.ProgressMark) ([]job.ID, api.ProgressMark) {
	if b.leader.leads() {
		return b.leader.moved(since)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	jobs, now, _ := b.moves.since(since)
	return jobs, now
}

// take takes the leader's answer. What was shown of a run never goes back, not when
// a new leader has not yet heard from all workers either.
func (b *progressBoard) take(told Moved) {
	view := b.leader.state.Stale()
	b.forgetEnded(view)
	if told.All {
		for id := range b.known {
			if _, runs := told.Jobs[id]; !runs {
				b.forget(id)
			}
		}
	}
	if b.known == nil {
		b.known = make(Progresses)
	}
	for id, progress := range told.Jobs {
		if ended(view, id, progress.Run) {
			continue // this peer knows more than the leader did
		}
		if before, is := b.known[id]; is && before.Run == progress.Run {
			progress.Percent = max(progress.Percent, before.Percent)
		}
		b.known[id] = progress
		b.moves.touch(id)
	}
	b.mark = told.Mark
}

// forgetEnded drops what is known of runs that have ended since it did before.
func (b *progressBoard) forgetEnded(view cluster.View) {
	changed, gone, known := view.ChangedJobs(b.index)
	b.index = view.Index()
	for _, id := range gone {
		b.forget(id)
	}
	for _, j := range changed {
		if progress, is := b.known[j.ID]; is && j.Status.Terminal() && j.Run >= progress.Run {
			b.forget(j.ID)
		}
	}
	if known {
		return
	}
	for id, progress := range b.known {
		if ended(view, id, progress.Run) {
			b.forget(id)
		}
	}
}

func (b *progressBoard) forget(id job.ID) {
	delete(b.known, id)
	b.moves.forget(id)
}

// ended says whether a run of a job has ended, as far as this peer knows: it may
// not have heard of the run at all yet.
func ended(view cluster.View, id job.ID, run int) bool {
	record, found := view.Record(id)
	return found && record.Job.Status.Terminal() && record.Job.Run >= run
}

// handOver gives this peer's leader what its clients have been shown.
func (b *progressBoard) handOver() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leader.mu.Lock()
	defer b.leader.mu.Unlock()
	for id, progress := range b.known {
		if before := b.leader.shown[id]; before.run != progress.Run || before.percent < progress.Percent {
			b.leader.shown[id] = shown{progress.Run, progress.Percent}
		}
	}
	b.known, b.moves, b.mark = nil, moves{}, api.ProgressMark{}
}
