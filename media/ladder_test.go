package media

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"millrace/hwaccel"
	"millrace/job"
)

func TestLadderIsLargestFirstAndNeverLargerThanTheSource(t *testing.T) {
	encoder, _ := hwaccel.Encoder("libx264")
	for _, c := range []struct {
		name          string
		width, height int
		asked         string
		want          string
		notes         int
	}{
		{"in any order", 1920, 1080, "480 1080 240", "1080p 1920×1080, 480p 854×480, 240p 426×240", 0},
		{"larger than the source", 1280, 720, "1080 480", "720p 1280×720, 480p 854×480", 1},
		{"several larger ones are one", 1280, 720, "2160 1440 1080", "720p 1280×720", 1},
		{"the source's own and larger", 1280, 720, "720 1080", "720p 1280×720", 1},
		{"all larger", 320, 180, "240 360", "180p 320×180", 1},
		{"portrait", 1080, 1920, "720 240", "720p 720×1280, 240p 240×426", 0},
		{"odd", 191, 239, "240", "190p 190×238", 1},
		{"wide film", 1920, 804, "720 360", "720p 1720×720, 360p 860×360", 0},
		{"asked twice", 1280, 720, "480 480", "480p 854×480", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := job.Spec{Codec: job.H264, Quality: job.Standard}
			for _, asked := range strings.Fields(c.asked) {
				resolution, err := job.ParseResolution(asked + "p")
				if err != nil {
					t.Fatal(err)
				}
				spec.Resolutions = append(spec.Resolutions, resolution)
			}
			var got []string
			notes := 0
			for _, r := range ladder(spec, job.Source{Width: c.width, Height: c.height}, job.Rational{Num: 30, Den: 1}, encoder) {
				got = append(got, fmt.Sprintf("%s %d×%d", r.Name, r.Width, r.Height))
				if r.Note != "" {
					notes++
				}
			}
			if strings.Join(got, ", ") != c.want {
				t.Errorf("got %s, want %s", strings.Join(got, ", "), c.want)
			}
			if notes != c.notes {
				t.Errorf("%d rungs have a note, want %d", notes, c.notes)
			}
		})
	}
}

func TestFasterVideoAndOlderCodecsGetMoreBits(t *testing.T) {
	rate := func(codec job.Codec, encoder string, fps int64) int64 {
		row, _ := hwaccel.Encoder(encoder)
		spec := job.Spec{Codec: codec, Quality: job.Standard, Resolutions: []job.Resolution{1080}}
		return ladder(spec, job.Source{Width: 1920, Height: 1080}, job.Rational{Num: fps, Den: 1}, row)[0].MaxBitsPerSecond
	}
	if slow, fast := rate(job.H264, "libx264", 30), rate(job.H264, "libx264", 60); slow != 6_000_000 || fast != 8_400_000 {
		t.Errorf("1080p gets %d and %d bits a second", slow, fast)
	}
	if hevc, av1 := rate(job.HEVC, "libx265", 30), rate(job.AV1, "libsvtav1", 30); hevc != 3_900_000 || av1 != 3_300_000 {
		t.Errorf("HEVC gets %d and AV1 %d bits a second", hevc, av1)
	}
}

func TestEveryLadderCanBeEncoded(t *testing.T) {
	encoder, _ := hwaccel.Encoder("libx264")
	rapid.Check(t, func(t *rapid.T) {
		source := job.Source{
			Width: rapid.IntRange(MinSide, MaxSide).Draw(t, "width"), Height: rapid.IntRange(MinSide, MaxSide).Draw(t, "height"),
		}
		spec := job.Spec{Codec: job.H264, Quality: job.Standard, Resolutions: rapid.SliceOfN(rapid.SampledFrom(job.Resolutions), 1, 7).Draw(t, "asked")}
		rungs := ladder(spec, source, job.Rational{Num: 30, Den: 1}, encoder)
		if len(rungs) == 0 {
			t.Fatal("no rungs")
		}
		before := math.MaxInt
		for _, r := range rungs {
			side := min(r.Width, r.Height)
			switch {
			case r.Width%2 != 0 || r.Height%2 != 0:
				t.Fatalf("%d×%d has odd sides", r.Width, r.Height)
			case side >= before:
				t.Fatalf("%s is not smaller than the rung above", r.Name)
			case side > min(source.Width, source.Height) || r.Width > source.Width+1 || r.Height > source.Height+1:
				t.Fatalf("%d×%d is larger than the source", r.Width, r.Height)
			case r.Name != fmt.Sprintf("%dp", side):
				t.Fatalf("%d×%d is called %s", r.Width, r.Height, r.Name)
			case r.MaxBitsPerSecond <= 0 || r.BufferBits <= 0 || r.CRF <= 0:
				t.Fatalf("%+v has no rate", r)
			}
			// The shape is kept to within the rounding to even numbers.
			exact := float64(side) * float64(max(source.Width, source.Height)) / float64(min(source.Width, source.Height))
			if long := float64(max(r.Width, r.Height)); math.Abs(long-exact) > 1.0001 {
				t.Fatalf("%d×%d is not the shape of %d×%d", r.Width, r.Height, source.Width, source.Height)
			}
			before = side
		}
	})
}
