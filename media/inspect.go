package media

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"

	"millrace/hwaccel"
	"millrace/job"
	"millrace/media/ffmpeg"
)

// headPackets is how many packets are looked at to find out whether the source
// is encrypted and where its first picture lies.
const headPackets = 64

// Inspect finds out what the source is and plans the job: everything but the
// chunks, which the leader cuts. encoder is the one that will make all
// renditions. The error is a *job.Failure or the context's.
func (t *Toolbox) Inspect(ctx context.Context, in Input, spec job.Spec, encoder hwaccel.Row) (job.Plan, error) {
	probe, err := t.FFmpeg.Probe(ctx, in.URL, "-show_packets", "-read_intervals", "%+#"+strconv.Itoa(headPackets))
	if err != nil {
		return job.Plan{}, fmt.Errorf("inspect %s: %w", in.Name, err)
	}
	if strings.HasPrefix(probe.Format.Name, "mov,") {
		if err := checkBoxes(in.Reader, in.Size); err != nil {
			return job.Plan{}, fmt.Errorf("inspect %s: %w", in.Name, err)
		}
	}
	if probe.Encrypted() {
		return job.Plan{}, job.Fail(job.MediaEncrypted, "the source's streams are encrypted")
	}
	video, err := pictures(probe)
	if err != nil {
		return job.Plan{}, err
	}
	plan := job.Plan{Source: describe(in, probe, video), DelayFrames: encoder.DelayFrames}
	plan.Picture = picture(video)
	if video.Codec == "h264" {
		plan.Source.X264Build = x264Build(in, probe, video.Index)
	}
	if err := checkSize(plan.Source); err != nil {
		return job.Plan{}, err
	}
	if err := t.measure(ctx, in, probe, video, &plan); err != nil {
		return job.Plan{}, fmt.Errorf("inspect %s: %w", in.Name, err)
	}
	rate := plan.Timeline.Rate
	plan.Timeline.SegmentFrames = max(1, int64(math.Round(spec.SegmentDuration.Seconds()*rate.Float())))
	if plan.Source.Leads, err = t.leads(ctx, in, plan); err != nil {
		return job.Plan{}, fmt.Errorf("inspect %s: %w", in.Name, err)
	}
	plan.Renditions = ladder(spec, plan.Source, rate, encoder)
	plan.Audio, plan.Warnings = audioTracks(probe)
	return plan, nil
}

// measure finds the source's first and last picture and so the timeline.
func (t *Toolbox) measure(ctx context.Context, in Input, probe *ffmpeg.ProbeResult, video *ffmpeg.Stream, plan *job.Plan) error {
	first, err := t.firstPicture(ctx, in, plan.Source)
	if err != nil {
		return err
	}
	last, err := t.lastPicture(ctx, in, probe, video, plan.Source)
	if err != nil {
		return err
	}
	if average, ok := beforeLast(video, first, last); ok {
		plan.Source.Rate = timelineRate(average, video.RealRate)
	}
	rate := plan.Source.Rate
	origin := first.on(rate)
	end := max(origin, last.on(rate)) // one picture is first and last
	plan.Source.Hold = min(max(0, last.lasts(rate)-1), int64(maxHold.Seconds()*rate.Float()))
	plan.Timeline = job.Timeline{Rate: rate, Origin: origin, Frames: end + 1 + plan.Source.Hold - origin}
	plan.Source.Duration = plan.Timeline.Duration()
	return t.Limits.check(plan.Timeline, video.Frames)
}

// beforeLast is the average rate without a last picture that stands for much
// longer than the others: counted in, it would make any source a slow one.
func beforeLast(video *ffmpeg.Stream, first, last moment) (average job.Rational, ok bool) {
	span := last.seconds() - first.seconds()
	if video.Frames < 3 || span <= 0 {
		return job.Rational{}, false
	}
	each := span / float64(video.Frames-1)
	if last.length() < longLast*each {
		return job.Rational{}, false
	}
	return job.Rational{Num: int64(math.Round(1e6 / each)), Den: 1_000_000}, true
}

// longLast is how many times as long as the others a last picture must stand
// to be left out of the average.
const longLast = 10

// maxHold bounds how long a last picture may stand on the source's word.
const maxHold = time.Minute

