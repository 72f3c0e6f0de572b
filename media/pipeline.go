package media

import (
	"fmt"
	"slices"
	"strings"

	"millrace/hwaccel"
	"millrace/job"
)

// pipeline is one run of ffmpeg that makes the frames of a chunk for all of its
// renditions, each step where its route says. Wherever the pictures lie, the
// frames are chosen by the same filters, so all routes make the same chunks.
type pipeline struct {
	plan       job.Plan
	frames     job.FrameRange
	renditions []job.Rendition // of the plan that are made, largest first
	route      hwaccel.Route
}

// picturesOf is what a route must know of a plan's source.
func picturesOf(plan job.Plan) hwaccel.Pictures {
	return hwaccel.Pictures{
		Codec: plan.Source.VideoCodec, PixelFormat: plan.Source.PixelFormat,
		Interlaced: plan.Picture.Deinterlace,
		// ffmpeg turns pictures upright by a filter of its own, in memory only.
		InMemory: plan.Picture.ToneMap || convert(plan.Picture) != "" || plan.Source.Rotated,
		Turned:   plan.Source.Rotated,
	}
}

// input are the arguments that stand before "-ss" and "-i".
func (p pipeline) input() []string {
	args := decoderArgs(p.plan.Source)
	if p.route.Decodes() {
		args = append(args, p.route.Decoder.Args(p.route.Pin(), p.plan.Source.Stream)...)
	}
	return args
}

// graph is the filter graph: it decodes once and scales each rendition of the plan from
// the one above it, also from one that another task makes, so that a divided ladder
// has the same pictures as a whole one. The label of output i is outputName(i).
func (p pipeline) graph() string {
	g := &chain{surface: p.route.Surface(), format: p.route.Format, onDevice: p.route.Decodes()}
	p.choose(g)
	memoryFirst := p.route.InMemory || !p.route.ScaleOnDevice
	if memoryFirst {
		g.toMemory()
	}
	if p.plan.Picture.ToneMap {
		g.add(toneMap)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[0:%d]", p.plan.Source.Stream)
	outputs := 0
	for i, rendition := range p.plan.Renditions {
		p.scale(g, rendition, i == 0, memoryFirst)
		if !slices.ContainsFunc(p.renditions, func(r job.Rendition) bool { return r.Name == rendition.Name }) {
			if !g.onDevice { // nothing else tells ffmpeg what the pictures between two scalings are
				g.add("format=" + p.route.Encoder.PixelFormat)
			}
			continue // the next rung goes on from it
		}
		if outputs > 0 {
			fmt.Fprintf(&b, ";[next%d]", outputs)
		}
		b.WriteString(g.take())
		last := outputs == len(p.renditions)-1
		down := p.lastStep(g)
		switch {
		case down == "" && last:
			fmt.Fprintf(&b, "[%s]", outputName(outputs))
		case down == "":
			fmt.Fprintf(&b, ",split[%s][next%d]", outputName(outputs), outputs+1)
		case last:
			fmt.Fprintf(&b, ",%s[%s]", down, outputName(outputs))
		default:
			fmt.Fprintf(&b, ",split[rung%d][next%d];[rung%d]%s[%s]", outputs, outputs+1, outputs, down, outputName(outputs))
		}
		if outputs++; last {
			break
		}
	}
	return b.String()
}

// choose takes the chunk's frames, deinterlaced.
func (p pipeline) choose(g *chain) {
	if p.plan.Picture.Deinterlace {
		if g.onDevice && p.route.Deinterlacer != "" {
			g.add(p.route.Deinterlacer)
		} else {
			g.toMemory()
			g.add(deinterlacer)
		}
	}
	g.add(rateFilter(p.plan, p.frames))
	if last := tailFilter(p.plan, p.frames); last != "" {
		// Not before ffmpeg 6 does tpad repeat pictures that lie on a device.
		g.toMemory()
		g.add(last)
	}
	g.add(trimFilter(p.plan, p.frames))
}

// scale makes a rung's size.
func (p pipeline) scale(g *chain, rendition job.Rendition, first, memoryFirst bool) {
	encoder := p.route.Encoder
	switch {
	case first && memoryFirst:
		g.add(encoder.Scale(rendition.Width, rendition.Height) + convert(p.plan.Picture) + ",format=" + encoder.PixelFormat)
	case first:
		g.toDevice()
		g.format = "nv12"
		g.add(g.surface.Scale(rendition.Width, rendition.Height, g.format))
	case g.onDevice:
		g.add(g.surface.Scale(rendition.Width, rendition.Height, ""))
	default:
		g.add(encoder.Scale(rendition.Width, rendition.Height))
	}
	// A size is rounded to even numbers, and scale makes up for that by
	// pixels that aren't quite square: players would blur the picture.
	g.add("setsar=1")
	if first && memoryFirst && p.route.ScaleOnDevice {
		g.add(g.surface.Upload)
		g.onDevice = true
	}
}

// lastStep brings a finished rung to where its encoder is.
func (p pipeline) lastStep(g *chain) string {
	switch {
	case g.onDevice && !p.route.Encodes():
		return g.surface.Download + ",format=" + g.format + ",format=" + p.route.Encoder.PixelFormat
	case !g.onDevice && p.route.Encodes():
		return g.surface.Upload
	}
	return ""
}

// chain is filters in a row that know where the pictures lie.
type chain struct {
	surface  hwaccel.Surface
	format   string // of the pictures on the device
	onDevice bool
	filters  []string
}

func (g *chain) add(filter string) { g.filters = append(g.filters, filter) }

func (g *chain) toMemory() {
	if g.onDevice {
		g.add(g.surface.Download + ",format=" + g.format)
		g.onDevice = false
	}
}

func (g *chain) toDevice() {
	if !g.onDevice {
		g.add("format=" + g.format + "," + g.surface.Upload)
		g.onDevice = true
	}
}

// take gives the filters up to here.
func (g *chain) take() string {
	text := strings.Join(g.filters, ",")
	g.filters = nil
	return text
}
