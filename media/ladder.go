package media

import (
	"fmt"
	"math"
	"slices"

	"millrace/hwaccel"
	"millrace/job"
)

// MinSide and MaxSide bound the sides of a source's picture, in pixels.
// Smaller ones can't be encoded with 4:2:0 sampling by every encoder; larger
// ones are beyond H.264's highest level.
const (
	MinSide = 16
	MaxSide = 8192
)

// rateCaps is the highest rate of each rung in H.264 at up to 30 frames per
// second. They lie in the middle of the ranges that Apple's HLS authoring
// specification gives (1080p: 4.5 to 7.8 Mbit/s).
var rateCaps = []struct {
	side          int
	bitsPerSecond int64
}{
	{240, 450_000}, {360, 900_000}, {480, 1_600_000}, {720, 3_200_000},
	{1080, 6_000_000}, {1440, 11_000_000}, {2160, 20_000_000},
}

// codecRate is what a codec needs of H.264's rate for the same picture.
var codecRate = map[job.Codec]float64{job.H264: 1, job.HEVC: 0.65, job.AV1: 0.55}

// fastRate is what more than 30 frames per second cost: neighbouring frames
// are more alike, so twice the frames don't need twice the bits.
const fastRate = 1.4

// bufferSeconds is the decoder buffer: how much longer than average a peak may last.
const bufferSeconds = 2

// ladder makes the renditions of a job, largest first. A rung above the
// source's own size is made at that size, once, and its note says so.
func ladder(spec job.Spec, source job.Source, rate job.Rational, encoder hwaccel.Row) []job.Rendition {
	own := even(min(source.Width, source.Height))
	var rungs []job.Rendition
	for _, asked := range slices.Sorted(slices.Values(spec.Resolutions)) {
		side, note := int(asked), ""
		if side > own {
			side = own
			note = fmt.Sprintf("%s was asked for, but the source is only %d×%d: made at its own size", asked, source.Width, source.Height)
		}
		if i := slices.IndexFunc(rungs, func(r job.Rendition) bool { return min(r.Width, r.Height) == side }); i >= 0 {
			if rungs[i].Note == "" {
				rungs[i].Note = note
			}
			continue
		}
		rungs = append(rungs, rung(spec, source, rate, encoder, side, note))
	}
	slices.Reverse(rungs)
	return rungs
}

func rung(spec job.Spec, source job.Source, rate job.Rational, encoder hwaccel.Row, side int, note string) job.Rendition {
	width, height := fit(source.Width, source.Height, side)
	highest := float64(cap30(side)) * codecRate[spec.Codec]
	if rate.Float() > 30.5 {
		highest *= fastRate
	}
	maxRate := int64(math.Round(highest/1000)) * 1000
	return job.Rendition{
		Name: fmt.Sprintf("%dp", side), Width: width, Height: height,
		Codec: spec.Codec, Encoder: encoder.Encoder, CRF: encoder.CRF[spec.Quality],
		MaxBitsPerSecond: maxRate, BufferBits: bufferSeconds * maxRate, Note: note,
	}
}

// cap30 is the rate cap of the first rung that is at least as large as side.
func cap30(side int) int64 {
	for _, c := range rateCaps {
		if side <= c.side {
			return c.bitsPerSecond
		}
	}
	return rateCaps[len(rateCaps)-1].bitsPerSecond
}

// fit scales a picture so that its short side is side, an even number, and its
// long side the nearest even number that keeps its shape.
func fit(width, height, side int) (fitWidth, fitHeight int) {
	long := func(a, b int) int {
		return max(2, 2*int(math.Round(float64(side)*float64(a)/float64(b)/2)))
	}
	if width >= height {
		return long(width, height), side
	}
	return side, long(height, width)
}

// even rounds down to an even number: 4:2:0 pictures have no odd sides.
func even(n int) int { return n &^ 1 }
