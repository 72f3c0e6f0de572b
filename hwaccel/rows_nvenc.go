package hwaccel

import (
	"regexp"

	"millrace/job"
)

// nvencRows are NVIDIA's encoders.
//
// The CQs: a public comparison (ffmpeg 4.0, a GTX 1070, clips of the Ultra Video
// Group, VMAF) has h264_nvenc at CQ 27 where x264 is at CRF 23 (93.4 and 93.2),
// and at CQ 26 where x264 is at CRF 21 (93.8 and 93.9); HEVC and AV1 are given
// the same distance to their software encoders. Turing and later do better at
// the same CQ. None of this was measured by us on a real device.
var nvencRows = []Row{
	{
		Encoder: "h264_nvenc", Codec: job.H264, Kind: NVIDIA, API: CUDA,
		PixelFormat: "nv12", // H.264 with 10 bits: no card before 2025, and no build of ffmpeg here asks for it
		Scaler:      "scale", ScalerOptions: "flags=lanczos", DelayFrames: 2, Sessions: 1,
		Presets:  nvencPresets,
		CRF:      map[job.Quality]float64{job.Economy: 28, job.Standard: 27, job.High: 25},
		Features: nvencFeatures, lacking: nvencLacking,
		quality: nvencQuality, specific: func(s Settings) []string { return nvenc(s, "-profile:v", "high") },
	},
	{
		Encoder: "hevc_nvenc", Codec: job.HEVC, Kind: NVIDIA, API: CUDA,
		PixelFormat: "nv12", PixelFormat10: "p010le",
		Scaler: "scale", ScalerOptions: "flags=lanczos", DelayFrames: 2, Sessions: 1,
		Presets:  nvencPresets,
		CRF:      map[job.Quality]float64{job.Economy: 32, job.Standard: 30, job.High: 28},
		Features: nvencFeatures, lacking: nvencLacking,
		quality: nvencQuality, specific: func(s Settings) []string {
			return nvenc(s, "-profile:v", depthProfile(s, "main", "main10"), "-tag:v", "hvc1")
		},
	},
	{
		Encoder: "av1_nvenc", Codec: job.AV1, Kind: NVIDIA, API: CUDA,
		PixelFormat: "nv12", PixelFormat10: "p010le",
		Scaler: "scale", ScalerOptions: "flags=lanczos", DelayFrames: 0, Sessions: 1,
		Presets:  nvencPresets,
		CRF:      map[job.Quality]float64{job.Economy: 38, job.Standard: 35, job.High: 32},
		Features: nvencFeatures, lacking: nvencLacking,
		quality: nvencQuality, specific: func(s Settings) []string { return nvenc(s) },
	},
}

// nvencPresets: p4 is the driver's own middle. The steps to p2 and p6 are about
// a factor of two in speed by NVIDIA's own tables.
var nvencPresets = map[job.Quality]string{job.Economy: "p2", job.Standard: "p4", job.High: "p6"}

// nvencFeatures are what cards before Turing (and some after it) lack. The
// words are those of libavcodec/nvenc.c.
var nvencFeatures = []Feature{
	{
		Name: "B-frames as references", refused: regexp.MustCompile(`B frames as references (are|is) not supported|B_REF_MODE\S* is not supported`),
		options: []string{"b_ref_mode"}, instead: []string{"-b_ref_mode", "disabled"},
	},
	{
		Name: "B-frames", refused: regexp.MustCompile(`Max B-frames \d+ exceed \d+|B-frames? (are|is) not supported`),
		options: []string{"bf", "b_ref_mode"}, instead: []string{"-bf", "0"},
	},
	{
		Name: "temporal AQ", refused: regexp.MustCompile(`Temporal AQ not supported`),
		options: []string{"temporal-aq"},
	},
	{
		Name: "look-ahead", refused: regexp.MustCompile(`RC lookahead not supported`),
		options: []string{"rc-lookahead", "no-scenecut"},
	},
}

// nvencLacking: these make pictures better, or keyframes more certain, which
// the trial sees; all others are needed.
var nvencLacking = map[string][]string{
	"tune": nil, "spatial-aq": {"-spatial_aq", "1"}, "temporal-aq": {"-temporal_aq", "1"},
	"rc-lookahead": nil, "b_ref_mode": nil, "no-scenecut": nil, "strict_gop": nil, "forced-idr": nil,
}

func nvencQuality(r Row, s Settings) []string {
	// With -b:v 0 the quality alone decides, up to the cap.
	return []string{"-preset", r.Presets[s.Quality], "-tune", "hq", "-rc", "vbr", "-cq", decimal(s.Rendition.CRF), "-b:v", "0"}
}

// nvenc are the arguments of all codecs. More look-ahead than 20 frames gained
// nothing in NVIDIA's own measurements, and costs memory on the device.
func nvenc(s Settings, more ...string) []string {
	args := append(rateCap(s), forcedKeyframes(s)...)
	args = append(args,
		"-no-scenecut", "1", "-forced-idr", "1", "-strict_gop", "1",
		"-bf", "3", "-b_ref_mode", "middle",
		"-spatial-aq", "1", "-temporal-aq", "1", "-rc-lookahead", "20",
	)
	return append(args, more...)
}
