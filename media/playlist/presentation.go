package playlist

import (
	"fmt"

	"millrace/job"
)

// Names of what this package writes. The masters lie at the output path, the
// media playlist in each track's folder.
const (
	MasterName   = "video.m3u8"
	ManifestName = "video.mpd"
	MediaName    = "index.m3u8"
)

// Presentation is a finished job's streams.
type Presentation struct {
	Timeline job.Timeline
	// Video is the ladder, in the order in which the masters are to list it.
	// The folder of each is its rendition's name.
	Video []VideoTrack
	// Audio is empty for a silent job.
	Audio []AudioTrack
}

// VideoTrack is one rung.
type VideoTrack struct {
	Rendition job.Rendition
	Track     job.Track
}

// AudioTrack is one audio rendition.
type AudioTrack struct {
	Audio job.AudioTrack
	Track job.Track
	// Dir is the track's folder under the output path, without a slash at the end.
	Dir string
}

// AudioDir is the folder of audio track n, counted from 0: "audio", "audio/2",
// "audio/3", …
func AudioDir(n int) string {
	if n == 0 {
		return "audio"
	}
	return fmt.Sprintf("audio/%d", n+1)
}

// Join makes one track of the tracks that a rendition's chunks reported, in order.
// They must have the same name, codec, timescale and init segment, and their
// segments must be numbered on without a gap; otherwise it returns a
// *job.Failure with the code EncoderOutputMismatch.
func Join(chunks []job.Track) (job.Track, error) {
	if len(chunks) == 0 {
		return job.Track{}, fmt.Errorf("join the chunks of a track: there are none")
	}
	joined := chunks[0]
	joined.Segments = nil
	for i, chunk := range chunks {
		switch {
		case chunk.Name != joined.Name:
			return job.Track{}, fmt.Errorf("join the chunks of %s: chunk %d is of %s", joined.Name, i, chunk.Name)
		case chunk.Codec != joined.Codec:
			return job.Track{}, mismatch(joined.Name, "chunk %d is %s, chunk 0 is %s", i, chunk.Codec, joined.Codec)
		case chunk.Timescale != joined.Timescale:
			return job.Track{}, mismatch(joined.Name, "chunk %d has %d ticks a second, chunk 0 has %d", i, chunk.Timescale, joined.Timescale)
		case chunk.Init.SHA256 != joined.Init.SHA256:
			return job.Track{}, mismatch(joined.Name, "chunk %d needs another init segment than chunk 0; they were encoded differently", i)
		}
		for _, segment := range chunk.Segments {
			if want := len(joined.Segments) + 1; segment.Number != want {
				return job.Track{}, mismatch(joined.Name, "chunk %d has segment %d where segment %d belongs", i, segment.Number, want)
			}
			joined.Segments = append(joined.Segments, segment)
		}
	}
	return joined, nil
}

func mismatch(track, format string, args ...any) *job.Failure {
	return job.Fail(job.EncoderOutputMismatch, "%s: %s", track, fmt.Sprintf(format, args...))
}
