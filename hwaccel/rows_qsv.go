package hwaccel

import (
	"regexp"

	"millrace/job"
)

// qsvRows are Intel's encoders by Quick Sync.
//
// Their quality numbers are on a scale like x264's; that the same number looks
// about alike is what Intel's own white papers and users' comparisons say of
// Gen 9 and later. None of this was measured by us on a real device.
var qsvRows = []Row{
	{
		Encoder: "h264_qsv", Codec: job.H264, Kind: RenderNode, API: QSV,
		PixelFormat: "nv12",
		Scaler:      "scale", ScalerOptions: "flags=lanczos", DelayFrames: 2,
		Presets:  qsvPresets,
		CRF:      map[job.Quality]float64{job.Economy: 25, job.Standard: 24, job.High: 22},
		Features: qsvFeatures, lacking: qsvLacking,
		quality: qsvQuality, specific: func(s Settings) []string { return qsv(s, "-profile:v", "high") },
	},
	{
		Encoder: "hevc_qsv", Codec: job.HEVC, Kind: RenderNode, API: QSV,
		PixelFormat: "nv12", PixelFormat10: "p010le",
		Scaler: "scale", ScalerOptions: "flags=lanczos", DelayFrames: 2,
		Presets:  qsvPresets,
		CRF:      map[job.Quality]float64{job.Economy: 28, job.Standard: 26, job.High: 24},
		Features: qsvFeatures, lacking: qsvLacking,
		quality: qsvQuality, specific: func(s Settings) []string {
			return qsv(s, "-profile:v", depthProfile(s, "main", "main10"), "-tag:v", "hvc1")
		},
	},
	{
		Encoder: "av1_qsv", Codec: job.AV1, Kind: RenderNode, API: QSV,
		PixelFormat: "nv12", PixelFormat10: "p010le",
		Scaler: "scale", ScalerOptions: "flags=lanczos", DelayFrames: 0,
		Presets:  qsvPresets,
		CRF:      map[job.Quality]float64{job.Economy: 32, job.Standard: 30, job.High: 27},
		Features: qsvFeatures, lacking: qsvLacking,
		quality: qsvQuality, specific: func(s Settings) []string { return qsv(s, "-profile:v", "main") },
	},
}

var qsvPresets = map[job.Quality]string{job.Economy: "veryfast", job.Standard: "medium", job.High: "slower"}

// qsvFeatures: old drivers cap a rate only around an average.
var qsvFeatures = []Feature{{
	Name: "constant quality", refused: regexp.MustCompile(`Selected ratecontrol mode is unsupported`),
	options: []string{"global_quality"},
}}

var qsvLacking = map[string][]string{
	"forced_idr": nil, "adaptive_i": nil, "b_strategy": nil, "idr_interval": nil,
}

// capShare is the average that capped quality is given as a hint, in parts of
// the cap: encoders that want both take it for what to come out at.
const capShare = 2.0 / 3

// qsvQuality: with a cap this is QVBR, without one ICQ. Look-ahead would make it
// LA_ICQ, which knows no cap.
func qsvQuality(r Row, s Settings) []string {
	return append([]string{"-preset", r.Presets[s.Quality], "-global_quality", decimal(s.Rendition.CRF)}, average(s)...)
}

// average is the average rate below a cap.
func average(s Settings) []string {
	if s.Rendition.MaxBitsPerSecond <= 0 {
		return nil
	}
	return []string{"-b:v", integer(int64(capShare * float64(s.Rendition.MaxBitsPerSecond)))}
}

func qsv(s Settings, more ...string) []string {
	args := append(rateCap(s), forcedKeyframes(s)...)
	args = append(args,
		"-forced_idr", "1", "-idr_interval", "0", "-adaptive_i", "0", "-flags", "+cgop",
		"-bf", "3", "-b_strategy", "1", // B-frames that are references of others
	)
	return append(args, more...)
}
