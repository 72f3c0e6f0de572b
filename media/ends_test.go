package media

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"millrace/job"
)

func TestTicksAreRoundedToTheNearestFrameHalvesAwayFromZero(t *testing.T) {
	ms, film := job.Rational{Num: 1, Den: 1000}, job.Rational{Num: 24000, Den: 1001}
	for _, c := range []struct {
		ticks      int64
		base, rate job.Rational
		want       int64
	}{
		{0, ms, film, 0},
		{42, ms, film, 1},   // frame 1 is at 41.7 ms
		{20, ms, film, 0},   // 0.48
		{21, ms, film, 1},   // 0.503
		{-21, ms, film, -1}, // the same before zero
		{-20, ms, film, 0},
		{20, ms, job.Rational{Num: 25, Den: 1}, 1}, // exactly a half
		{-20, ms, job.Rational{Num: 25, Den: 1}, -1},
		{math.MaxInt64, job.Rational{Num: 1, Den: 1_000_000_000}, job.Rational{Num: 120, Den: 1}, 1_106_804_644_423},
		{math.MaxInt64, job.Rational{Num: 1, Den: 1}, film, farthestFrame},
		{math.MinInt64, job.Rational{Num: 1, Den: 1}, film, -farthestFrame},
		{1 << 62, job.Rational{Num: 1, Den: 90000}, film, 1_228_554_383_863_440},
	} {
		if got := ticksOn(c.ticks, c.base, c.rate); got != c.want {
			t.Errorf("%d ticks of %s at %s: got frame %d, want %d", c.ticks, c.base, c.rate, got, c.want)
		}
	}
}

func TestEveryMomentIsWithinHalfAFrameOfItsFrame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := job.Rational{Num: rapid.Int64Range(1, 1001).Draw(t, "base num"), Den: rapid.Int64Range(1, 1<<31).Draw(t, "base den")}
		rate := job.Rational{Num: rapid.Int64Range(1, 120_000).Draw(t, "num"), Den: rapid.Int64Range(1, 1001).Draw(t, "den")}
		a := rapid.Int64Range(-1<<40, 1<<40).Draw(t, "a")
		exact := new(big.Rat).Mul(new(big.Rat).Mul(big.NewRat(a, 1), big.NewRat(base.Num, base.Den)), big.NewRat(rate.Num, rate.Den))
		frame := ticksOn(a, base, rate)
		if exact.Abs(exact).Cmp(new(big.Rat).SetInt64(farthestFrame)) < 0 {
			far := new(big.Rat).Sub(exact, new(big.Rat).SetInt64(max(frame, -frame)))
			if far.Abs(far).Cmp(big.NewRat(1, 2)) > 0 {
				t.Fatalf("frame %d is %s frames away", frame, far.FloatString(3))
			}
		} else if max(frame, -frame) != farthestFrame {
			t.Fatalf("frame %d is beyond the farthest", frame)
		}
		if ticksOn(-a, base, rate) != -frame {
			t.Fatalf("%d is frame %d, and its negative %d", a, frame, ticksOn(-a, base, rate))
		}
	})
}

func TestFrameTimesAreReadFromFramecrc(t *testing.T) {
	first, last, err := readFrameTimes(strings.NewReader("#software: x\n#tb 0: 1/15360\n#media_type 0: video\n0, 5, 5, 512, 256, 0x1\n0, 9, 1029, 512, 256, 0x2\n0, 9, 517, 512, 256, 0x2\n"))
	if err != nil || first == nil || last == nil || first.pts != 5 || last.pts != 1029 || last.timeBase.Den != 15360 {
		t.Errorf("got %+v, %+v, %v", first, last, err)
	}
	if first, last, err = readFrameTimes(strings.NewReader("")); first != nil || last != nil || err != nil {
		t.Errorf("of nothing: %+v, %+v, %v", first, last, err)
	}
	if _, _, err = readFrameTimes(strings.NewReader("0, 1, x, 1, 1, 1\n")); err == nil {
		t.Error("nonsense was read")
	}
}

func TestRepeatingFewPicturesForHoursIsOverTheLimit(t *testing.T) {
	rate := job.Rational{Num: 30, Den: 1}
	for _, c := range []struct {
		name     string
		frames   int64
		pictures int64
		refused  bool
	}{
		{"two hours", 2 * 3600 * 30, 2 * 3600 * 30, false},
		{"three pictures in ten hours", 10 * 3600 * 30, 3, true},
		{"slides, one a minute", 3600 * 30, 60, true},
		{"slides, one every ten seconds", 3600 * 30, 360, false},
		{"count unknown", 3600 * 30, 0, false},
		{"25 hours", 25 * 3600 * 30, 25 * 3600 * 30, true},
		{"too many frames", DefaultLimits.MaxFrames + 1, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := DefaultLimits.check(job.Timeline{Rate: rate, Frames: c.frames, SegmentFrames: 180}, c.pictures)
			if (err != nil) != c.refused {
				t.Errorf("got %v", err)
			}
		})
	}
}
