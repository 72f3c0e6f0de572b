package hwaccel

import (
	"context"
	"errors"
	"sync"

	"millrace/job"
)

// A measurement of several encodes at once takes about so long, and there are
// at most so many.
const (
	sessionSeconds = 1.5
	mostSessions   = 64
	// worthwhile is how much faster twice the sessions must be together to be
	// worth their memory.
	worthwhile = 1.1
)

// sessions measures the large rung: one encode, then two at once, four, … until
// all together get no faster or the driver refuses.
func (b *bench) sessions(ctx context.Context, row Row, result *EncoderProfile) {
	result.Sessions = 1
	declared, err := Declared(ctx, b.features, row.Encoder)
	if err != nil {
		return
	}
	try := &encoderTrial{bench: b, row: row, without: result.Without, declared: declared}
	frames, best := int64(speedFrames), 0.0
	for n := 1; n <= mostSessions && !b.late() && ctx.Err() == nil; n *= 2 {
		done, total, refused := try.together(ctx, n, frames)
		if done == 0 {
			return
		}
		if n == 1 {
			result.FramesPerSecond[largeRung.name] = total
		}
		if total > best {
			result.SessionsFramesPerSecond = total
		}
		switch {
		case refused:
			// The driver let this many in.
			result.Sessions = max(result.Sessions, done)
			return
		case total < best*worthwhile:
			return
		}
		result.Sessions, best = n, total
		// The next round has twice the encodes in the same time.
		frames = max(speedFrames/2, int64(total*sessionSeconds)/int64(2*n))
	}
}

// together runs n encodes at once, and says how many came to their end, how
// fast they were together, and whether the device had no room for the others.
func (e *encoderTrial) together(ctx context.Context, n int, frames int64) (done int, total float64, refused bool) {
	var (
		group sync.WaitGroup
		mu    sync.Mutex
	)
	for range n {
		group.Go(func() {
			report, err := e.bench.run(ctx, e.row.API, e.args(largeRung, frames, false, "-f", "null", "-")...)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				refused = refused || isRefusal(err)
				return
			}
			done++
			total += speed(frames, report)
		})
	}
	group.Wait()
	return done, total, refused
}

// isRefusal says whether a failure is a lack of sessions or of the device's memory.
func isRefusal(err error) bool {
	var failure *job.Failure
	return errors.As(err, &failure) && failure.Code.Info().Blame == job.BlameNode
}
