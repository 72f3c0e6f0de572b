package ffmpeg

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"millrace/job"
)

// loose is a JSON value that should be a number or a string and may be anything:
// ffprobe writes some numbers as strings, "N/A" for what it doesn't know, and
// "nan" for what it shouldn't.
type loose string

func (l *loose) UnmarshalJSON(text []byte) error {
	*l = ""
	text = bytes.TrimSpace(text)
	if len(text) == 0 || text[0] == '{' || text[0] == '[' || bytes.Equal(text, []byte("null")) {
		return nil
	}
	if text[0] != '"' {
		*l = loose(text)
		return nil
	}
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	if s != "N/A" {
		*l = loose(s)
	}
	return nil
}

func (l loose) text() string { return cleanLine(string(l)) }

// word is a text from ffmpeg's own vocabulary; "unknown" is none.
func (l loose) word() string {
	if l == "unknown" {
		return ""
	}
	return l.text()
}

func (l loose) integer() (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(string(l)), 10, 64)
	return n, err == nil
}

func (l loose) int64() int64 {
	n, _ := l.integer()
	return n
}

// int is for what fits easily; what doesn't is nonsense and becomes 0.
func (l loose) int() int {
	n := l.int64()
	if n < math.MinInt32 || n > math.MaxInt32 {
		return 0
	}
	return int(n)
}

func (l loose) pointer() *int64 {
	if n, ok := l.integer(); ok {
		return &n
	}
	return nil
}

