package hwaccel

import (
	"fmt"
	"regexp"
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
	API     API // how ffmpeg drives the device; NoAPI in software
	// PixelFormat is what the encoder is fed with, as ffmpeg calls it in memory;
	// PixelFormat10 the same for pictures of 10 bits, empty if it takes none.
	PixelFormat, PixelFormat10 string
	// Scaler and ScalerOptions are the filter that scales in memory and what it
	// is given besides the size. On the device it is the [Surface]'s.
	Scaler, ScalerOptions string
	// DelayFrames is the B-frame delay: by how many frames the first decode time
	// lies before the first picture. It is what the encoder's own header says
	// for the arguments below, whatever the pictures are, or more: rows of one
	// codec have the same, so that a job can change to another.
	DelayFrames int64
	// Sessions is how many of the driver's encode sessions one output takes; 0
	// where nobody counts them.
	Sessions int
	// Presets and CRF are by quality, on the encoder's own scales.
	Presets map[job.Quality]string
	CRF     map[job.Quality]float64
	// Features are the options that some devices of the kind refuse.
	Features []Feature

	// lacking is what stands in for an option that a build doesn't declare:
	// nothing, or other options with their values.
	lacking map[string][]string
	// quality is the arguments that say how good the pictures shall be, and
	// specific those that this encoder alone needs.
	quality  func(Row, Settings) []string
	specific func(Settings) []string
}

// Feature is something that older devices of a kind can't do, and that an
// encode is better for, but possible without.
type Feature struct {
	Name    string         // for people: "B-frames as references"
	refused *regexp.Regexp // in ffmpeg's log
	options []string       // which ask for it, without the dash
	instead []string       // arguments in their place
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
	// TenBit encodes pictures of 10 bits.
	TenBit bool
	// OnDevice says that the pictures lie on the encoder's device already.
	OnDevice bool
	// Declared says whether this build of ffmpeg has an option of the encoder
	// (without the dash); nil: it has all.
	Declared func(option string) bool
	// Without names the row's features that this device refuses.
	Without []string
}

// rows is the table, in the order in which encoders of a codec are preferred.
var rows = slices.Concat(nvencRows, qsvRows, vaapiRows, softwareRows)

// Rows lists every encoder, those that are preferred first: the ones that leave
// the CPU to other work.
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

// Format is what the encoder is fed with in memory.
func (r Row) Format(tenBit bool) string {
	if tenBit {
		return r.PixelFormat10
	}
	return r.PixelFormat
}

// Scale is the filter that makes frames of width × height pixels in memory.
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
	args := []string{"-c:v", r.Encoder}
	if !s.OnDevice {
		args = append(args, "-pix_fmt", r.Format(s.TenBit))
	}
	args = append(args, r.quality(r, s)...)
	args = append(args, "-g", integer(s.SegmentFrames))
	args = append(args, r.specific(s)...)
	args = append(args,
		"-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv",
	)
	return r.lack(r.refuse(args, s.Without), s.Declared)
}

// refuse takes out what asks for features that the device doesn't have.
func (r Row) refuse(args, without []string) []string {
	for _, feature := range r.Features {
		if !slices.Contains(without, feature.Name) {
			continue
		}
		kept := make([]string, 0, len(args))
		for pair := range slices.Chunk(args, 2) {
			if !slices.Contains(feature.options, optionName(pair[0])) {
				kept = append(kept, pair...)
			}
		}
		kept = append(kept, feature.instead...)
		args = kept
	}
	return args
}

// lack replaces what a build doesn't declare, as far as there is a rule for it.
// An option without a rule stays: ffmpeg's own complaint is then the answer.
func (r Row) lack(args []string, declared func(string) bool) []string {
	if declared == nil {
		return args
	}
	kept := make([]string, 0, len(args))
	for pair := range slices.Chunk(args, 2) {
		name := optionName(pair[0])
		instead, rule := r.lacking[name]
		if rule && !declared(name) {
			kept = append(kept, instead...)
			continue
		}
		kept = append(kept, pair...)
	}
	return kept
}

// optionName is an option without its dash and stream: "-b:v" is "b".
func optionName(arg string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(arg, "-"), ":")
	return name
}

// refused finds the features that ffmpeg's log says that the device refuses.
func (r Row) refused(log string) []string {
	var names []string
	for _, feature := range r.Features {
		if feature.refused.MatchString(log) {
			names = append(names, feature.Name)
		}
	}
	return names
}

// forcedKeyframes put a keyframe at each segment's start.
func forcedKeyframes(s Settings) []string {
	return []string{"-force_key_frames", fmt.Sprintf("expr:gte(n,n_forced*%d)", s.SegmentFrames)}
}

// keyframes are forced ones for encoders that also heed the least distance.
func keyframes(s Settings) []string {
	return append([]string{"-keyint_min", integer(s.SegmentFrames)}, forcedKeyframes(s)...)
}

// rateCap limits the rate over a decoder's buffer, where the rendition asks for it.
func rateCap(s Settings) []string {
	if s.Rendition.MaxBitsPerSecond <= 0 {
		return nil
	}
	return []string{"-maxrate", integer(s.Rendition.MaxBitsPerSecond), "-bufsize", integer(bufferBits(s))}
}

func bufferBits(s Settings) int64 {
	if s.Rendition.BufferBits > 0 {
		return s.Rendition.BufferBits
	}
	return 2 * s.Rendition.MaxBitsPerSecond
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
