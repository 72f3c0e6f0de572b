package hwaccel

import "fmt"

// Surface is how pictures live on a device that is driven by an API: how they
// get there and back, and the filters that work on them there. Filters that only
// count, cut and copy references (fps, trim, setpts, split, setsar) work on
// pictures anywhere. It is read-only.
type Surface struct {
	API API
	// Frames is what ffmpeg calls pictures that lie there.
	Frames string
	// Upload and Download are the filters between memory and the device; a
	// format stands before the one and after the other.
	Upload, Download string
	// ExtraFrames is how many pictures more than it needs itself a decoder keeps
	// for those who hold on to them: filters, look-ahead, B-frames.
	ExtraFrames int
	// Scaler scales, and brings 10 bits to 8.
	Scaler Filter
	// Deinterlacers make one picture of two fields, the best first.
	Deinterlacers []Filter
}

// Filter is a filter with the options that it is given always.
type Filter struct {
	Name    string
	Options string // "interp_algo=lanczos"
}

func (f Filter) String() string {
	if f.Options == "" {
		return f.Name
	}
	return f.Name + "=" + f.Options
}

// surfaces are by API. ffmpeg's NPP scaler is in no build that may be given
// away, so it is not here.
var surfaces = map[API]Surface{
	CUDA: {
		API: CUDA, Frames: "cuda", Upload: "hwupload", Download: "hwdownload",
		// NVDEC has 32 surfaces at most. passthrough=0: a rung of the source's own
		// size is a copy, so that look-ahead doesn't hold the decoder's.
		ExtraFrames: 8,
		Scaler:      Filter{"scale_cuda", "interp_algo=lanczos:passthrough=0"},
		Deinterlacers: []Filter{
			{"bwdif_cuda", "mode=send_frame:parity=auto:deint=all"},
			{"yadif_cuda", "mode=send_frame:parity=auto:deint=all"},
		},
	},
	QSV: {
		API: QSV, Frames: "qsv", Upload: "hwupload=extra_hw_frames=64", Download: "hwdownload",
		ExtraFrames:   64,
		Scaler:        Filter{"vpp_qsv", "scale_mode=2"}, // 2 is high quality; older builds know no name for it
		Deinterlacers: []Filter{{"deinterlace_qsv", "mode=advanced"}},
	},
	VAAPI: {
		API: VAAPI, Frames: "vaapi", Upload: "hwupload", Download: "hwdownload",
		ExtraFrames:   32,
		Scaler:        Filter{"scale_vaapi", "mode=hq"},
		Deinterlacers: []Filter{{"deinterlace_vaapi", "rate=frame:auto=0"}},
	},
}

// SurfaceOf is how pictures live on devices driven by api; false in memory.
func SurfaceOf(api API) (Surface, bool) {
	s, found := surfaces[api]
	return s, found
}

// Scale is the filter that makes pictures of width × height on the device; a
// format, where given, is what they become in the same step.
func (s Surface) Scale(width, height int, format string) string {
	filter := fmt.Sprintf("%s=w=%d:h=%d", s.Scaler.Name, width, height)
	if s.Scaler.Options != "" {
		filter += ":" + s.Scaler.Options
	}
	if format != "" {
		filter += ":format=" + format
	}
	return filter
}

// filters are all that work on the device's pictures.
func (s Surface) filters() []Filter {
	return append([]Filter{s.Scaler}, s.Deinterlacers...)
}

// apisOf lists the ways to drive a device, the one to be preferred first.
func apisOf(device Device) []API {
	switch {
	case device.Kind == NVIDIA:
		return []API{CUDA}
	case device.Kind == RenderNode && device.Vendor == VendorIntel:
		return []API{QSV, VAAPI}
	case device.Kind == RenderNode:
		return []API{VAAPI}
	}
	return nil
}

// DrivenBy says whether a row's way to drive a device is one for this device:
// QSV is Intel's alone.
func (r Row) DrivenBy(device Device) bool {
	if r.Kind != device.Kind {
		return false
	}
	if r.API == NoAPI {
		return true
	}
	for _, api := range apisOf(device) {
		if api == r.API {
			return true
		}
	}
	return false
}
