package playlist

import (
	"fmt"
	"regexp"

	"millrace/job"
	"millrace/media/cmaf"
)

// codecPatterns is what the RFC 6381 string of each codec looks like.
var codecPatterns = map[job.Codec]*regexp.Regexp{
	job.H264: regexp.MustCompile(`^avc1\.[0-9a-f]{6}$`),
	job.HEVC: regexp.MustCompile(`^hvc1\.[ABC]?[0-9]+\.[0-9a-f]+\.[LH][0-9]+(\.[0-9a-f]+)*$`),
	job.AV1:  regexp.MustCompile(`^av01\.[0-2]\.[0-9]{2}[MH]\.(08|10|12)$`),
}

const audioCodec = "mp4a.40.2"

// Check compares the tracks with the timeline, and so with each other,
// whatever encoders and nodes made them: the same segments of the same frames
// and the same durations, each where the masters will look for it, a codec
// string that is one, and sound that lasts as long as the pictures. What it
// finds is a *job.Failure with the code EncoderOutputMismatch that names the
// track and the segment.
//
// It sees what the tasks reported. That the objects are in the store, and are
// those that were reported, is the package task's to check.
func Check(p Presentation) error {
	if err := p.Timeline.Validate(); err != nil {
		return fmt.Errorf("check the renditions: %w", err)
	}
	if len(p.Video) == 0 {
		return mismatch("video", "there are no renditions")
	}
	for _, video := range p.Video {
		if err := checkVideo(p.Timeline, video); err != nil {
			return err
		}
	}
	for _, audio := range p.Audio {
		if err := checkAudio(p.Timeline, audio); err != nil {
			return err
		}
	}
	return nil
}

func checkVideo(timeline job.Timeline, video VideoTrack) error {
	name, track := video.Rendition.Name, video.Track
	pattern, known := codecPatterns[video.Rendition.Codec]
	switch {
	case !known:
		return mismatch(name, "%q is no codec that can be played", video.Rendition.Codec)
	case !pattern.MatchString(track.Codec):
		return mismatch(name, "%q is no codec string of %s", track.Codec, video.Rendition.Codec)
	case track.Timescale != timeline.Rate.Num:
		return mismatch(name, "it has %d ticks a second, the timeline has %d", track.Timescale, timeline.Rate.Num)
	}
	if err := checkSegments(timeline, name, name, track); err != nil {
		return err
	}
	for i, segment := range track.Segments {
		frames := timeline.Segment(i).Len()
		if segment.Samples != frames {
			return mismatch(name, "segment %d has %d frames, the timeline has %d", segment.Number, segment.Samples, frames)
		}
		if want := frames * timeline.Rate.Den; segment.Duration != want {
			return mismatch(name, "segment %d lasts %d ticks, the timeline has %d", segment.Number, segment.Duration, want)
		}
	}
	return nil
}

// checkSegments checks what sound and pictures have in common: a segment for each
// of the timeline's, in order, named as the masters will name it.
func checkSegments(timeline job.Timeline, name, dir string, track job.Track) error {
	if got, want := len(track.Segments), timeline.Segments(); got != want {
		return mismatch(name, "it has %d segments, the timeline has %d", got, want)
	}
	if want := dir + "/" + cmaf.InitName; track.Init.Name != want {
		return mismatch(name, "its init segment is %q, expected %q", track.Init.Name, want)
	}
	for i, segment := range track.Segments {
		number := cmaf.FirstSegment + i
		switch want := dir + "/" + cmaf.SegmentName(number); {
		case segment.Number != number:
			return mismatch(name, "segment %d is missing, segment %d is in its place", number, segment.Number)
		case segment.Name != want:
			return mismatch(name, "segment %d is %q, expected %q", number, segment.Name, want)
		case segment.Size <= 0 || segment.Samples <= 0 || segment.Duration <= 0:
			return mismatch(name, "segment %d has %d bytes, %d samples and %d ticks", number, segment.Size, segment.Samples, segment.Duration)
		}
	}
	return nil
}

func checkAudio(timeline job.Timeline, audio AudioTrack) error {
	name, track := "audio track "+audio.Audio.Name, audio.Track
	switch {
	case track.Codec != audioCodec:
		return mismatch(name, "%q is not the codec string %s", track.Codec, audioCodec)
	case track.Timescale != int64(audio.Audio.SampleRate) || track.Timescale <= 0:
		return mismatch(name, "it has %d ticks a second, its sample rate is %d", track.Timescale, audio.Audio.SampleRate)
	}
	if err := checkSegments(timeline, name, audio.Dir, track); err != nil {
		return err
	}
	unit := seconds(cmaf.AccessUnitSamples, track.Timescale)
	var heard int64
	for i, segment := range track.Segments {
		heard += segment.Duration
		border := float64(timeline.Segment(i).End) / timeline.Rate.Float()
		off := seconds(heard, track.Timescale) - border
		// A border is rounded up to a whole access unit, and the one before
		// the last may give one away to a segment that would have none.
		slack := unit
		if i == len(track.Segments)-1 {
			slack = endSlack(timeline, unit)
		}
		if off > slack+rounding || off < -slack-rounding {
			return mismatch(name, "segment %d ends %.3f s from where the pictures' segment does; at most %.3f s are allowed", segment.Number, off, slack)
		}
	}
	return nil
}

// rounding is far above the error of a float64 of seconds, far below a sample.
const rounding = 1e-6

// endSlack is how far the ends of sound and pictures may be apart: a frame, or
// two access units where those are longer, since the last is padded to a
// whole one and an encoder may flush one more.
func endSlack(timeline job.Timeline, unit float64) float64 {
	return max(1/timeline.Rate.Float(), 2*unit)
}
