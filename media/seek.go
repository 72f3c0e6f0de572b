package media

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"millrace/job"
	"millrace/media/ffmpeg"
)

// How far before a chunk's first frame a seek aims. Where the container itself
// finds the keyframe before that, a few frames are enough: the grid's choice
// rests on the frame before, and an index may go by decode times, which lie a
// few frames before the pictures'. Where a seek is a guess, it has to be longer
// than the distance between keyframes (10 s in broadcast streams at the most).
// Each further attempt goes back further.
const (
	indexedMargin       = 300 * time.Millisecond
	indexedMarginFrames = 6
	guessedMargin       = 15 * time.Second
)

// seekTime is where to seek to for a chunk, from the source's start.
func seekTime(plan job.Plan, firstFrame int64, attempt int) time.Duration {
	margin := guessedMargin
	if plan.Source.Indexed {
		margin = max(indexedMargin, plan.Timeline.At(indexedMarginFrames))
	}
	for range min(attempt-1, 4) {
		margin *= 4
	}
	// Rounded down to the microsecond that ffmpeg reads.
	at := plan.Timeline.At(plan.Timeline.Origin+firstFrame) - plan.Source.Start - margin
	return max(0, at).Truncate(time.Microsecond)
}

// shortestSeek is how far into a source it pays to seek. It must be more than
// the 0.13 s that ffmpeg takes off when there are B-frames: asked for a place
// before its start, the AVI demuxer goes to some other keyframe.
const shortestSeek = time.Second

// seekArgs are the options of the input that begin to decode at the keyframe
// before a time, counted from the source's start. All pictures from there on
// come out: the grid's choice at a chunk's start depends on those before it.
func seekArgs(from time.Duration) []string {
	if from < shortestSeek {
		return nil
	}
	return []string{"-ss", strconv.FormatFloat(from.Seconds(), 'f', 6, 64), "-noaccurate_seek"}
}

// mostLeads is the segments of the longest timeline whose keyframes are looked
// up: four minutes. A longer one has long chunks, for which it matters little.
const mostLeads = 60

// leads finds, for each segment of a short indexed source, how much has to be
// decoded before a chunk that begins with it: the time from the keyframe to
// the segment. The scheduler cuts where that is little. It reads one packet at
// each place; nothing is lost when it can't be told.
func (t *Toolbox) leads(ctx context.Context, in Input, plan job.Plan) ([]time.Duration, error) {
	segments := plan.Timeline.Segments()
	if !plan.Source.Indexed || segments < 2 || segments > mostLeads {
		return nil, nil
	}
	var places []string
	for i := 1; i < segments; i++ {
		at := plan.Source.Start + max(0, seekTime(plan, plan.Timeline.Segment(i).Start, 1)-seekSlack)
		places = append(places, strconv.FormatFloat(at.Seconds(), 'f', 6, 64)+"%+#1")
	}
	found, err := t.FFmpeg.Probe(ctx, in.URL, "-select_streams", strconv.Itoa(plan.Source.Stream), "-show_packets", "-read_intervals", strings.Join(places, ","))
	if err != nil {
		return nil, fmt.Errorf("look up keyframes: %w", err)
	}
	if len(found.Packets) != len(places) {
		return nil, nil // some place had none: better no answer than one that is off by one
	}
	base := timeBaseOf(found, plan.Source.Stream)
	leads := make([]time.Duration, segments)
	for i, packet := range found.Packets {
		if packet.PTS == nil || base.Den == 0 {
			return nil, nil
		}
		keyframe := moment{pts: *packet.PTS, timeBase: base}
		border := plan.Timeline.At(plan.Timeline.Origin + plan.Timeline.Segment(i+1).Start)
		leads[i+1] = max(0, border-time.Duration(keyframe.seconds()*float64(time.Second))).Round(time.Millisecond)
	}
	return leads, nil
}

// seekSlack is what ffmpeg takes off a seek's time by itself when there may be
// B-frames: 3/23 s.
const seekSlack = 131 * time.Millisecond

func timeBaseOf(probe *ffmpeg.ProbeResult, stream int) job.Rational {
	for _, s := range probe.Streams {
		if s.Index == stream {
			return s.TimeBase
		}
	}
	return job.Rational{}
}
