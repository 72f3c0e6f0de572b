package ffmpeg

import (
	"math"
	"strings"
	"time"

	"millrace/job"
)

// ProbeResult is what a source's headers say about it: claims, not facts. What
// a source does not say, or says in a way that can't be read, is the zero value.
// Text is cleaned and bounded, but it is still the uploader's text.
type ProbeResult struct {
	Format  Format
	Streams []Stream
	Packets []Packet // only if asked for
}

// Format is the container.
type Format struct {
	Name       string // ffmpeg's demuxer name, "mov,mp4,m4a,3gp,3g2,mj2"
	Start      Time
	Duration   Time
	Size       int64 // bytes
	BitRate    int64 // bits per second
	ProbeScore int   // 0 … 100: how sure ffmpeg is of the container
	Tags       map[string]string
}

// Stream is one stream of the source.
type Stream struct {
	Index    int    // among all streams
	Type     string // "video", "audio", "subtitle", "data", "attachment"
	Codec    string // "h264"; empty if ffmpeg does not know it
	CodecTag string // "avc1"
	Profile  string
	Level    int

	Width, Height int // as coded: before rotation and pixel aspect
	PixelFormat   string
	BitsPerSample int // of pictures; 0 if unknown
	SampleAspect  job.Rational
	FieldOrder    string // "progressive", "tt", "bb", "tb", "bt" or ""
	ColorRange    string // "tv", "pc"
	ColorSpace    string // "bt709", …: these are empty when unknown
	ColorTransfer string
	ColorPrimary  string
	BFrames       int // the decoder's reordering delay in frames
	RealRate      job.Rational
	AverageRate   job.Rational

	SampleRate    int // samples per second
	Channels      int
	ChannelLayout string

	TimeBase job.Rational // seconds per tick of StartPTS
	StartPTS *int64       // nil if unknown
	Start    Time
	Duration Time
	Frames   int64 // as the container counts, 0 if it doesn't
	BitRate  int64 // bits per second
	// DecodedFrames is what decoding the whole stream gave, if that was asked
	// for with "-count_frames".
	DecodedFrames int64

	Default         bool
	AttachedPicture bool // a cover, not moving pictures
	Disposition     map[string]bool
	Tags            map[string]string // keys in lower case
	SideData        []SideData
}

// SideData is further knowledge about a stream or packet.
type SideData struct {
	Type     string // "Display Matrix", "Mastering display metadata", …
	Rotation float64
}

// Packet is one packet's place in the file.
type Packet struct {
	Stream   int
	PTS, DTS *int64 // nil if unknown
	Duration int64
	Key      bool
	Discard  bool   // an edit list says not to show it
	Position *int64 // of its first byte in the file, nil if unknown
	Size     int64  // bytes
	SideData []SideData
}

// Time is a time that a source claims; zero and unknown are different.
type Time struct {
	Duration time.Duration
	Known    bool
}

// Language is the stream's language tag, "und" when it has none.
func (s *Stream) Language() string {
	if language := strings.TrimSpace(s.Tags["language"]); language != "" {
		return language
	}
	return "und"
}

// Rotation is by how many degrees, clockwise, the coded picture must be turned
// to stand upright: 0, 90, 180 or 270. ffmpeg's decoder does so by itself.
func (s *Stream) Rotation() int {
	for _, data := range s.SideData {
		if data.Type == "Display Matrix" {
			quarters := int(math.Round(-data.Rotation / 90))
			return (quarters%4 + 4) % 4 * 90
		}
	}
	return 0
}

// Interlaced says whether the stream declares fields rather than whole frames.
func (s *Stream) Interlaced() bool {
	switch s.FieldOrder {
	case "tt", "bb", "tb", "bt":
		return true
	}
	return false
}

// HDR says whether the stream's light is PQ or HLG.
func (s *Stream) HDR() bool {
	return s.ColorTransfer == "smpte2084" || s.ColorTransfer == "arib-std-b67"
}

// Encrypted says whether something in the headers, or in the packets if they
// were asked for, tells of encryption. Packets of CENC files do and their
// headers don't always: probe with "-show_packets -read_intervals %+#1" to know.
func (r *ProbeResult) Encrypted() bool {
	for _, s := range r.Streams {
		switch s.CodecTag {
		case "encv", "enca", "drmi", "drms":
			return true
		}
		if tellsOfEncryption(s.SideData) {
			return true
		}
	}
	for _, p := range r.Packets {
		if tellsOfEncryption(p.SideData) {
			return true
		}
	}
	return false
}

func tellsOfEncryption(list []SideData) bool {
	for _, data := range list {
		if strings.HasPrefix(strings.ToLower(data.Type), "encryption") {
			return true
		}
	}
	return false
}
