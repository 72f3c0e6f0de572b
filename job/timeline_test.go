package job

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var ntsc = Rational{Num: 24000, Den: 1001}

func TestTimelineTimesAreExactOverTenHours(t *testing.T) {
	for _, c := range []struct {
		rate  Rational
		frame int64
		want  time.Duration
	}{
		{Rational{25, 1}, 0, 0},
		{Rational{25, 1}, 100, 4 * time.Second},
		{ntsc, 24000, 1001 * time.Second},
		{ntsc, 1, 41708333},
		{ntsc, 863136, 35999964 * time.Millisecond}, // ten hours, where floats are off
		{Rational{120, 1}, 120 * 3600 * 24, 24 * time.Hour},
	} {
		timeline := Timeline{Rate: c.rate, Frames: c.frame + 1, SegmentFrames: 1}
		if got := timeline.At(c.frame); got != c.want {
			t.Errorf("frame %d at %s: %v, want %v", c.frame, c.rate, got, c.want)
		}
	}
}

func TestTimelineTimesAreTheFractionRoundedDown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := Rational{rapid.Int64Range(1, 240000).Draw(t, "num"), rapid.Int64Range(1, 1001).Draw(t, "den")}
		frame := rapid.Int64Range(0, 1<<32).Draw(t, "frame")
		exact := new(big.Int).Mul(big.NewInt(frame), big.NewInt(rate.Den))
		exact.Mul(exact, big.NewInt(int64(time.Second)))
		exact.Div(exact, big.NewInt(rate.Num))
		if !exact.IsInt64() {
			t.Skip("beyond what a Duration holds")
		}
		if got := (Timeline{Rate: rate}).At(frame); int64(got) != exact.Int64() {
			t.Fatalf("frame %d at %s: %d ns, want %s", frame, rate, got, exact)
		}
	})
}

func TestSegmentsCoverTheTimelineOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		timeline := Timeline{Rate: ntsc, Frames: rapid.Int64Range(1, 5000).Draw(t, "frames"), SegmentFrames: rapid.Int64Range(1, 300).Draw(t, "segment")}
		var counts []int
		for left := timeline.Segments(); left > 0; {
			n := rapid.IntRange(1, left).Draw(t, "count")
			counts, left = append(counts, n), left-n
		}
		chunks, err := timeline.Cut(counts)
		if err != nil {
			t.Fatal(err)
		}
		next, segment := int64(0), 0
		for i, chunk := range chunks {
			if chunk.Index != i || chunk.Frames.Start != next || chunk.FirstSegment != segment || chunk.Frames.Len() <= 0 {
				t.Fatalf("chunk %d of %+v: %+v", i, timeline, chunk)
			}
			for s := range chunk.Segments {
				frames := timeline.Segment(segment + s)
				if frames.Start != next || frames.Len() <= 0 || frames.Len() > timeline.SegmentFrames {
					t.Fatalf("segment %d: %+v", segment+s, frames)
				}
				next = frames.End
			}
			segment += chunk.Segments
		}
		if next != timeline.Frames || segment != timeline.Segments() {
			t.Fatalf("%d of %d frames are covered", next, timeline.Frames)
		}
	})
}

func TestCutRefusesCountsThatDontFit(t *testing.T) {
	timeline := Timeline{Rate: ntsc, Frames: 250, SegmentFrames: 100} // three segments
	for _, counts := range [][]int{nil, {2}, {4}, {2, 2}, {3, 0}, {-1, 4}} {
		if chunks, err := timeline.Cut(counts); err == nil {
			t.Errorf("cut into %v: %+v", counts, chunks)
		}
	}
}

func TestValidateNamesWhatIsWrong(t *testing.T) {
	good := Timeline{Rate: ntsc, Frames: 1, SegmentFrames: 1}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for word, spoil := range map[string]func(*Timeline){
		"rate":     func(t *Timeline) { t.Rate.Num = 0 },
		"0/0":      func(t *Timeline) { t.Rate = Rational{} },
		"frames":   func(t *Timeline) { t.Frames = 0 },
		"segments": func(t *Timeline) { t.SegmentFrames = -1 },
	} {
		bad := good
		spoil(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
