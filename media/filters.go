package media

import (
	"fmt"
	"strings"

	"millrace/job"
)

// toneMap brings HDR (PQ or HLG, BT.2020) to BT.709 in linear light. The
// curve is Hable's, which keeps highlights without washing out the middle;
// 100 nits is what SDR white means.
const toneMap = "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv,format=yuv420p"

// deinterlacer makes one frame of each two fields. It comes before the grid,
// since it needs a frame's neighbours.
const deinterlacer = "bwdif=mode=send_frame:parity=auto:deint=all"

// grid are the filters that put the source's frames on the timeline and take
// the frames of r. After fps a frame's pts is its number on the source's grid.
//
// At the timeline's start fps repeats the first picture back to the origin,
// and at its end tpad repeats the last one for as long as it stands, and at
// most endFrames more: a source's own times may round to a frame less than its
// length does.
func grid(plan job.Plan, r job.FrameRange) string {
	origin := plan.Timeline.Origin
	var b strings.Builder
	if plan.Picture.Deinterlace {
		b.WriteString(deinterlacer + ",")
	}
	fmt.Fprintf(&b, "fps=%s", plan.Timeline.Rate)
	if r.Start == 0 {
		fmt.Fprintf(&b, ":start_time=%.9f", seconds(plan.Timeline, origin))
	}
	if r.End == plan.Timeline.Frames {
		fmt.Fprintf(&b, ",tpad=stop=%d:stop_mode=clone", plan.Source.Hold+endFrames)
	}
	fmt.Fprintf(&b, ",trim=start_pts=%d:end_pts=%d,setpts=PTS-%d", origin+r.Start, origin+r.End, origin+r.Start)
	return b.String()
}

// endFrames is how many frames the end of a source may be short of its length
// by rounding. More is a truncated source, which must not pass.
const endFrames = 2

// seconds is the time of frame n of the grid, for options that take no fraction.
func seconds(t job.Timeline, n int64) float64 {
	return float64(n) * float64(t.Rate.Den) / float64(t.Rate.Num)
}

// cascade is the filter graph that decodes once and scales each rendition from
// the one above it, largest first. The label of output i is outputLabel(i).
// scaler makes the scale filter for a size.
func cascade(plan job.Plan, r job.FrameRange, renditions []job.Rendition, scaler func(width, height int) string, pixelFormat string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[0:%d]%s", plan.Source.Stream, grid(plan, r))
	if plan.Picture.ToneMap {
		b.WriteString("," + toneMap)
	}
	for i, rendition := range renditions {
		if i > 0 {
			fmt.Fprintf(&b, ";[next%d]", i)
		} else {
			b.WriteString(",")
		}
		b.WriteString(scaler(rendition.Width, rendition.Height))
		if i == 0 {
			b.WriteString(convert(plan.Picture) + ",format=" + pixelFormat)
		}
		// A size is rounded to even numbers, and scale makes up for that by
		// pixels that aren't quite square: players would blur the picture.
		b.WriteString(",setsar=1")
		if i < len(renditions)-1 {
			fmt.Fprintf(&b, ",split[%s][next%d]", outputName(i), i+1)
		} else {
			fmt.Fprintf(&b, "[%s]", outputName(i))
		}
	}
	return b.String()
}

// convert adds to the first scale filter what brings the source's colours to
// BT.709 in limited range; tone-mapped pictures are there already.
func convert(p job.Picture) string {
	if p.ToneMap {
		return ""
	}
	text := ""
	switch p.Matrix {
	case "bt709":
	case matrixRGB:
		text += ":out_color_matrix=bt709"
	default:
		// Without accurate_rnd the pixels at the borders of swscale's slices,
		// of which there are as many as threads, come out differently: chunks
		// of two nodes would not match.
		text += ":in_color_matrix=" + p.Matrix + ":out_color_matrix=bt709:flags=lanczos+accurate_rnd"
	}
	if p.FullRange {
		text += ":in_range=full:out_range=limited"
	}
	return text
}

// matrixRGB is job.Picture's Matrix of sources that have no colour matrix.
const matrixRGB = "rgb"

func outputName(i int) string { return fmt.Sprintf("out%d", i) }
