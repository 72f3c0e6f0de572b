package job

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Resolution is what a request asks for: the short side of the picture in
// pixels, written "720p".
type Resolution int

// Resolutions lists the ones a request may name, smallest first.
var Resolutions = []Resolution{240, 360, 480, 720, 1080, 1440, 2160}

// ParseResolution reads "720p". The error names what is allowed.
func ParseResolution(text string) (Resolution, error) {
	digits, found := strings.CutSuffix(text, "p")
	if found && digits != "" && digits[0] != '0' && digits[0] != '+' {
		if lines, err := strconv.Atoi(digits); err == nil && slices.Contains(Resolutions, Resolution(lines)) {
			return Resolution(lines), nil
		}
	}
	return 0, fmt.Errorf("%q is not a resolution that can be made; use one of %s", text, resolutionNames())
}

func resolutionNames() string {
	names := make([]string, len(Resolutions))
	for i, r := range Resolutions {
		names[i] = r.String()
	}
	return strings.Join(names, ", ")
}

func (r Resolution) String() string { return strconv.Itoa(int(r)) + "p" }

// MarshalText writes "720p".
func (r Resolution) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what MarshalText wrote. It takes any positive number of
// lines, so that state written by a newer peer stays readable.
func (r *Resolution) UnmarshalText(text []byte) error {
	lines, err := strconv.Atoi(strings.TrimSuffix(string(text), "p"))
	if err != nil || lines <= 0 {
		return fmt.Errorf("read a resolution: %q", text)
	}
	*r = Resolution(lines)
	return nil
}

// Codec is a video codec by its API name.
type Codec string

// The codecs a job can ask for.
const (
	H264 Codec = "h264"
	HEVC Codec = "hevc"
	AV1  Codec = "av1"
)

// Quality is how much work an encoder puts into each frame.
type Quality string

// The quality levels a job can ask for.
const (
	Economy  Quality = "economy"
	Standard Quality = "standard"
	High     Quality = "high"
)

// OutputKind is something a job can deliver.
type OutputKind string

// What a job can deliver.
const (
	HLS        OutputKind = "hls"
	DASH       OutputKind = "dash"
	MP4        OutputKind = "mp4"
	Thumbnails OutputKind = "thumbnails"
)

// Rendition is one rung of a job's ladder.
type Rendition struct {
	Name   string `json:"name"` // "720p": the short side of the coded picture
	Width  int    `json:"width"`
	Height int    `json:"height"` // pixels as displayed, both even
	Codec  Codec  `json:"codec"`
	// Encoder is the encoder that makes every chunk of this rendition
	// ("libx264"), so that all chunks have the same bitstream parameters.
	Encoder string `json:"encoder"`
	// CRF is the encoder's constant-quality target on its own scale; the rate
	// is capped by MaxBitsPerSecond over a decoder buffer of BufferBits.
	CRF              float64 `json:"crf"`
	MaxBitsPerSecond int64   `json:"max_bits_per_second"`
	BufferBits       int64   `json:"buffer_bits"`
	// Note says, for people, how the rendition differs from what was asked.
	Note string `json:"note,omitempty"`
}

// AudioTrack is one audio rendition, encoded once for the whole job.
type AudioTrack struct {
	Name          string `json:"name"`     // folder-safe: "1", "2", …
	Stream        int    `json:"stream"`   // index among the source's audio streams, from 0
	Language      string `json:"language"` // BCP 47, "und" when the source doesn't say
	Label         string `json:"label"`    // for a player's menu
	Channels      int    `json:"channels"`
	SampleRate    int    `json:"sample_rate"` // samples per second per channel
	BitsPerSecond int64  `json:"bits_per_second"`
	Default       bool   `json:"default"`
}
