package job

import (
	"fmt"
	"time"
)

// Rational is an exact fraction. The zero value is not a number.
type Rational struct {
	Num int64 `json:"num"`
	Den int64 `json:"den"`
}

func (r Rational) String() string { return fmt.Sprintf("%d/%d", r.Num, r.Den) }

// Float is the nearest float64, for display and for estimates only.
func (r Rational) Float() float64 { return float64(r.Num) / float64(r.Den) }

// Timeline is the output's frame grid. Every cut is a frame number on it,
// never a float of seconds.
type Timeline struct {
	// Rate is in frames per second. Frame n is shown from n×Den/Num seconds on.
	Rate Rational `json:"rate"`
	// Frames is the number of frames of every rendition.
	Frames int64 `json:"frames"`
	// Origin is the grid number, in the source's own time, of the timeline's
	// frame 0: round(source start × Rate).
	Origin int64 `json:"origin"`
	// SegmentFrames is the number of frames of each segment; the last has what is left.
	SegmentFrames int64 `json:"segment_frames"`
}

// FrameRange is the frames [Start, End) of a timeline.
type FrameRange struct {
	Start int64 `json:"start"`
	End   int64 `json:"end"`
}

// Len is the number of frames.
func (r FrameRange) Len() int64 { return r.End - r.Start }

// Chunk is a run of whole segments, the unit of parallel work.
type Chunk struct {
	Index        int        `json:"index"`
	FirstSegment int        `json:"first_segment"` // counted from 0
	Segments     int        `json:"segments"`
	Frames       FrameRange `json:"frames"`
}

// Validate says why the timeline can't be used, nil if it can.
func (t Timeline) Validate() error {
	switch {
	case t.Rate.Num <= 0 || t.Rate.Den <= 0:
		return fmt.Errorf("frame rate %s is not positive", t.Rate)
	case t.Frames <= 0:
		return fmt.Errorf("a timeline of %d frames has nothing to show", t.Frames)
	case t.SegmentFrames <= 0:
		return fmt.Errorf("segments of %d frames", t.SegmentFrames)
	}
	return nil
}

// Duration is the time that the timeline's frames are shown for, rounded down
// to a nanosecond.
func (t Timeline) Duration() time.Duration { return t.At(t.Frames) }

// At is the time at which frame n is shown, rounded down to a nanosecond.
func (t Timeline) At(n int64) time.Duration {
	// Whole seconds first: n×Den×1e9 overflows after 2.5 hours at 1001/24000.
	ticks := n * t.Rate.Den
	seconds, rest := ticks/t.Rate.Num, ticks%t.Rate.Num
	return time.Duration(seconds)*time.Second + time.Duration(rest*int64(time.Second)/t.Rate.Num)
}

// Segments is the number of segments of each rendition.
func (t Timeline) Segments() int {
	return int((t.Frames + t.SegmentFrames - 1) / t.SegmentFrames)
}

// Segment is the frames of segment i.
func (t Timeline) Segment(i int) FrameRange {
	start := int64(i) * t.SegmentFrames
	return FrameRange{Start: start, End: min(start+t.SegmentFrames, t.Frames)}
}

// Chunk makes the chunk of the segments [first, first+count), which must exist.
func (t Timeline) Chunk(index, first, count int) Chunk {
	return Chunk{
		Index: index, FirstSegment: first, Segments: count,
		Frames: FrameRange{Start: t.Segment(first).Start, End: t.Segment(first + count - 1).End},
	}
}

// Cut makes chunks of the given numbers of segments, in order. The counts must
// sum to Segments().
func (t Timeline) Cut(segmentCounts []int) ([]Chunk, error) {
	chunks := make([]Chunk, 0, len(segmentCounts))
	first := 0
	for i, count := range segmentCounts {
		if count <= 0 || first+count > t.Segments() {
			return nil, fmt.Errorf("cut %d segments: chunk %d of %d segments starts at segment %d", t.Segments(), i, count, first)
		}
		chunks = append(chunks, t.Chunk(i, first, count))
		first += count
	}
	if first != t.Segments() {
		return nil, fmt.Errorf("cut %d segments: the chunks hold %d", t.Segments(), first)
	}
	return chunks, nil
}
