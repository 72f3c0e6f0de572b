package node

import (
	"context"
	"log/slog"
	"time"

	"millrace/cluster"
)

// Retention is how long what has ended is remembered.
type Retention struct {
	KeepJobs int           // 0: any number
	KeepFor  time.Duration // 0: for ever
}

const (
	// upkeepEvery is how often old things are forgotten.
	upkeepEvery = time.Hour
	// keepDeliveries is how long the delivery log of webhooks goes back: longer
	// than an event is retried.
	keepDeliveries = 7 * 24 * time.Hour
)

// upkeep forgets what is older than its retention, on the leader.
func upkeep(ctx context.Context, state state, retention Retention, log *slog.Logger) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		now := time.Now()
		prune := cluster.Prune{
			KeepJobs:          retention.KeepJobs,
			IdempotencyBefore: now.Add(-cluster.IdempotencyWindow),
			DeliveriesBefore:  now.Add(-keepDeliveries),
		}
		if retention.KeepFor > 0 {
			prune.JobsBefore = now.Add(-retention.KeepFor)
		}
		next := upkeepEvery
		forgotten, err := state.Propose(ctx, prune)
		if err != nil && ctx.Err() == nil {
			log.Warn("forgetting old jobs", "err", err)
		}
		if pruned, ok := forgotten.(*cluster.Pruned); ok && err == nil && pruned.More() {
			next = 0 // each command forgets a bounded number, so that it holds up no other for long
		}
		timer.Reset(next)
	}
}
