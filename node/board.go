package node

import (
	"context"
	"sync"
	"time"

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
	ask    func(context.Context) (Progresses, error) // the leader, wherever it is
	now    func() time.Time

	mu     sync.Mutex
	known  Progresses
	asked  time.Time
	answer chan struct{} // closed when the question under way is over; nil without one
}

// Progresses is the leader's answer to how far all running jobs have come, and what
// others wait for.
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
	return job.Progress{Percent: known.Percent, ETA: known.ETA, WaitsFor: known.WaitsFor}, true
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
	b.mu.Unlock()
	told, err := b.ask(wait)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.take(told)
	}
	b.answer = nil
	close(answer)
}

// take replaces what is known. What was shown of a run never goes back, not
// when a new leader has not yet heard from all workers either.
func (b *progressBoard) take(told Progresses) {
	for id, progress := range told {
		if before, is := b.known[id]; is && before.Run == progress.Run {
			progress.Percent = max(progress.Percent, before.Percent)
			told[id] = progress
		}
	}
	b.known = told
}

// handOver gives this peer's leader what its clients have been shown.
func (b *progressBoard) handOver() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leader.mu.Lock()
	defer b.leader.mu.Unlock()
	for id, progress := range b.known {
		run := runKey{id, progress.Run}
		b.leader.shown[run] = max(b.leader.shown[run], progress.Percent)
	}
	b.known = nil
}
