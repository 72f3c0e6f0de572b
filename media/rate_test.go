package media

import (
	"testing"

	"pgregory.net/rapid"

	"millrace/job"
)

func TestTimelineRateIsTheSourcesOwnOrAStandardOne(t *testing.T) {
	for _, c := range []struct {
		name          string
		average, base job.Rational
		want          string
	}{
		{"constant film", job.Rational{Num: 24000, Den: 1001}, job.Rational{Num: 24000, Den: 1001}, "24000/1001"},
		{"film as milliseconds see it", job.Rational{Num: 23976, Den: 1000}, job.Rational{Num: 24000, Den: 1001}, "24000/1001"},
		{"constant and odd", job.Rational{Num: 100, Den: 7}, job.Rational{Num: 100, Den: 7}, "100/7"},
		{"23.976 exactly, as AVI files say", job.Rational{Num: 2997, Den: 125}, job.Rational{Num: 2997, Den: 125}, "2997/125"},
		{"a third of the frames dropped", job.Rational{Num: 20, Den: 1}, job.Rational{Num: 30, Den: 1}, "30/1"},
		{"a phone around 30", job.Rational{Num: 301, Den: 10}, job.Rational{Num: 90000, Den: 1}, "30/1"},
		{"a phone around 27", job.Rational{Num: 273, Den: 10}, job.Rational{Num: 600, Den: 1}, "30000/1001"},
		{"nonsense base", job.Rational{Num: 25, Den: 1}, job.Rational{Num: 1, Den: 0}, "25/1"},
		{"nonsense average", job.Rational{}, job.Rational{Num: 25, Den: 1}, "25/1"},
		{"nothing known", job.Rational{}, job.Rational{}, "25/1"},
		{"negative", job.Rational{Num: -25, Den: 1}, job.Rational{Num: 25, Den: -1}, "25/1"},
		{"a picture every three seconds", job.Rational{Num: 1, Den: 3}, job.Rational{Num: 1, Den: 3}, "1/1"},
		{"slow motion", job.Rational{Num: 240, Den: 1}, job.Rational{Num: 240, Den: 1}, "120/1"},
		{"slow motion of NTSC", job.Rational{Num: 240000, Den: 1001}, job.Rational{Num: 240000, Den: 1001}, "120000/1001"},
		{"absurd", job.Rational{Num: 90000, Den: 1}, job.Rational{Num: 90000, Den: 1}, "120/1"},
		{"fields counted as frames", job.Rational{Num: 25, Den: 1}, job.Rational{Num: 50, Den: 1}, "50/1"},
		{"one frame in a while", job.Rational{Num: 7, Den: 2}, job.Rational{Num: 30, Den: 1}, "5/1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := timelineRate(c.average, c.base); got.String() != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestTimelineRateIsAlwaysUsable(t *testing.T) {
	rational := rapid.Custom(func(t *rapid.T) job.Rational {
		return job.Rational{Num: rapid.Int64Range(-3, 1<<31).Draw(t, "num"), Den: rapid.Int64Range(-3, 1<<31).Draw(t, "den")}
	})
	rapid.Check(t, func(t *rapid.T) {
		average, base := rational.Draw(t, "average"), rational.Draw(t, "base")
		got := timelineRate(average, base)
		if got.Num <= 0 || got.Den <= 0 || got.Float() < 0.999 || got.Float() > MaxFramesPerSecond+0.001 {
			t.Fatalf("rate %s", got)
		}
		// The rate is a timescale, and a frame's length in it a field of 32 bits.
		if got.Num > 1<<31-1 || got.Den > 1<<31-1 {
			t.Fatalf("rate %s doesn't fit the fields of an MP4 file", got)
		}
	})
}
