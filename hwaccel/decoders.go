package hwaccel

import (
	"slices"
	"strconv"
)

// Decoder is one way to decode a codec. Decoders are read-only.
type Decoder struct {
	Codec string // ffmpeg's name of the codec, as a source's
	API   API    // NoAPI in software
	// Name is ffmpeg's decoder, which goes before the input. It is named since
	// the default for a codec may be one that no device can help (libdav1d).
	Name string
	// Formats are the pixel formats of sources that it decodes.
	Formats []string
}

// Formats of sources, in memory and, where they lie on a device, in what form.
const (
	eightBit = "yuv420p"
	tenBit   = "yuv420p10le"
)

// deviceFormats is what decoded pictures of a source's format are on devices.
var deviceFormats = map[string]string{eightBit: "nv12", tenBit: "p010le"}

var decoders = []Decoder{
	{"h264", CUDA, "h264", []string{eightBit}},
	{"hevc", CUDA, "hevc", []string{eightBit, tenBit}},
	{"av1", CUDA, "av1", []string{eightBit, tenBit}},
	{"vp9", CUDA, "vp9", []string{eightBit, tenBit}},
	{"mpeg2video", CUDA, "mpeg2video", []string{eightBit}},

	{"h264", QSV, "h264_qsv", []string{eightBit}},
	{"hevc", QSV, "hevc_qsv", []string{eightBit, tenBit}},
	{"av1", QSV, "av1_qsv", []string{eightBit, tenBit}},
	{"vp9", QSV, "vp9_qsv", []string{eightBit, tenBit}},
	{"mpeg2video", QSV, "mpeg2_qsv", []string{eightBit}},

	{"h264", VAAPI, "h264", []string{eightBit}},
	{"hevc", VAAPI, "hevc", []string{eightBit, tenBit}},
	{"av1", VAAPI, "av1", []string{eightBit, tenBit}},
	{"vp9", VAAPI, "vp9", []string{eightBit, tenBit}},
	{"mpeg2video", VAAPI, "mpeg2video", []string{eightBit}},

	{"h264", NoAPI, "", []string{eightBit, tenBit}},
	{"hevc", NoAPI, "", []string{eightBit, tenBit}},
	{"av1", NoAPI, "", []string{eightBit, tenBit}},
	{"vp9", NoAPI, "", []string{eightBit, tenBit}},
	{"mpeg2video", NoAPI, "", []string{eightBit}},
}

// Decoders lists every decoder that is tried.
func Decoders() []Decoder { return slices.Clone(decoders) }

// decoderFor finds the decoder of sources of a codec and pixel format.
func decoderFor(api API, codec, format string) (Decoder, bool) {
	for _, d := range decoders {
		if d.API == api && d.Codec == codec && slices.Contains(d.Formats, format) {
			return d, true
		}
	}
	return Decoder{}, false
}

// Args stand before the input's "-i": they decode the input's stream of that
// number on the pinned device and leave its pictures there.
func (d Decoder) Args(pin Pin, stream int) []string {
	surface, found := SurfaceOf(d.API)
	if !found {
		return nil
	}
	return []string{
		"-hwaccel", string(d.API), "-hwaccel_device", pin.Device, "-hwaccel_output_format", surface.Frames,
		"-extra_hw_frames", strconv.Itoa(surface.ExtraFrames), "-c:" + strconv.Itoa(stream), d.Name,
	}
}
