package cmaf

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"math"
	"math/big"

	"millrace/job"
)

// AccessUnitSamples is the samples per channel of one AAC-LC access unit.
const AccessUnitSamples = 1024

// AACPriming is the number of samples that ffmpeg's own AAC encoder puts before the
// first real one.
const AACPriming = 1024

// AudioConfig says what an [AudioCutter] must find in ffmpeg's output.
type AudioConfig struct {
	Timeline job.Timeline
	Track    job.AudioTrack
	// PrimingSamples is how many samples the encoder puts before the first
	// real one ([AACPriming]); the edit list hides them.
	PrimingSamples int64
	// Emit is as in [VideoConfig].
	Emit func(context.Context, SegmentData) error
}

// AudioCutter cuts an audio track of the whole job into as many segments as the
// video has. It is used once.
//
// A segment has the access units that begin to be heard before the video
// segment's end and not before its start: the borders are rounded up to whole
// access units, each from the exact border, so they never drift. Every segment has at
// least one access unit; when the last video segment is shorter than that, its
// audio segment takes one from the segment before.
type AudioCutter struct {
	config   AudioConfig
	info     TrackInfo
	writer   segmentWriter
	rate     int64 // samples per second
	expected int64 // access units of the whole track

	segment int   // the one being filled, from 0
	border  int64 // the first access unit after it
	first   int64 // its own first access unit
	units   int64 // read so far
	filled  []sampleInfo
	data    []byte
}

// NewAudioCutter makes a cutter. Cut says whether config can be used.
func NewAudioCutter(config AudioConfig) *AudioCutter { return &AudioCutter{config: config} }

// Piece is what one of several runs of the encoder made, which together make a track.
type Piece struct {
	Output io.Reader // fragmented MP4
	// Skip is how many access units come before the track's own, Take how many these are.
	Skip, Take int64
}

// AllUnits is the Take of a piece of which all that isn't skipped is the track's.
const AllUnits = math.MaxInt64

// Cut reads ffmpeg's output to its end and emits all segments. Errors are as
// with [VideoCutter.Cut]. ffmpeg must have padded or trimmed the sound to the
// timeline's duration: a track that is more than one access unit longer or
// shorter is an EncoderOutputMismatch that says by how much.
func (c *AudioCutter) Cut(ctx context.Context, r io.Reader) (TrackInfo, error) {
	return c.CutPieces(ctx, func(yield func(Piece, error) bool) { yield(Piece{Output: r, Take: AllUnits}, nil) })
}

// CutPieces is Cut for a track that comes in pieces. An error in place of one is passed on.
func (c *AudioCutter) CutPieces(ctx context.Context, pieces iter.Seq2[Piece, error]) (TrackInfo, error) {
	if err := c.validate(); err != nil {
		return TrackInfo{}, err
	}
	for piece, err := range pieces {
		if err == nil {
			err = c.cutPiece(ctx, piece)
		}
		if err != nil {
			return TrackInfo{}, err
		}
	}
	if err := c.finish(ctx); err != nil {
		return TrackInfo{}, err
	}
	return c.info, nil
}

func (c *AudioCutter) cutPiece(ctx context.Context, piece Piece) error {
	var base, units int64 // the decode time of its first access unit, and how many were read
	err := readStream(ctx, piece.Output, c.start, func(s sample) error {
		if units == 0 {
			base = s.decode
		}
		if at := s.decode - base; at != units*AccessUnitSamples {
			return c.mismatch("access unit %d starts at sample %d, expected %d: the sound has a gap", c.units, at, units*AccessUnitSamples)
		}
		units++
		if own := units - piece.Skip; own <= 0 || own > piece.Take {
			return nil
		}
		return c.add(ctx, s)
	})
	if err == nil && piece.Take != AllUnits && units < piece.Skip+piece.Take {
		err = c.mismatch("a piece of the sound has %d access units, expected %d", units, piece.Skip+piece.Take)
	}
	return err
}

func (c *AudioCutter) validate() error {
	config := c.config
	if err := config.Timeline.Validate(); err != nil {
		return fmt.Errorf("cut audio track %s: %w", config.Track.Name, err)
	}
	switch {
	case config.Track.SampleRate <= 0 || int64(config.Track.SampleRate) > math.MaxUint16:
		// A sample entry has 16 bits for it, and AAC has its own table.
		return fmt.Errorf("cut audio track %s: a sample rate of %d", config.Track.Name, config.Track.SampleRate)
	case config.PrimingSamples < 0 || config.PrimingSamples > math.MaxInt32:
		return fmt.Errorf("cut audio track %s: priming of %d samples", config.Track.Name, config.PrimingSamples)
	}
	c.rate = int64(config.Track.SampleRate)
	c.expected = c.unitsBefore(config.Timeline.Frames)
	if segments := int64(config.Timeline.Segments()); c.expected < segments {
		return fmt.Errorf("cut audio track %s: %d access units can't fill %d segments", config.Track.Name, c.expected, segments)
	}
	c.border = c.borderOf(0)
	return nil
}

