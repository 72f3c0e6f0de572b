package node

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"millrace/cluster"
)

// forgetful answers each Prune with the next number of jobs.
type forgetful struct {
	state
	jobs []int
	at   []time.Time
}

func (f *forgetful) Propose(context.Context, cluster.Command) (any, error) {
	forgotten := f.jobs[min(len(f.at), len(f.jobs)-1)]
	f.at = append(f.at, time.Now())
	return &cluster.Pruned{Jobs: forgotten}, nil
}

func TestUpkeepGoesOnAtOnceWhileThereIsMoreToForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Minute)
		defer cancel()
		begun := time.Now()
		f := &forgetful{jobs: []int{5000, 5000, 12}}
		if err := upkeep(ctx, f, Retention{KeepJobs: 1}, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		var after []time.Duration
		for _, at := range f.at {
			after = append(after, at.Sub(begun))
		}
		if !slices.Equal(after, []time.Duration{0, 0, 0, time.Hour}) {
			t.Errorf("proposed after %v", after)
		}
	})
}
