package storage

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"millrace/job"
)

// Retry is how trouble that may pass is retried: with exponential backoff and
// full jitter, until the budget is spent. Zero fields get defaults.
type Retry struct {
	// Budget is how long after its first failure a request is still tried
	// again; default 2 minutes.
	Budget time.Duration
	// Base is the mean first wait, doubled each time; default 200 ms.
	Base time.Duration
	// Max bounds a single wait, also one that a server asks for with
	// Retry-After; default 20 s.
	Max time.Duration
}

func (r Retry) withDefaults() Retry {
	return Retry{
		Budget: orDefault(r.Budget, 2*time.Minute),
		Base:   orDefault(r.Base, 200*time.Millisecond),
		Max:    orDefault(r.Max, 20*time.Second),
	}
}

// wait is how long to wait before try n, counted from 1, given what the server asked for.
func (r Retry) wait(n int, asked time.Duration) time.Duration {
	ceiling := min(r.Base<<min(n, 20), r.Max)
	return max(rand.N(ceiling+1), min(asked, r.Max))
}

// transient is a failure that may pass. If it doesn't, the failure inside it is
// what the caller gets.
type transient struct {
	failure *job.Failure
	after   time.Duration // what the server asked to wait, or 0
}

func (t *transient) Error() string { return t.failure.Error() }
func (t *transient) Unwrap() error { return t.failure }

// run calls try until it succeeds, fails with something other than a
// transient, the budget is spent, or ctx ends.
func (r Retry) run(ctx context.Context, log *slog.Logger, try func(context.Context) error) error {
	var deadline time.Time
	for n := 1; ; n++ {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var passing *transient
		if !errors.As(err, &passing) {
			return err
		}
		now := time.Now() // carries the monotonic clock, so wall time may jump
		if deadline.IsZero() {
			deadline = now.Add(r.Budget)
		}
		pause := r.wait(n, passing.after)
		if now.Add(pause).After(deadline) {
			return passing.failure
		}
		log.DebugContext(ctx, "storage request failed, trying again", "try", n, "wait", pause, "err", passing.failure)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// retryAfter reads the header of that name: seconds or a date. 0 without.
func retryAfter(header http.Header) time.Duration {
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(text); err == nil {
		return max(time.Until(date), 0)
	}
	return 0
}
