package cmaf

import (
	"context"
	"fmt"
	"io"
	"math"

	"millrace/job"
)

// VideoConfig says what a [VideoCutter] must find in ffmpeg's output.
type VideoConfig struct {
	Timeline job.Timeline
	// Chunk is the part of the timeline that ffmpeg encodes.
	Chunk job.Chunk
	Codec job.Codec
	// DelayFrames is the B-frame delay that all segments of the job share, in
	// frames. An encoder may need less.
	DelayFrames int64
	// Emit gets each segment, in order, as soon as its last picture is read. It is called
	// from Cut's goroutine; reading waits for it, and with it ffmpeg. An error
	// ends Cut.
	Emit func(context.Context, SegmentData) error
}

// VideoCutter cuts one chunk of one rendition. It is used once.
type VideoCutter struct {
	config VideoConfig
	info   TrackInfo
	entry  visualEntry
	writer segmentWriter

	segment int   // the one being filled, from 0 in the whole track
	end     int   // the segment after the chunk's last
	base    int64 // composition time of the chunk's first frame, once based
	based   bool
	filled  []picture
	data    []byte // the filled pictures' bytes
}

// picture is a sample waiting for its segment to be full.
type picture struct {
	size        int
	composition int64
	sync        bool
}

// NewVideoCutter makes a cutter. Cut says whether config can be used.
func NewVideoCutter(config VideoConfig) *VideoCutter {
	return &VideoCutter{
		config:  config,
		segment: config.Chunk.FirstSegment,
		end:     config.Chunk.FirstSegment + config.Chunk.Segments,
	}
}

// Cut reads ffmpeg's output to its end and emits the chunk's segments. Memory
// is bounded by a few times the size of the largest segment.
//
// A breach of the promises in the package comment is a *job.Failure with the code
// EncoderOutputMismatch; what it says is only worth telling when ffmpeg itself
// ended well, since a killed ffmpeg's output also ends too early. Other errors
// are those of r, of Emit and of ctx. ctx can't interrupt a read: end ffmpeg or
// close r for that. After an error r isn't read any further.
func (c *VideoCutter) Cut(ctx context.Context, r io.Reader) (TrackInfo, error) {
	if err := c.validate(); err != nil {
		return TrackInfo{}, err
	}
	visit := func(s sample) error { return c.add(ctx, s) }
	if err := readStream(ctx, r, c.start, visit); err != nil {
		return TrackInfo{}, err
	}
	if c.segment < c.end {
		frames := c.config.Timeline.Segment(c.segment)
		return TrackInfo{}, c.mismatch("it has %d of its %d frames; the chunk ends %d frames early",
			len(c.filled), frames.Len(), c.config.Chunk.Frames.End-frames.Start-int64(len(c.filled)))
	}
	return c.info, nil
}

func (c *VideoCutter) validate() error {
	config := c.config
	if err := config.Timeline.Validate(); err != nil {
		return fmt.Errorf("cut a chunk: %w", err)
	}
	switch rate, chunk := config.Timeline.Rate, config.Chunk; {
	case rate.Num > math.MaxUint32 || rate.Den > math.MaxUint32:
		return fmt.Errorf("cut a chunk: frame rate %s doesn't fit MP4's 32 bits", rate)
	case chunk.FirstSegment < 0 || chunk.Segments <= 0 || c.end > config.Timeline.Segments():
		return fmt.Errorf("cut a chunk: segments %d to %d of %d", chunk.FirstSegment, c.end-1, config.Timeline.Segments())
	case chunk.Frames != config.Timeline.Chunk(chunk.Index, chunk.FirstSegment, chunk.Segments).Frames:
		return fmt.Errorf("cut a chunk: frames %d to %d aren't those of its segments", chunk.Frames.Start, chunk.Frames.End-1)
	// The shift must fit a composition offset (31 bits).
	case config.DelayFrames < 0 || config.DelayFrames > math.MaxInt32/2/rate.Den:
		return fmt.Errorf("cut a chunk: a delay of %d frames", config.DelayFrames)
	case config.Timeline.Frames > maxTime/rate.Den:
		return fmt.Errorf("cut a chunk: %d frames at %s overflow", config.Timeline.Frames, rate)
	}
	return nil
}

// start takes what ffmpeg's header says.
func (c *VideoCutter) start(input inputTrack) error {
	rate := c.config.Timeline.Rate
	if input.handler != "vide" {
		return mismatch("ffmpeg's output has a %q track, expected pictures", input.handler)
	}
	if int64(input.timescale) != rate.Num {
		return mismatch("ffmpeg's output has %d ticks a second, expected %d; use -video_track_timescale", input.timescale, rate.Num)
	}
	entry, err := parseVisualEntry(c.config.Codec, input.entry)
	if err != nil {
		return err
	}
	c.entry = entry
	c.writer = segmentWriter{sampleDuration: uint32(rate.Den), sampleFlags: flagsNonSync, offsets: true}
	header, err := initTrack{
		mediaType: "video", timescale: uint32(rate.Num), entry: entry.raw,
		width:          uint32(uint64(entry.width) * uint64(entry.pixelWidth) / uint64(entry.pixelHeight)),
		height:         uint32(entry.height),
		mediaTime:      c.config.DelayFrames * rate.Den,
		sampleDuration: uint32(rate.Den), sampleFlags: flagsNonSync,
	}.encode()
	if err != nil {
		return err
	}
	c.info = TrackInfo{Codec: entry.codec, Init: header, Timescale: rate.Num, Width: entry.width, Height: entry.height}
	return nil
}

