package hwaccel

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"millrace/job"
)

// Row is all that is known about an encoder. Rows are read-only.
type Row struct {
	Encoder string // ffmpeg's name
	Codec   job.Codec
	Kind    DeviceKind
	// PixelFormat is what the encoder is fed with.
	PixelFormat string
	// Upload is the filters that bring frames from memory to the device; empty
	// where they stay in memory.
	Upload string
	// Scaler is the filter that scales on the device, and ScalerOptions what it
	// is given besides the size.
	Scaler, ScalerOptions string
	// DelayFrames is the B-frame delay: by how many frames the first decode time
	// lies before the first picture. It is what the encoder's own header says
	// for the arguments below, whatever the pictures are.
	DelayFrames int64
	// Presets and CRF are by quality, on the encoder's own scales.
	Presets map[job.Quality]string
	CRF     map[job.Quality]float64

	// specific are the arguments that this encoder alone needs.
	specific func(Settings) []string
}

// Settings are what one output of ffmpeg is to be encoded like.
type Settings struct {
	// Rendition gives CRF (0: the row's own for the quality) and the cap on the rate.
	Rendition     job.Rendition
	Quality       job.Quality // empty: Standard
	SegmentFrames int64       // a keyframe starts each segment, and stands nowhere else
	// Threads bounds the encoder's threads; 1 makes it use one thread and no
	// helpers, 0 leaves it to the encoder.
	Threads int
}

// rows is the table. The presets are these because: standard is the class that
// live ladders are made with, so that a comparison with a plain ffmpeg of that
// preset is fair; economy is about twice as fast; high about a third as fast.
// The CRFs of a quality look alike from codec to codec.
var rows = []Row{
	{
		Encoder: "libx264", Codec: job.H264, Kind: CPU,
		PixelFormat: "yuv420p", Scaler: "scale", ScalerOptions: "flags=lanczos",
		DelayFrames: 2, // B-frames that are references of others
		Presets:     map[job.Quality]string{job.Economy: "superfast", job.Standard: "veryfast", job.High: "medium"},
		CRF:         map[job.Quality]float64{job.Economy: 24, job.Standard: 23, job.High: 21},
		specific:    x264,
	},
	{
		Encoder: "libx265", Codec: job.HEVC, Kind: CPU,
		PixelFormat: "yuv420p", Scaler: "scale", ScalerOptions: "flags=lanczos",
		DelayFrames: 2,
		Presets:     map[job.Quality]string{job.Economy: "ultrafast", job.Standard: "veryfast", job.High: "medium"},
		CRF:         map[job.Quality]float64{job.Economy: 28, job.Standard: 26, job.High: 24},
		specific:    x265,
	},
	{
		Encoder: "libsvtav1", Codec: job.AV1, Kind: CPU,
		PixelFormat: "yuv420p", Scaler: "scale", ScalerOptions: "flags=lanczos",
		DelayFrames: 0, // AV1 hides what it doesn't show: packets are in the order of pictures
		Presets:     map[job.Quality]string{job.Economy: "12", job.Standard: "10", job.High: "7"},
		CRF:         map[job.Quality]float64{job.Economy: 38, job.Standard: 35, job.High: 32},
		specific:    svtav1,
	},
}

// Rows lists every encoder, in the order in which they are preferred on a
// device of their kind.
func Rows() []Row { return slices.Clone(rows) }

// Encoder finds the row of an encoder by ffmpeg's name.
func Encoder(name string) (Row, bool) {
	i := slices.IndexFunc(rows, func(r Row) bool { return r.Encoder == name })
	if i < 0 {
		return Row{}, false
	}
	return rows[i], true
}

// EncodersFor lists the rows that make codec on devices of a kind.
func EncodersFor(codec job.Codec, kind DeviceKind) []Row {
	var list []Row
	for _, r := range rows {
		if r.Codec == codec && r.Kind == kind {
			list = append(list, r)
		}
	}
	return list
}

// Scale is the filter that makes frames of width × height pixels on the device.
func (r Row) Scale(width, height int) string {
	filter := fmt.Sprintf("%s=w=%d:h=%d", r.Scaler, width, height)
	if r.ScalerOptions != "" {
		filter += ":" + r.ScalerOptions
	}
	return filter
}

// Args are ffmpeg's arguments for one output, from "-c:v" on, without container
// and destination: quality capped by rate, closed groups of pictures of exactly
// SegmentFrames each, colours tagged as BT.709.
//
// Chunks of one rendition are made by many runs, so all that ends up in the init
// segment must be the same in each of them, whatever the number of threads.
func (r Row) Args(s Settings) []string {
	if s.Quality == "" {
		s.Quality = job.Standard
	}
	if s.Rendition.CRF == 0 {
		s.Rendition.CRF = r.CRF[s.Quality]
	}
	args := []string{
		"-c:v", r.Encoder, "-pix_fmt", r.PixelFormat,
		"-preset", r.Presets[s.Quality],
		"-crf", decimal(s.Rendition.CRF),
		"-g", integer(s.SegmentFrames),
	}
	args = append(args, r.specific(s)...)
	return append(args,
		"-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv",
	)
}

// keyframes make the encoder put a keyframe at each segment's start.
func keyframes(s Settings) []string {
	return []string{
		"-keyint_min", integer(s.SegmentFrames),
		"-force_key_frames", fmt.Sprintf("expr:gte(n,n_forced*%d)", s.SegmentFrames),
	}
}

// rateCap limits the rate over a decoder's buffer, where the rendition asks for it.
func rateCap(s Settings) []string {
	if s.Rendition.MaxBitsPerSecond <= 0 {
		return nil
	}
	buffer := s.Rendition.BufferBits
	if buffer <= 0 {
		buffer = 2 * s.Rendition.MaxBitsPerSecond
	}
	return []string{"-maxrate", integer(s.Rendition.MaxBitsPerSecond), "-bufsize", integer(buffer)}
}

func x264(s Settings) []string {
	// No -forced-idr: x264 itself makes an IDR of an I-frame that is due, and
	// warns at its fastest presets if it was told to.
	args := append(rateCap(s), keyframes(s)...)
	// bf is the presets' own number; it is spelled out since DelayFrames rests on it.
	args = append(args, "-sc_threshold", "0", "-bf", "3", "-profile:v", "high", "-threads", integer(s.Threads))
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
	return append(args, "-forced-idr", "1", "-tag:v", "hvc1", "-profile:v", "main", "-x265-params", strings.Join(params, ":"))
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

// ThreadArgs bound the threads of everything that is not an encoder: global
// ones stand before all inputs, input ones before their "-i". 0 leaves them to ffmpeg.
func ThreadArgs(threads int) (global, input []string) {
	if threads <= 0 {
		return nil, nil
	}
	n := integer(threads)
	return []string{"-filter_threads", n, "-filter_complex_threads", n}, []string{"-threads", n}
}

func integer[T int | int64](n T) string { return strconv.FormatInt(int64(n), 10) }

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