// mostRepeats is how many frames of a timeline may come from one picture of
// the source before it is taken for a bomb: three pictures ten hours apart.
const mostRepeats = 1000

func (l Limits) check(t job.Timeline, pictures int64) error {
	switch {
	case t.Frames > l.MaxFrames:
		return job.Fail(job.LimitExceeded, "the source comes to %d frames, more than the limit of %d", t.Frames, l.MaxFrames)
	case t.Duration() > l.MaxDuration:
		return job.Fail(job.LimitExceeded, "the source lasts %s, longer than the limit of %s", t.Duration().Round(time.Second), l.MaxDuration)
	case pictures > 0 && t.Frames > 10_000 && t.Frames/pictures > mostRepeats:
		return job.Fail(job.LimitExceeded, "the source's %d pictures are spread over %s: that is %d frames of the same few pictures", pictures, t.Duration().Round(time.Second), t.Frames)
	}
	return nil
}

// pictures chooses the video stream: the first that is not a cover, a default
// one before others.
func pictures(probe *ffmpeg.ProbeResult) (*ffmpeg.Stream, error) {
	var chosen *ffmpeg.Stream
	kinds := []string{}
	for i := range probe.Streams {
		s := &probe.Streams[i]
		switch {
		case s.AttachedPicture:
			kinds = append(kinds, "a cover picture")
		case s.Type != "video":
			kinds = append(kinds, s.Type)
		case chosen == nil || s.Default && !chosen.Default:
			chosen = s
		}
	}
	switch {
	case chosen == nil && len(kinds) == 0:
		return nil, job.Fail(job.MediaNotRecognised, "the source has no streams")
	case chosen == nil:
		slices.Sort(kinds)
		return nil, job.Fail(job.NoVideoStream, "the source has no video stream, only: %s", strings.Join(slices.Compact(kinds), ", "))
	case chosen.Codec == "":
		return nil, job.Fail(job.UnsupportedCodec, "the source's video is in a codec with the tag %q, which is not known", chosen.CodecTag)
	case chosen.Width <= 0 || chosen.Height <= 0:
		return nil, job.Fail(job.MediaCorrupt, "the source's %s video says no picture size, an impossible one, or one of more than %d million pixels", chosen.Codec, ffmpeg.MaxPixels/1_000_000)
	}
	return chosen, nil
}

// describe notes what the headers say, as displayed: upright, with square pixels.
func describe(in Input, probe *ffmpeg.ProbeResult, video *ffmpeg.Stream) job.Source {
	width, height := float64(video.Width), float64(video.Height)
	if aspect, ok := sane(video.SampleAspect); ok && aspect > 0.1 && aspect < 10 {
		width *= aspect
	}
	turned := video.Rotation()
	if turned == 90 || turned == 270 {
		width, height = height, width
	}
	return job.Source{
		Identity: in.Identity, SizeBytes: in.Size, Container: probe.Format.Name, VideoCodec: video.Codec,
		Width: int(math.Round(width)), Height: int(math.Round(height)),
		Rate: timelineRate(video.AverageRate, video.RealRate), Stream: video.Index,
		Start: probe.Format.Start.Duration, Indexed: indexed(probe.Format.Name),
		PixelFormat: video.PixelFormat, Rotated: turned != 0,
	}
}

// indexed says whether a container finds the keyframe before a time by itself.
func indexed(container string) bool {
	switch container {
	case "mpegts", "mpeg", "mpegvideo":
		return false
	}
	return true
}

func checkSize(s job.Source) error {
	if min(s.Width, s.Height) < MinSide {
		return job.Fail(job.LimitExceeded, "the source's picture is %d×%d; each side must have at least %d pixels", s.Width, s.Height, MinSide)
	}
	if max(s.Width, s.Height) > MaxSide {
		return job.Fail(job.LimitExceeded, "the source's picture is %d×%d; each side may have at most %d pixels", s.Width, s.Height, MaxSide)
	}
	return nil
}

