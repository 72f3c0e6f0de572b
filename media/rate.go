package media

import (
	"math"

	"millrace/job"
)

// MaxFramesPerSecond bounds a timeline's rate. Faster sources (slow-motion
// cameras) keep every second, third, … frame.
const MaxFramesPerSecond = 120

// standardRates are the frame rates that video is made at, slowest first.
var standardRates = []job.Rational{
	{Num: 5, Den: 1}, {Num: 6, Den: 1}, {Num: 8, Den: 1}, {Num: 10, Den: 1}, {Num: 12, Den: 1},
	{Num: 25, Den: 2}, {Num: 15000, Den: 1001}, {Num: 15, Den: 1}, {Num: 20, Den: 1},
	{Num: 24000, Den: 1001}, {Num: 24, Den: 1}, {Num: 25, Den: 1},
	{Num: 30000, Den: 1001}, {Num: 30, Den: 1}, {Num: 48000, Den: 1001}, {Num: 48, Den: 1}, {Num: 50, Den: 1},
	{Num: 60000, Den: 1001}, {Num: 60, Den: 1}, {Num: 100, Den: 1}, {Num: 120000, Den: 1001}, {Num: 120, Den: 1},
}

// timelineRate chooses the constant rate of the output's frame grid from what
// the container says: average, which is frames over duration, and base, the
// lowest rate that all of the first timestamps fit on (ffmpeg's
// avg_frame_rate and r_frame_rate; either may be 0/0 or nonsense).
//
//   - A constant-rate source has both alike and keeps its rate, odd or not.
//   - A variable-rate source with dropped frames keeps its base rate, so that no
//     frame is lost, if that isn't absurdly more than its average.
//   - Else the standard rate nearest to the average is taken.
func timelineRate(average, base job.Rational) job.Rational {
	avg, ok := sane(average)
	if !ok {
		if avg, ok = sane(base); !ok {
			return job.Rational{Num: 25, Den: 1} // nothing is known: a common rate
		}
		average = base
	}
	if b, ok := sane(base); ok {
		switch {
		case relative(avg, b) < 0.0005:
			return limitRate(simple(base))
		case b > avg && b <= 2.1*avg && nearest(b, 0.001) != nil:
			return limitRate(*nearest(b, 0.001))
		}
	}
	if standard := nearest(avg, 0.02); standard != nil {
		return limitRate(*standard)
	}
	// A rate of its own (a phone's 27.3): the next standard rate above keeps all frames.
	for _, standard := range standardRates {
		if standard.Float() >= avg {
			return standard
		}
	}
	return limitRate(simple(average))
}

func sane(r job.Rational) (float64, bool) {
	if r.Num <= 0 || r.Den <= 0 {
		return 0, false
	}
	f := r.Float()
	return f, f >= 0.001 && f <= 100_000
}

func relative(a, b float64) float64 { return math.Abs(a-b) / b }

// nearest is the standard rate closest to rate, nil if none is within tolerance.
func nearest(rate, tolerance float64) *job.Rational {
	var best *job.Rational
	for i, standard := range standardRates {
		distance := relative(rate, standard.Float())
		if distance <= tolerance && (best == nil || distance < relative(rate, best.Float())) {
			best = &standardRates[i]
		}
	}
	return best
}

// simple makes a constant rate fit to be a timescale: a standard rate where it
// is one in disguise (23.976 as 2997/125 stays, since 2997 ticks per second are
// exact), and no larger than a 32-bit field holds.
func simple(r job.Rational) job.Rational {
	if standard := nearest(r.Float(), 1e-7); standard != nil {
		return *standard
	}
	g := gcd(r.Num, r.Den)
	r = job.Rational{Num: r.Num / g, Den: r.Den / g}
	if r.Num > 1_000_000 { // a measured rate, not a chosen one: a millisecond grid is as true
		return job.Rational{Num: int64(math.Round(r.Float() * 1000)), Den: 1000}
	}
	return r
}

// limitRate divides a rate by the smallest whole number that brings it within
// MaxFramesPerSecond, and raises one that is too slow to seek in.
func limitRate(r job.Rational) job.Rational {
	if r.Float() < 1 {
		return job.Rational{Num: 1, Den: 1}
	}
	divisor := int64(math.Ceil(r.Float() / MaxFramesPerSecond))
	limited := job.Rational{Num: r.Num, Den: r.Den * max(divisor, 1)}
	g := gcd(limited.Num, limited.Den)
	return job.Rational{Num: limited.Num / g, Den: limited.Den / g}
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
