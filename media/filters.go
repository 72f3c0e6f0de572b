package media

import (
	"fmt"
	"slices"
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
	steps := []string{rateFilter(plan, r), tailFilter(plan, r), trimFilter(plan, r)}
	if plan.Picture.Deinterlace {
		steps = append([]string{deinterlacer}, steps...)
	}
	steps = slices.DeleteFunc(steps, func(step string) bool { return step == "" })
	return strings.Join(steps, ",")
}

func rateFilter(plan job.Plan, r job.FrameRange) string {
	text := "fps=" + plan.Timeline.Rate.String()
	if r.Start == 0 {
		text += fmt.Sprintf(":start_time=%.9f", seconds(plan.Timeline, plan.Timeline.Origin))
	}
	return text
}

func tailFilter(plan job.Plan, r job.FrameRange) string {
	if r.End != plan.Timeline.Frames {
		return ""
	}
	return fmt.Sprintf("tpad=stop=%d:stop_mode=clone", plan.Source.Hold+endFrames)
}

func trimFilter(plan job.Plan, r job.FrameRange) string {
	origin := plan.Timeline.Origin
	return fmt.Sprintf("trim=start_pts=%d:end_pts=%d,setpts=PTS-%d", origin+r.Start, origin+r.End, origin+r.Start)
}

// endFrames is how many frames the end of a source may be short of its length
// by rounding. More is a truncated source, which must not pass.
const endFrames = 2

// seconds is the time of frame n of the grid, for options that take no fraction.
func seconds(t job.Timeline, n int64) float64 {
	return float64(n) * float64(t.Rate.Den) / float64(t.Rate.Num)
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
