package playlist

import (
	"bytes"
	"fmt"
	"time"

	"github.com/Eyevinn/dash-mpd/mpd"

	"millrace/job"
	"millrace/media/cmaf"
)

// cmafProfile says that the segments are CMAF (ISO/IEC 23009-1, 8.12).
const cmafProfile = "urn:mpeg:dash:profile:cmaf:2019"

const roleScheme = "urn:mpeg:dash:role:2011"

// Manifest writes the DASH manifest: one static period with an adaptation set
// for the ladder and one for each audio track.
func Manifest(p Presentation) ([]byte, error) {
	if len(p.Video) == 0 || len(p.Video[0].Track.Segments) == 0 {
		return nil, fmt.Errorf("write %s: there are no renditions", ManifestName)
	}
	longest := longestSegment(p)
	manifest := &mpd.MPD{
		XMLNs:                     mpd.DASH_NAMESPACE,
		Profiles:                  mpd.ListOfProfilesType(mpd.PROFILE_LIVE).AddProfile(cmafProfile),
		Type:                      mpd.Ptr(mpd.STATIC_TYPE),
		MediaPresentationDuration: duration(p.Timeline.Duration()),
		MinBufferTime:             duration(longest),
		MaxSegmentDuration:        duration(longest),
	}
	period := mpd.NewPeriod()
	period.Id = "0"
	period.Start = mpd.Ptr(mpd.Duration(0))
	manifest.AppendPeriod(period)
	period.AppendAdaptationSet(videoSet(p))
	standard := defaultTrack(p.Audio)
	names := uniqueNames(p.Audio)
	for i, track := range p.Audio {
		period.AppendAdaptationSet(audioSet(i, track, names[i], i == standard))
	}

	var buffer bytes.Buffer
	if _, err := manifest.Write(&buffer, "  ", true); err != nil {
		return nil, fmt.Errorf("write %s: %w", ManifestName, err)
	}
	buffer.WriteByte('\n')
	return buffer.Bytes(), nil
}

func videoSet(p Presentation) *mpd.AdaptationSetType {
	set := mpd.NewAdaptationSetWithParams("video", mpd.MIME_TYPE_VIDEO_MP4, true, 1)
	set.Id = mpd.Ptr(uint32(0))
	largest := p.Video[0].Rendition
	for _, video := range p.Video {
		if r := video.Rendition; r.Width*r.Height > largest.Width*largest.Height {
			largest = r
		}
	}
	set.Par = mpd.RatioType(ratio(largest.Width, largest.Height))
	set.MaxWidth, set.MaxHeight = uint32(largest.Width), uint32(largest.Height)
	// The rungs have the same segments, so the timeline is written once.
	set.SegmentTemplate = template("$RepresentationID$", p.Video[0].Track)
	for _, video := range p.Video {
		representation := mpd.NewRepresentation()
		representation.Id = video.Rendition.Name
		representation.Bandwidth = uint32(measure(video.Track).peak)
		representation.Codecs = video.Track.Codec
		representation.Width, representation.Height = uint32(video.Rendition.Width), uint32(video.Rendition.Height)
		representation.Sar = "1:1"
		representation.FrameRate = frameRate(p.Timeline.Rate)
		set.AppendRepresentation(representation)
	}
	return set
}

func audioSet(i int, track AudioTrack, name string, standard bool) *mpd.AdaptationSetType {
	set := mpd.NewAdaptationSetWithParams("audio", mpd.MIME_TYPE_AUDIO_MP4, true, 1)
	set.Id = mpd.Ptr(uint32(i + 1))
	set.Lang = language(track.Audio)
	set.Labels = []*mpd.LabelType{{Value: name}}
	role := "alternate"
	if standard {
		role = "main"
	}
	set.Roles = []*mpd.DescriptorType{mpd.NewDescriptor(roleScheme, role, "")}
	set.SegmentTemplate = template(track.Dir, track.Track)
	representation := mpd.NewRepresentation()
	representation.Id = fmt.Sprintf("audio-%d", i+1)
	representation.Bandwidth = uint32(measure(track.Track).peak)
	representation.Codecs = track.Track.Codec
	representation.AudioSamplingRate = mpd.Ptr(mpd.UIntVectorType(fmt.Sprint(track.Audio.SampleRate)))
	representation.AudioChannelConfigurations = []*mpd.DescriptorType{
		mpd.NewDescriptor(mpd.AUDIO_CHANNEL_CONFIGURATION_MPEG_DASH, fmt.Sprint(channelConfiguration(track.Audio.Channels)), ""),
	}
	set.AppendRepresentation(representation)
	return set
}

// template says where a track's segments are and how long each lasts; runs of
// equal ones are one element.
func template(dir string, track job.Track) *mpd.SegmentTemplateType {
	timeline := &mpd.SegmentTimelineType{}
	for i, segment := range track.Segments {
		if n := len(timeline.S); n > 0 && timeline.S[n-1].D == uint64(segment.Duration) {
			timeline.S[n-1].R++
			continue
		}
		s := &mpd.S{D: uint64(segment.Duration)}
		if i == 0 {
			s.T = mpd.Ptr(uint64(0))
		}
		timeline.S = append(timeline.S, s)
	}
	st := &mpd.SegmentTemplateType{
		Media:          dir + "/" + cmaf.SegmentPattern,
		Initialization: dir + "/" + cmaf.InitName,
	}
	st.SetTimescale(uint32(track.Timescale))
	st.StartNumber = mpd.Ptr(uint32(cmaf.FirstSegment))
	st.SegmentTimeline = timeline
	return st
}

// longestSegment is also the time that a player must buffer for the measured
// peak bit rate to be enough.
func longestSegment(p Presentation) time.Duration {
	var longest float64
	for _, video := range p.Video {
		for _, s := range video.Track.Segments {
			longest = max(longest, seconds(s.Duration, video.Track.Timescale))
		}
	}
	return time.Duration(longest * float64(time.Second))
}

// duration rounds up to the millisecond that the manifest has.
func duration(d time.Duration) *mpd.Duration {
	return mpd.Ptr(mpd.Duration((d + time.Millisecond - 1).Truncate(time.Millisecond)))
}

func frameRate(rate job.Rational) mpd.FrameRateType {
	if rate.Den == 1 {
		return mpd.FrameRateType(fmt.Sprint(rate.Num))
	}
	return mpd.FrameRateType(rate.String())
}

// ratio is width:height in lowest terms.
func ratio(width, height int) string {
	a, b := width, height
	for b != 0 {
		a, b = b, a%b
	}
	if a == 0 {
		return "1:1"
	}
	return fmt.Sprintf("%d:%d", width/a, height/a)
}

// channelConfiguration is MPEG's number for a count of channels (ISO/IEC
// 23091-3); up to 5.1 they are the same.
func channelConfiguration(channels int) int {
	if channels == 8 {
		return 7
	}
	return channels
}