// picture says what the source's frames need to become plain BT.709.
func picture(s *ffmpeg.Stream) job.Picture {
	p := job.Picture{Deinterlace: s.Interlaced(), ToneMap: s.HDR(), FullRange: s.ColorRange == "pc" || strings.HasPrefix(s.PixelFormat, "yuvj")}
	switch s.ColorSpace {
	case "bt709":
		p.Matrix = "bt709"
	case "smpte170m", "bt470bg", "fcc":
		p.Matrix = "bt601"
	case "smpte240m":
		p.Matrix = "smpte240m"
	case "bt2020nc", "bt2020c":
		p.Matrix = "bt2020"
	default:
		switch {
		case strings.Contains(s.PixelFormat, "rgb"), strings.Contains(s.PixelFormat, "bgr"), strings.HasPrefix(s.PixelFormat, "gbr"), s.PixelFormat == "pal8":
			p.Matrix, p.FullRange = matrixRGB, false
		case min(s.Width, s.Height) < 720: // as ITU-R BT.601 and BT.709 are used when a source is silent
			p.Matrix = "bt601"
		default:
			p.Matrix = "bt709"
		}
	}
	return p
}

var x264Signature = regexp.MustCompile(`x264 - core (\d{1,5})`)

// x264Build looks for the encoder's own words in the first picture.
func x264Build(in Input, probe *ffmpeg.ProbeResult, stream int) int {
	const window = 64 << 10
	for _, packet := range probe.Packets {
		if packet.Stream != stream || packet.Position == nil || *packet.Position < 0 {
			continue
		}
		head := make([]byte, window)
		n, _ := in.Reader.ReadAt(head, *packet.Position) // what was read will do
		if found := x264Signature.FindSubmatch(head[:n]); found != nil {
			build, _ := strconv.Atoi(string(found[1]))
			return build
		}
		return 0
	}
	return 0
}

const (
	audioSampleRate = 48_000
	maxAudioTracks  = 16
)

// audioRate is the bits per second of AAC-LC by number of channels: about
// 64 kbit/s for each, where it is transparent for most material.
var audioRate = map[int]int64{1: 96_000, 2: 128_000, 6: 384_000}

// keptChannels is how many channels a track gets. Mono, stereo and 5.1 play
// everywhere; other layouts are mixed down to the next of these.
func keptChannels(channels int) int {
	switch {
	case channels >= 6:
		return 6
	case channels >= 2:
		return 2
	}
	return 1
}

// audioTracks plans a rendition for each audio stream that can be decoded.
func audioTracks(probe *ffmpeg.ProbeResult) (tracks []job.AudioTrack, warnings []string) {
	stream := -1
	for i := range probe.Streams {
		s := &probe.Streams[i]
		if s.Type != "audio" {
			continue
		}
		stream++
		switch {
		case s.Codec == "" || s.Channels <= 0 || s.SampleRate <= 0:
			warnings = append(warnings, fmt.Sprintf("audio stream %d is left out: its codec (%q) is not known", stream+1, s.CodecTag))
			continue
		case len(tracks) == maxAudioTracks:
			warnings = append(warnings, fmt.Sprintf("audio stream %d is left out: at most %d are kept", stream+1, maxAudioTracks))
			continue
		}
		channels := keptChannels(s.Channels)
		code, label := nameLanguage(s.Language(), len(tracks)+1)
		tracks = append(tracks, job.AudioTrack{
			Name: strconv.Itoa(len(tracks) + 1), Stream: stream, Language: code, Label: label,
			Channels: channels, SampleRate: audioSampleRate, BitsPerSecond: audioRate[channels], Default: s.Default,
		})
	}
	return oneDefault(tracks), warnings
}

func oneDefault(tracks []job.AudioTrack) []job.AudioTrack {
	if len(tracks) == 0 {
		return nil
	}
	chosen := max(0, slices.IndexFunc(tracks, func(t job.AudioTrack) bool { return t.Default }))
	for i := range tracks {
		tracks[i].Default = i == chosen
	}
	return tracks
}

// nameLanguage turns a container's three-letter code into BCP 47 and a label
// for people. Text that isn't a language code is dropped, not passed on.
func nameLanguage(tag string, number int) (code, label string) {
	parsed, err := language.Parse(tag)
	if err != nil || parsed == language.Und {
		return "und", fmt.Sprintf("Audio %d", number)
	}
	base, _ := parsed.Base()
	return parsed.String(), fmt.Sprintf("Audio %d (%s)", number, base)
}
