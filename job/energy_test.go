package job

import (
	"math"
	"testing"
)

func TestAnAttemptKeepsTheEnergyItTook(t *testing.T) {
	s := begin(t)
	plan := testPlan("etag")
	s.plan(plan)
	s.start("encode-00000")
	ref := s.ref("encode-00000")
	before := s.Task("encode-00000")
	s.then(s.Spent(ref, 900).Fail(ref, *Fail(EncoderFailed, "exit 1"), "", nil, noon))
	minutes := float64(plan.Chunks[0].Frames.Len()) * float64(plan.Timeline.Rate.Den) / float64(plan.Timeline.Rate.Num) / 60
	if last := s.Task("encode-00000").Last(); last.EnergyJoules != 900 || math.Abs(last.JoulesPerVideoMinute-900/minutes) > 1e-9 {
		t.Errorf("got %+v, want it over %g minutes", last, minutes)
	}
	if before.Last().EnergyJoules != 0 {
		t.Error("an old value was written over")
	}
	// Neither an attempt that is over nor an unknown energy counts.
	s.start("encode-00000")
	if last := s.Spent(ref, 5).Task("encode-00000").Last(); last.EnergyJoules != 0 {
		t.Errorf("a late report counts: %+v", last)
	}
	if last := s.Spent(s.ref("encode-00000"), 0).Task("encode-00000").Last(); last.EnergyJoules != 0 || last.JoulesPerVideoMinute != 0 {
		t.Errorf("got %+v", last)
	}
}
