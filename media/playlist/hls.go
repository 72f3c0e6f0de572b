package playlist

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/Eyevinn/hls-m3u8/m3u8"

	"millrace/job"
	"millrace/media/cmaf"
)

const (
	// hlsVersion is the lowest that has all we write: fMP4 segments with a map need 6,
	// and 7 is what players of CMAF have been tested with.
	hlsVersion = 7
	// extinfDecimals is the precision of EXTINF: microseconds, so that a day of
	// segments adds up to within a frame.
	extinfDecimals = 6
	// frameRateDecimals is what RFC 8216 asks of FRAME-RATE.
	frameRateDecimals = 3
	audioGroup        = "audio"
)

// Media writes a track's HLS media playlist, which lies in the track's folder.
func Media(track job.Track) ([]byte, error) {
	if len(track.Segments) == 0 || track.Timescale <= 0 {
		return nil, fmt.Errorf("write the playlist of %s: it has %d segments and %d ticks a second", track.Name, len(track.Segments), track.Timescale)
	}
	list, err := m3u8.NewMediaPlaylist(0, uint(len(track.Segments)))
	if err != nil {
		return nil, fmt.Errorf("write the playlist of %s: %w", track.Name, err)
	}
	list.SetVersion(hlsVersion)
	list.SetWritePrecision(extinfDecimals)
	list.SetIndependentSegments(true)
	list.SetDefaultMap(cmaf.InitName, 0, 0)
	list.MediaType = m3u8.VOD
	list.SeqNo = cmaf.FirstSegment
	for _, segment := range track.Segments {
		if err := list.Append(cmaf.SegmentName(segment.Number), seconds(segment.Duration, track.Timescale), ""); err != nil {
			return nil, fmt.Errorf("write the playlist of %s: %w", track.Name, err)
		}
	}
	list.SetTargetDuration(targetDuration(track))
	list.Close()
	return list.Encode().Bytes(), nil
}

// targetDuration is EXT-X-TARGETDURATION in seconds: each EXTINF, rounded to the
// nearest second, is at most that (RFC 8216, 4.3.3.1). A clip of less than half a second
// would make it 0, which players take for a mistake.
func targetDuration(track job.Track) uint {
	var longest int64
	for _, segment := range track.Segments {
		longest = max(longest, segment.Duration)
	}
	return max(1, uint((2*longest+track.Timescale)/(2*track.Timescale)))
}

// Master writes the HLS master playlist.
func Master(p Presentation) ([]byte, error) {
	if len(p.Video) == 0 {
		return nil, fmt.Errorf("write %s: there are no renditions", MasterName)
	}
	master := m3u8.NewMasterPlaylist()
	master.SetIndependentSegments(true)
	master.SetWritePrecision(frameRateDecimals)
	alternatives := audioAlternatives(p.Audio)
	sound, audioCodecs := loudest(p.Audio)
	for _, video := range p.Video {
		rate := measure(video.Track).plus(sound)
		params := m3u8.VariantParams{
			Bandwidth:        uint32(rate.peak),
			AverageBandwidth: uint32(rate.average),
			Codecs:           strings.Join(append([]string{video.Track.Codec}, audioCodecs...), ","),
			Resolution:       fmt.Sprintf("%dx%d", video.Rendition.Width, video.Rendition.Height),
			FrameRate:        p.Timeline.Rate.Float(),
			Alternatives:     alternatives,
		}
		if len(p.Audio) > 0 {
			params.Audio = audioGroup
		}
		master.Append(video.Rendition.Name+"/"+MediaName, nil, params)
	}
	master.SetVersion(hlsVersion)
	return master.Encode().Bytes(), nil
}

// loudest is the highest bit rates among the audio tracks, since a player adds
// whichever it picks to the video's, and the tracks' codecs without repeats.
func loudest(tracks []AudioTrack) (bandwidth, []string) {
	var most bandwidth
	var codecs []string
	seen := map[string]bool{}
	for _, track := range tracks {
		rate := measure(track.Track)
		most.peak, most.average = max(most.peak, rate.peak), max(most.average, rate.average)
		if codec := track.Track.Codec; !seen[codec] {
			seen[codec] = true
			codecs = append(codecs, codec)
		}
	}
	return most, codecs
}

func audioAlternatives(tracks []AudioTrack) []*m3u8.Alternative {
	var alternatives []*m3u8.Alternative
	names := uniqueNames(tracks)
	standard := defaultTrack(tracks)
	for i, track := range tracks {
		alternatives = append(alternatives, &m3u8.Alternative{
			Type: "AUDIO", GroupId: audioGroup, Name: names[i],
			Language: language(track.Audio), Default: i == standard, Autoselect: true,
			Channels: &m3u8.Channels{Amount: track.Audio.Channels},
			URI:      track.Dir + "/" + MediaName,
		})
	}
	return alternatives
}

// defaultTrack is the track that plays when nobody chooses: the first that is
// marked so, or else the first. HLS allows one in a group.
func defaultTrack(tracks []AudioTrack) int {
	for i, track := range tracks {
		if track.Audio.Default {
			return i
		}
	}
	return 0
}

// language is a track's language tag, "" where it isn't known. It comes from
// the source, so anything that is no tag is dropped.
func language(track job.AudioTrack) string {
	if track.Language == "und" || len(track.Language) > 35 {
		return ""
	}
	for _, c := range track.Language {
		if c != '-' && (c > unicode.MaxASCII || !unicode.IsLetter(c) && !unicode.IsDigit(c)) {
			return ""
		}
	}
	return track.Language
}

// maxName is the characters of a name that a player's menu can show.
const maxName = 100

// uniqueNames is a name for each track that can stand between quotes and that
// no other has: its label, or its language, or its number.
func uniqueNames(tracks []AudioTrack) []string {
	names := make([]string, len(tracks))
	taken := map[string]bool{}
	for i, track := range tracks {
		name := clean(track.Audio.Label)
		if name == "" {
			name = language(track.Audio)
		}
		if name == "" {
			name = fmt.Sprintf("Audio %d", i+1)
		}
		for n, base := 2, name; taken[name]; n++ {
			name = fmt.Sprintf("%s (%d)", base, n)
		}
		taken[name] = true
		names[i] = name
	}
	return names
}

// clean makes a source's own text fit for a quoted string: one line, no quotes.
func clean(text string) string {
	text = strings.Map(func(c rune) rune {
		switch {
		case c == '"':
			return '\''
		case unicode.IsSpace(c):
			return ' '
		case !unicode.IsPrint(c) || c == unicode.ReplacementChar:
			return -1
		}
		return c
	}, text)
	if runes := []rune(text); len(runes) > maxName {
		text = string(runes[:maxName])
	}
	return strings.TrimSpace(text)
}