func (l loose) float() float64 {
	f, err := strconv.ParseFloat(strings.TrimSpace(string(l)), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return f
}

// seconds reads "-12.345678" exactly, to the nanosecond.
func (l loose) seconds() Time {
	text := strings.TrimSpace(string(l))
	if text == "" || strings.ContainsAny(text, "hmsuµn") { // units that ParseDuration would take, and nan
		return Time{}
	}
	d, err := time.ParseDuration(text + "s")
	if err != nil {
		return Time{}
	}
	return Time{Duration: d, Known: true}
}

// rational reads "30000/1001" and "1:1"; what has a zero in it is unknown.
func (l loose) rational() job.Rational {
	num, den, found := strings.Cut(string(l), "/")
	if !found {
		num, den, found = strings.Cut(string(l), ":")
	}
	n, okN := loose(num).integer()
	d, okD := loose(den).integer()
	if !found || !okN || !okD || n <= 0 || d <= 0 {
		return job.Rational{}
	}
	return job.Rational{Num: n, Den: d}
}

// maxTags bounds how many tags of a stream are kept.
const maxTags = 64

func cleanTags(raw map[string]loose) map[string]string {
	tags := make(map[string]string, min(len(raw), maxTags))
	for key, value := range raw {
		if len(tags) == maxTags {
			break
		}
		tags[strings.ToLower(cleanLine(key))] = value.text()
	}
	return tags
}

type rawSideData struct {
	Type     loose `json:"side_data_type"`
	Rotation loose `json:"rotation"`
}

type rawStream struct {
	Index         loose            `json:"index"`
	Type          loose            `json:"codec_type"`
	Codec         loose            `json:"codec_name"`
	CodecTag      loose            `json:"codec_tag_string"`
	Profile       loose            `json:"profile"`
	Level         loose            `json:"level"`
	Width         loose            `json:"width"`
	Height        loose            `json:"height"`
	PixelFormat   loose            `json:"pix_fmt"`
	BitsPerSample loose            `json:"bits_per_raw_sample"`
	SampleAspect  loose            `json:"sample_aspect_ratio"`
	FieldOrder    loose            `json:"field_order"`
	ColorRange    loose            `json:"color_range"`
	ColorSpace    loose            `json:"color_space"`
	ColorTransfer loose            `json:"color_transfer"`
	ColorPrimary  loose            `json:"color_primaries"`
	BFrames       loose            `json:"has_b_frames"`
	RealRate      loose            `json:"r_frame_rate"`
	AverageRate   loose            `json:"avg_frame_rate"`
	SampleRate    loose            `json:"sample_rate"`
	Channels      loose            `json:"channels"`
	ChannelLayout loose            `json:"channel_layout"`
	TimeBase      loose            `json:"time_base"`
	StartPTS      loose            `json:"start_pts"`
	Start         loose            `json:"start_time"`
	Duration      loose            `json:"duration"`
	Frames        loose            `json:"nb_frames"`
	DecodedFrames loose            `json:"nb_read_frames"`
	BitRate       loose            `json:"bit_rate"`
	Disposition   map[string]loose `json:"disposition"`
	Tags          map[string]loose `json:"tags"`
	SideData      []rawSideData    `json:"side_data_list"`
}

type rawProbe struct {
	Format struct {
		Name     loose            `json:"format_name"`
		Start    loose            `json:"start_time"`
		Duration loose            `json:"duration"`
		Size     loose            `json:"size"`
		BitRate  loose            `json:"bit_rate"`
		Score    loose            `json:"probe_score"`
		Tags     map[string]loose `json:"tags"`
	} `json:"format"`
	Streams []rawStream `json:"streams"`
	Packets []struct {
		Stream   loose         `json:"stream_index"`
		PTS      loose         `json:"pts"`
		DTS      loose         `json:"dts"`
		Duration loose         `json:"duration"`
		Flags    loose         `json:"flags"`
		Position loose         `json:"pos"`
		Size     loose         `json:"size"`
		SideData []rawSideData `json:"side_data_list"`
	} `json:"packets"`
}

// parseProbe reads ffprobe's JSON.
func parseProbe(text []byte) (*ProbeResult, error) {
	var raw rawProbe
	// Tags are copied as they are in the file: not always UTF-8.
	if err := json.Unmarshal(bytes.ToValidUTF8(text, []byte("\uFFFD")), &raw); err != nil {
		return nil, fmt.Errorf("read ffprobe's answer: %w", err)
	}
	result := &ProbeResult{Format: Format{
		Name: raw.Format.Name.text(), Start: raw.Format.Start.seconds(), Duration: raw.Format.Duration.seconds(),
		Size: raw.Format.Size.int64(), BitRate: raw.Format.BitRate.int64(), ProbeScore: raw.Format.Score.int(),
		Tags: cleanTags(raw.Format.Tags),
	}}
	for _, s := range raw.Streams {
		result.Streams = append(result.Streams, s.stream())
	}
	for _, p := range raw.Packets {
		result.Packets = append(result.Packets, Packet{
			Stream: p.Stream.int(), PTS: p.PTS.pointer(), DTS: p.DTS.pointer(), Duration: p.Duration.int64(),
			Key: strings.HasPrefix(string(p.Flags), "K"), Discard: strings.Contains(string(p.Flags), "D"),
			Position: p.Position.pointer(), Size: p.Size.int64(), SideData: sideData(p.SideData),
		})
	}
	return result, nil
}

func (s *rawStream) stream() Stream {
	disposition := make(map[string]bool, len(s.Disposition))
	for key, value := range s.Disposition {
		disposition[key] = value.int() != 0
	}
	return Stream{
		Index: s.Index.int(), Type: s.Type.text(), Codec: s.Codec.word(), CodecTag: s.CodecTag.text(),
		Profile: s.Profile.word(), Level: s.Level.int(),
		Width: s.Width.int(), Height: s.Height.int(), PixelFormat: s.PixelFormat.word(), BitsPerSample: s.BitsPerSample.int(),
		SampleAspect: s.SampleAspect.rational(), FieldOrder: s.FieldOrder.word(),
		ColorRange: s.ColorRange.word(), ColorSpace: s.ColorSpace.word(), ColorTransfer: s.ColorTransfer.word(), ColorPrimary: s.ColorPrimary.word(),
		BFrames: s.BFrames.int(), RealRate: s.RealRate.rational(), AverageRate: s.AverageRate.rational(),
		SampleRate: s.SampleRate.int(), Channels: s.Channels.int(), ChannelLayout: s.ChannelLayout.word(),
		TimeBase: s.TimeBase.rational(), StartPTS: s.StartPTS.pointer(), Start: s.Start.seconds(), Duration: s.Duration.seconds(),
		Frames: s.Frames.int64(), DecodedFrames: s.DecodedFrames.int64(), BitRate: s.BitRate.int64(),
		Default: disposition["default"], AttachedPicture: disposition["attached_pic"],
		Disposition: disposition, Tags: cleanTags(s.Tags), SideData: sideData(s.SideData),
	}
}

func sideData(raw []rawSideData) []SideData {
	var list []SideData
	for _, data := range raw {
		list = append(list, SideData{Type: data.Type.text(), Rotation: data.Rotation.float()})
	}
	return list
}
