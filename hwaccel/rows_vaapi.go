package hwaccel

import (
	"regexp"

	"millrace/job"
)

// vaapiRows are the encoders of Intel's and AMD's render nodes by VA-API.
//
// On Intel the quality numbers are QSV's. Mesa's driver for AMD has no constant
// quality in most releases; then the rate decides. None of this was measured by
// us on a real device.
var vaapiRows = []Row{
	{
		Encoder: "h264_vaapi", Codec: job.H264, Kind: RenderNode, API: VAAPI,
		PixelFormat: "nv12",
		Scaler:      "scale", ScalerOptions: "flags=lanczos", DelayFrames: 2,
		Presets:  vaapiLevels,
		CRF:      map[job.Quality]float64{job.Economy: 25, job.Standard: 24, job.High: 22},
		Features: vaapiFeatures, lacking: vaapiLacking,
		quality: vaapiQuality, specific: func(s Settings) []string { return vaapi(s, "-profile:v", "high") },
	},
	{
		Encoder: "hevc_vaapi", Codec: job.HEVC, Kind: RenderNode, API: VAAPI,
		PixelFormat: "nv12", PixelFormat10: "p010le",
		Scaler: "scale", ScalerOptions: "flags=lanczos", DelayFrames: 2,
		Presets:  vaapiLevels,
		CRF:      map[job.Quality]float64{job.Economy: 28, job.Standard: 26, job.High: 24},
		Features: vaapiFeatures, lacking: vaapiLacking,
		quality: vaapiQuality, specific: func(s Settings) []string {
			return vaapi(s, "-profile:v", depthProfile(s, "main", "main10"), "-tag:v", "hvc1")
		},
	},
	{
		Encoder: "av1_vaapi", Codec: job.AV1, Kind: RenderNode, API: VAAPI,
		PixelFormat: "nv12", PixelFormat10: "p010le",
		Scaler: "scale", ScalerOptions: "flags=lanczos", DelayFrames: 0,
		Presets:  vaapiLevels,
		CRF:      map[job.Quality]float64{job.Economy: 120, job.Standard: 110, job.High: 100}, // of 255
		Features: vaapiFeatures, lacking: vaapiLacking,
		quality: vaapiQuality, specific: func(s Settings) []string { return vaapi(s, "-profile:v", "main") },
	},
}

// vaapiLevels are drivers' own trade-offs of speed for quality: 1 is best, 7 fastest.
var vaapiLevels = map[job.Quality]string{job.Economy: "7", job.Standard: "4", job.High: "1"}

var vaapiFeatures = []Feature{{
	Name: "constant quality", refused: regexp.MustCompile(`Driver does not support \S+ RC mode|No usable rate control mode`),
	options: []string{"rc_mode", "global_quality"}, instead: []string{"-rc_mode", "VBR"},
}}

var vaapiLacking = map[string][]string{"b_depth": nil, "idr_interval": nil}

func vaapiQuality(r Row, s Settings) []string {
	mode := "QVBR"
	if s.Rendition.MaxBitsPerSecond <= 0 {
		mode = "ICQ"
	}
	args := []string{"-compression_level", r.Presets[s.Quality], "-rc_mode", mode, "-global_quality", decimal(s.Rendition.CRF)}
	return append(args, average(s)...)
}

func vaapi(s Settings, more ...string) []string {
	args := append(rateCap(s), forcedKeyframes(s)...)
	// A forced keyframe is an IDR by itself. AMD's H.264 has no B-frames: ffmpeg
	// leaves them out by itself there.
	args = append(args, "-idr_interval", "0", "-bf", "2", "-b_depth", "1")
	return append(args, more...)
}
