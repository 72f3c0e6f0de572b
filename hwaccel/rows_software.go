package hwaccel

import (
	"strings"

	"millrace/job"
)

// softwareRows are the encoders on the CPU. The presets are these because:
// standard is the class that live ladders are made with, so that a comparison
// with a plain ffmpeg of that preset is fair; economy is about twice as fast;
// high about a third as fast. The CRFs of a quality look alike from codec to
// codec.
var softwareRows = []Row{
	{
		Encoder: "libx264", Codec: job.H264, Kind: CPU,
		PixelFormat: "yuv420p", PixelFormat10: "yuv420p10le", Scaler: "scale", ScalerOptions: "flags=lanczos",
		DelayFrames: 2, // B-frames that are references of others
		Presets:     map[job.Quality]string{job.Economy: "superfast", job.Standard: "veryfast", job.High: "medium"},
		CRF:         map[job.Quality]float64{job.Economy: 24, job.Standard: 23, job.High: 21},
		quality:     softwareQuality, specific: x264,
	},
	{
		Encoder: "libx265", Codec: job.HEVC, Kind: CPU,
		PixelFormat: "yuv420p", PixelFormat10: "yuv420p10le", Scaler: "scale", ScalerOptions: "flags=lanczos",
		DelayFrames: 2,
		Presets:     map[job.Quality]string{job.Economy: "ultrafast", job.Standard: "veryfast", job.High: "medium"},
		CRF:         map[job.Quality]float64{job.Economy: 28, job.Standard: 26, job.High: 24},
		quality:     softwareQuality, specific: x265,
	},
	{
		Encoder: "libsvtav1", Codec: job.AV1, Kind: CPU,
		PixelFormat: "yuv420p", PixelFormat10: "yuv420p10le", Scaler: "scale", ScalerOptions: "flags=lanczos",
		DelayFrames: 0, // AV1 hides what it doesn't show: packets are in the order of pictures
		Presets:     map[job.Quality]string{job.Economy: "12", job.Standard: "10", job.High: "7"},
		CRF:         map[job.Quality]float64{job.Economy: 38, job.Standard: 35, job.High: 32},
		quality:     softwareQuality, specific: svtav1,
	},
}

// softwareQuality is how much work is put into which quality.
func softwareQuality(r Row, s Settings) []string {
	return []string{"-preset", r.Presets[s.Quality], "-crf", decimal(s.Rendition.CRF)}
}

func x264(s Settings) []string {
	// No -forced-idr: x264 itself makes an IDR of an I-frame that is due, and
	// warns at its fastest presets if it was told to.
	args := append(rateCap(s), keyframes(s)...)
	// bf is the presets' own number; it is spelled out since DelayFrames rests on it.
	args = append(args, "-sc_threshold", "0", "-bf", "3", "-profile:v", depthProfile(s, "high", "high10"), "-threads", integer(s.Threads))
	if s.Threads == 1 {
		args = append(args, "-x264-params", "lookahead-threads=1:sliced-threads=0")
	}
	return args
}

func x265(s Settings) []string {
	params := []string{
		"log-level=error",
		// The parameter sets are in the init segment and the list of options
		// (which names the number of threads) is nowhere.
		"repeat-headers=0", "info=0",
		"open-gop=0", "scenecut=0", "bframes=3", "b-pyramid=1",
		"keyint=" + integer(s.SegmentFrames), "min-keyint=" + integer(s.SegmentFrames),
		// Wavefronts show in the parameter sets, so they can't be for some chunks only.
		"wpp=0",
	}
	switch {
	case s.Threads == 1:
		params = append(params, "pools=none", "frame-threads=1", "lookahead-slices=0", "pmode=0", "pme=0")
	case s.Threads > 1:
		params = append(params, "pools="+integer(s.Threads))
	}
	args := append(rateCap(s), keyframes(s)...)
	return append(args, "-forced-idr", "1", "-tag:v", "hvc1", "-profile:v", depthProfile(s, "main", "main10"), "-x265-params", strings.Join(params, ":"))
}

func svtav1(s Settings) []string {
	params := []string{"scd=0", "enable-overlays=0", "irefresh-type=2"} // 2: keyframes, not forward ones
	if s.Threads > 0 {
		params = append(params, "lp="+integer(s.Threads))
	}
	if s.Rendition.MaxBitsPerSecond > 0 {
		// The wrapper's own -maxrate is for other modes; here it is in kbit/s.
		params = append(params, "mbr="+integer(max(1, s.Rendition.MaxBitsPerSecond/1000)))
	}
	return []string{"-svtav1-params", strings.Join(params, ":")}
}

// depthProfile picks by the depth of the pictures.
func depthProfile(s Settings, eight, ten string) string {
	if s.TenBit {
		return ten
	}
	return eight
}
