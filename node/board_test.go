package node

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"millrace/api"
	"millrace/cluster"
	"millrace/job"
)

// follower makes the rig's peer one whose leader is elsewhere and says what ask
// says.
func (r *rig) follower(ask func() (Moved, error)) *progressBoard {
	r.end()
	return &progressBoard{
		leader: r.leader, now: func() time.Time { return r.time },
		ask: func(context.Context, api.ProgressMark) (Moved, error) { return ask() },
	}
}

// all is a leader's answer that tells of these jobs alone.
func all(jobs Progresses) Moved {
	return Moved{All: true, Mark: api.ProgressMark{Source: "leader", Version: 1}, Jobs: jobs}
}

// started has the rig's job run.
func (r *rig) started() {
	r.t.Helper()
	r.poll("s1", nil)
	if status := r.record().Job.Status; status != job.Transcoding {
		r.t.Fatalf("the job is %s", status)
	}
}

func TestAFollowerShowsTheLeadersProgress(t *testing.T) {
	r := newRig(t)
	r.started()
	run := r.record().Job.Run
	percent := 40.0
	var asked int
	var fails error
	board := r.follower(func() (Moved, error) {
		asked++
		return all(Progresses{jobID: {Run: run, Percent: percent}}), fails
	})
	check := func(when string, wantAsked int, want float64) {
		t.Helper()
		board.Refresh(t.Context())
		if got, known := board.Progress(jobID); !known || got.Percent != want || asked != wantAsked {
			t.Errorf("%s: %v, %v after asking %d times, want %v after %d", when, got.Percent, known, asked, want, wantAsked)
		}
	}
	if _, known := board.Progress(jobID); known {
		t.Error("progress is known before anybody asked")
	}
	check("the first request", 1, 40)
	percent = 50
	check("another at once", 1, 40)
	r.time = r.time.Add(boardFresh)
	check("another later", 2, 50)
	r.time, percent = r.time.Add(boardFresh), 30
	check("after a new leader has heard less", 3, 50)
	r.time, fails = r.time.Add(boardFresh), errors.New("no leader")
	check("without a leader", 4, 50)
	board.known[jobID] = RunProgress{Run: run + 1, Percent: 90}
	if got, known := board.Progress(jobID); known {
		t.Errorf("the progress of another run is shown: %v", got)
	}
}

func TestWhatAFollowerHasShownDoesNotGoBackWhenItLeads(t *testing.T) {
	r := newRig(t)
	r.started()
	r.poll("s1", ends([]Order{{Ref: job.Ref{Job: jobID, Task: "inspect", Attempt: 1}}}, func(Order) Ended {
		return succeed(Order{Task: job.Task{Kind: job.InspectTask}})
	}))
	if r.record().Job.Plan == nil {
		t.Fatal("the job has no plan")
	}
	board := r.follower(func() (Moved, error) {
		return all(Progresses{jobID: {Run: r.record().Job.Run, Percent: 70}}), nil
	})
	board.Refresh(t.Context())
	board.handOver()
	r.begin()
	if got, known := board.Progress(jobID); !known || got.Percent != 70 {
		t.Errorf("the new leader shows %v, %v, want 70", got.Percent, known)
	}
	told, err := r.progresses(api.ProgressMark{})
	if want := (Progresses{jobID: told.Jobs[jobID]}); err != nil || !maps.Equal(told.Jobs, want) || told.Jobs[jobID].Percent != 70 {
		t.Errorf("it tells others %v, %v", told, err)
	}
}

func TestManyWhoAskForProgressAskTheLeaderOnceAndWaitABoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		board := &progressBoard{
			leader: &leader{}, now: time.Now,
			ask: func(ctx context.Context, _ api.ProgressMark) (Moved, error) {
				asked.Add(1)
				<-ctx.Done() // a leader that doesn't answer
				return Moved{}, ctx.Err()
			},
		}
		began := time.Now()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { board.Refresh(t.Context()) })
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		synctest.Wait()
		board.Refresh(gone)
		if time.Since(began) > 0 {
			t.Error("one who has hung up waits")
		}
		all.Wait()
		if took := time.Since(began); took > boardWait || asked.Load() != 1 {
			t.Errorf("100 requests waited %s and asked %d times", took, asked.Load())
		}
	})
}

func TestAPeerThatDoesNotLeadTellsNoProgress(t *testing.T) {
	r := newRig(t)
	r.end()
	if _, err := r.progresses(api.ProgressMark{}); !errors.Is(err, cluster.ErrNotLeader) {
		t.Errorf("it says %v", err)
	}
}