// add puts the next picture into its segment, and emits the segment when that
// fills it: what counts is the number of pictures, not where ffmpeg's
// fragments end.
func (c *VideoCutter) add(ctx context.Context, s sample) error {
	if c.segment == c.end {
		return mismatch("the chunk has more than its %d frames (%d to %d)",
			c.config.Chunk.Frames.Len(), c.config.Chunk.Frames.Start, c.config.Chunk.Frames.End-1)
	}
	if len(c.data)+len(s.data) > maxSegmentBytes {
		return c.mismatch("it has more than %d bytes", maxSegmentBytes)
	}
	if len(c.filled) == 0 {
		if !s.sync {
			return c.mismatch("it doesn't start with a keyframe; the encoder ignored the one it was told to make")
		}
		if err := checkKeyframe(c.config.Codec, c.entry.nalLength, s.data); err != nil {
			return c.mismatch("its first picture is flagged as a keyframe, but %v", err)
		}
	}
	c.filled = append(c.filled, picture{size: len(s.data), composition: s.composition, sync: s.sync})
	c.data = append(c.data, s.data...)
	if int64(len(c.filled)) < c.config.Timeline.Segment(c.segment).Len() {
		return nil
	}
	return c.flush(ctx)
}

// flush emits the segment that was filled.
func (c *VideoCutter) flush(ctx context.Context) error {
	frames := c.config.Timeline.Segment(c.segment)
	den := c.config.Timeline.Rate.Den
	samples, err := c.place(frames)
	if err != nil {
		return err
	}
	number := FirstSegment + c.segment
	encoded, err := c.writer.encode(number, frames.Start*den, samples, c.data)
	if err != nil {
		return err
	}
	c.filled, c.data = c.filled[:0], c.data[:0]
	c.segment++
	c.info.Segments++
	c.info.Samples += frames.Len()
	err = c.config.Emit(ctx, SegmentData{
		Number: number, Name: SegmentName(number),
		Samples: frames.Len(), Duration: frames.Len() * den, Bytes: encoded,
	})
	if err != nil {
		return fmt.Errorf("deliver segment %d: %w", number, err)
	}
	return nil
}

// place finds each filled picture's frame on the timeline and checks that they
// are the segment's frames, each once and the keyframe first.
func (c *VideoCutter) place(frames job.FrameRange) ([]sampleInfo, error) {
	den := c.config.Timeline.Rate.Den
	if !c.based {
		// Where ffmpeg's clock starts is its own affair: the earliest picture of
		// the chunk is the chunk's first frame.
		c.base, c.based = c.filled[0].composition, true
	}
	samples := make([]sampleInfo, len(c.filled))
	taken := make([]bool, len(c.filled))
	for i, p := range c.filled {
		ticks := p.composition - c.base
		frame := c.config.Chunk.Frames.Start + ticks/den
		shown := frame - frames.Start // within the segment
		switch {
		case ticks%den != 0:
			return nil, c.mismatch("its sample %d lies between two frames (%d/%d past frame %d)", i, ticks%den, den, frame)
		case shown < 0 || shown >= frames.Len():
			return nil, c.mismatch("its sample %d is frame %d; the group of pictures isn't closed or frames are missing", i, frame)
		case taken[shown]:
			return nil, c.mismatch("it has frame %d twice", frame)
		case i == 0 && shown != 0:
			return nil, c.mismatch("its keyframe is shown as frame %d, after others", frame)
		}
		taken[shown] = true
		delay := int64(i) - shown
		if delay > c.config.DelayFrames {
			return nil, c.mismatch("frame %d is decoded %d frames late, the job's delay is %d", frame, delay, c.config.DelayFrames)
		}
		c.info.DelayFrames = max(c.info.DelayFrames, delay)
		offset := (shown - int64(i) + c.config.DelayFrames) * den
		if offset > math.MaxInt32 {
			return nil, c.mismatch("frame %d is decoded %d frames early", frame, -delay)
		}
		samples[i] = sampleInfo{size: uint32(p.size), sync: p.sync, offset: int32(offset)}
	}
	return samples, nil
}

// mismatch names the segment that is being filled.
func (c *VideoCutter) mismatch(format string, args ...any) *job.Failure {
	frames := c.config.Timeline.Segment(c.segment)
	return mismatch("segment %d (frames %d to %d): %s", FirstSegment+c.segment, frames.Start, frames.End-1, fmt.Sprintf(format, args...))
}