// unitsBefore is the number of access units that begin to be heard before the
// frame is shown: ⌈(frame×Den/Num×rate + priming) / 1024⌉.
func (c *AudioCutter) unitsBefore(frame int64) int64 {
	// In big integers, because ten hours at 1001/60000 and 48 kHz overflow int64
	// only with rates that somebody will one day send.
	rate := c.config.Timeline.Rate
	num := big.NewInt(rate.Num)
	samples := new(big.Int).Mul(big.NewInt(frame), big.NewInt(rate.Den))
	samples.Mul(samples, big.NewInt(c.rate))
	samples.Add(samples, new(big.Int).Mul(big.NewInt(c.config.PrimingSamples), num))
	unit := new(big.Int).Mul(big.NewInt(AccessUnitSamples), num)
	samples.Add(samples, unit).Sub(samples, big.NewInt(1))
	return samples.Quo(samples, unit).Int64()
}

// borderOf is the first access unit after segment i. Each later segment is
// left at least one.
func (c *AudioCutter) borderOf(i int) int64 {
	later := int64(c.config.Timeline.Segments() - 1 - i)
	border := c.unitsBefore(c.config.Timeline.Segment(i).End)
	return max(c.first+1, min(border, c.expected-later))
}

func (c *AudioCutter) start(input inputTrack) error {
	if input.handler != "soun" {
		return c.mismatch("ffmpeg's output has a %q track, expected sound", input.handler)
	}
	entry, err := parseAudioEntry(input.entry)
	if err != nil {
		return err
	}
	track := c.config.Track
	switch {
	case int64(input.timescale) != c.rate || entry.sampleRate != track.SampleRate:
		return c.mismatch("ffmpeg's output has %d samples a second, expected %d", entry.sampleRate, track.SampleRate)
	case entry.channels != 0 && track.Channels != 0 && entry.channels != track.Channels:
		return c.mismatch("ffmpeg's output has %d channels, expected %d", entry.channels, track.Channels)
	}
	c.writer = segmentWriter{sampleDuration: AccessUnitSamples, sampleFlags: flagsSync}
	header, err := initTrack{
		mediaType: "audio", timescale: input.timescale, entry: entry.raw, mediaTime: c.config.PrimingSamples,
		sampleDuration: AccessUnitSamples, sampleFlags: flagsSync,
	}.encode()
	if err != nil {
		return err
	}
	if c.info.Init != nil && !bytes.Equal(c.info.Init, header) {
		return c.mismatch("a piece of the sound has other headers than those before")
	}
	c.info.Codec, c.info.Init, c.info.Timescale = entry.codec, header, c.rate
	return nil
}

// add takes the next access unit. One that lies past the border emits the segment
// before it, so that there is always one left for the next.
func (c *AudioCutter) add(ctx context.Context, s sample) error {
	if c.units > c.expected {
		return c.mismatch("the sound is longer than the pictures: more than %d access units, expected %d for %s",
			c.units, c.expected, c.config.Timeline.Duration())
	}
	if last := c.config.Timeline.Segments() - 1; c.units >= c.border && c.segment < last {
		if err := c.flush(ctx, len(c.filled)); err != nil {
			return err
		}
	}
	if len(c.data)+len(s.data) > maxSegmentBytes {
		return c.mismatch("segment %d has more than %d bytes", FirstSegment+c.segment, maxSegmentBytes)
	}
	c.filled = append(c.filled, sampleInfo{size: uint32(len(s.data)), sync: true})
	c.data = append(c.data, s.data...)
	c.units++
	return nil
}

// finish checks the total and emits what is left.
func (c *AudioCutter) finish(ctx context.Context) error {
	if off := c.units - c.expected; off < -1 || off > 1 {
		return c.mismatch("the sound has %d access units, expected %d for %s: it differs by %.3f s",
			c.units, c.expected, c.config.Timeline.Duration(), float64(off*AccessUnitSamples)/float64(c.rate))
	}
	last := c.config.Timeline.Segments() - 1
	if c.segment == last-1 && len(c.filled) > 1 {
		// One access unit too few, and it was the last segment's only one.
		if err := c.flush(ctx, len(c.filled)-1); err != nil {
			return err
		}
	}
	if c.segment != last || len(c.filled) == 0 {
		return c.mismatch("the sound ends in segment %d of %d", FirstSegment+c.segment, FirstSegment+last)
	}
	return c.flush(ctx, len(c.filled))
}

// flush emits the first n access units that were filled as a segment.
func (c *AudioCutter) flush(ctx context.Context, n int) error {
	size := 0
	for _, s := range c.filled[:n] {
		size += int(s.size)
	}
	number := FirstSegment + c.segment
	encoded, err := c.writer.encode(number, c.first*AccessUnitSamples, c.filled[:n], c.data[:size])
	if err != nil {
		return err
	}
	start := c.first * AccessUnitSamples
	end := start + int64(n)*AccessUnitSamples
	heard := max(end, c.config.PrimingSamples) - max(start, c.config.PrimingSamples)

	c.filled = c.filled[:copy(c.filled, c.filled[n:])]
	c.data = c.data[:copy(c.data, c.data[size:])]
	c.first += int64(n)
	c.segment++
	if c.segment < c.config.Timeline.Segments() {
		c.border = c.borderOf(c.segment)
	}
	c.info.Segments++
	c.info.Samples += int64(n)
	err = c.config.Emit(ctx, SegmentData{
		Number: number, Name: SegmentName(number), Samples: int64(n), Duration: heard, Bytes: encoded,
	})
	if err != nil {
		return fmt.Errorf("deliver segment %d: %w", number, err)
	}
	return nil
}

func (c *AudioCutter) mismatch(format string, args ...any) *job.Failure {
	return mismatch("audio track %s: %s", c.config.Track.Name, fmt.Sprintf(format, args...))
}
