package ffmpeg

import (
	"context"
	"sync"
	"time"

	"millrace/job"
)

// watchdog ends a run that makes no progress: first it waits for the first
// frame, then for each further advance. Time in which ffmpeg may be waiting for
// us (busy) is not held against it.
type watchdog struct {
	first, stall time.Duration // 0: no limit
	busy         func() bool

	mu      sync.Mutex
	latest  Progress
	advance chan struct{} // has room for one
}

func newWatchdog(first, stall time.Duration, busy func() bool) *watchdog {
	return &watchdog{first: first, stall: stall, busy: busy, advance: make(chan struct{}, 1)}
}

// note takes a progress report; only one that is further than all before counts.
func (w *watchdog) note(p Progress) {
	w.mu.Lock()
	advanced := p.Frame > w.latest.Frame || p.OutTime > w.latest.OutTime || p.Done
	if advanced {
		w.latest = p
	}
	w.mu.Unlock()
	if advanced {
		select {
		case w.advance <- struct{}{}:
		default:
		}
	}
}

func (w *watchdog) last() Progress {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.latest
}

// watch blocks until ctx ends, and calls kill once if the run stands still.
func (w *watchdog) watch(ctx context.Context, kill context.CancelCauseFunc) {
	limit, started := w.first, false
	for {
		var expired <-chan time.Time
		var timer *time.Timer
		if limit > 0 {
			timer = time.NewTimer(limit)
			expired = timer.C
		}
		select {
		case <-ctx.Done():
		case <-w.advance:
			limit, started = w.stall, true
		case <-expired:
			if !w.busy() {
				kill(w.failure(started, limit))
				return
			}
		}
		if timer != nil {
			timer.Stop()
		}
		if ctx.Err() != nil {
			return
		}
	}
}

func (w *watchdog) failure(started bool, limit time.Duration) *job.Failure {
	if !started {
		return job.Fail(job.EncoderStalled, "ffmpeg made no first frame in %s and was killed", limit)
	}
	p := w.last()
	return job.Fail(job.EncoderStalled, "ffmpeg made no progress for %s after frame %d (at %s) and was killed", limit, p.Frame, p.OutTime.Round(time.Millisecond))
}
