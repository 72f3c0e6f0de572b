package scheduler

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/job"
)

// TestEstimatesAreRightAfterTenTasksOfAKind: profiles may be wrong by a factor
// of three, devices differ from their class, pictures vary: the median error of
// estimates after ten tasks of a kind is within 15 %.
func TestEstimatesAreRightAfterTenTasksOfAKind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wrong := rapid.Float64Range(0.33, 3).Draw(t, "profile's error")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		work := ladderWork(func(w *Work) { w.Encoders = "libx264" })
		e := engineWith(cpuNode("a", 1, nil), cpuNode("b", 1, nil))
		speeds := map[string]float64{"a": 1, "b": rapid.Float64Range(0.8, 1.25).Draw(t, "b to a")}
		now := noon
		var errors []float64
		for i := range 100 {
			queue(e, Job{ID: job.ID(fmt.Sprint("j", i)), Queued: now}, work, int64(300+random.IntN(600)))
			a := e.Decide()[0]
			ref := job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}
			noise := math.Exp(0.12 * random.NormFloat64())
			took := e.runs[ref].profiled * wrong * noise / speeds[a.Node]
			if i >= 20 { // ten on each device
				errors = append(errors, math.Abs(a.Expected.Seconds()-took)/took)
			}
			now = now.Add(time.Duration(took * float64(time.Second)))
			e.Advance(now)
			e.End(ref, time.Duration(took*float64(time.Second)))
			e.RemoveJob(a.Job)
		}
		slices.Sort(errors)
		if median := errors[len(errors)/2]; median > 0.15 {
			t.Fatalf("the median error is %.0f %%", median*100)
		}
	})
}

// TestALadderThatWasNeverMadeIsTakenToBeLikeOthers of its kind of work, and no longer once
// it was made itself.
func TestALadderThatWasNeverMadeIsTakenToBeLikeOthers(t *testing.T) {
	e := engineWith(cpuNode("a", 1, nil))
	encode := func(change func(*Work), times float64) (expected float64) {
		queue(e, Job{ID: "j"}, ladderWork(func(w *Work) { w.Encoders = "libx264"; change(w) }), 600)
		a := e.Decide()[0]
		ref := job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}
		profiled := e.runs[ref].profiled
		e.End(ref, time.Duration(times*profiled*float64(time.Second)))
		e.RemoveJob("j")
		return a.Expected.Seconds() / profiled
	}
	usual, small := func(*Work) {}, func(w *Work) { w.Ladder = "640x360,426x240" }
	for range 40 {
		encode(usual, 2)
	}
	if got := encode(func(w *Work) { w.SourceCodec = "hevc" }, 1); math.Abs(got-1) > 0.01 {
		t.Errorf("of another codec it is expected to take %.2f of its profile", got)
	}
	if got := encode(small, 0.5); got < 1.8 || got > 2.1 {
		t.Errorf("where others take 2 times their profile, it is expected to take %.2f of its own", got)
	}
	for range 40 {
		encode(small, 0.5)
	}
	if got := encode(small, 0.5); math.Abs(got-0.5) > 0.05 {
		t.Errorf("made 40 times in half its profile, it is expected to take %.2f of that", got)
	}
	if got := encode(usual, 2); math.Abs(got-2) > 0.1 {
		t.Errorf("the usual ladder is expected to take %.2f of its profile", got)
	}
}

// TestOneJobsPicturesAreLearnedOnce ends many attempts of one job that all began before
// any of them ended: what one taught isn't taught again by the next, nor both of the job
// and of the work.
func TestOneJobsPicturesAreLearnedOnce(t *testing.T) {
	for _, harder := range []float64{2, 0.6} {
		t.Run(fmt.Sprint(harder), func(t *testing.T) {
			e := engineWith(cpuNode("a", 64, nil))
			work := ladderWork(func(w *Work) { w.Encoders = "libx264" })
			end := func(placed []Assignment, times float64) {
				for _, a := range placed {
					ref := job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}
					e.End(ref, time.Duration(times*e.runs[ref].profiled*float64(time.Second)))
				}
			}
			for i := range 40 {
				queue(e, Job{ID: job.ID(fmt.Sprint("usual", i))}, work, 600)
				end(e.Decide(), 1)
			}
			queue(e, Job{ID: "other"}, work, slices.Repeat([]int64{600}, 80)...)
			running := e.Decide()
			end(running, harder)
			for _, a := range e.Decide() {
				r := e.runs[job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}]
				if off := r.expected / (harder * r.profiled); off < 0.9 || off > 1.15 {
					t.Fatalf("after %d attempts that took %.1f times their profile an estimate is %.2f times what it will be", len(running), harder, off)
				}
			}
		})
	}
}
