// Package playlist writes what a player opens first: the HLS master playlist,
// the HLS media playlist of each track, and the DASH manifest, all over the
// same CMAF segments. It does no I/O: tracks in, bytes out.
//
//	track, err := playlist.Join(chunkTracks) // one rendition's chunks, in order
//	p := playlist.Presentation{Timeline: plan.Timeline, Video: …, Audio: …}
//	err = playlist.Check(p)          // rungs against the timeline and each other
//	index, err := playlist.Media(track)
//	manifest, err := playlist.Manifest(p)
//	master, err := playlist.Master(p) // written to the store last
//
// # Times
//
// Durations are exact where the format allows it: DASH's SegmentTimeline is in
// the tracks' own ticks, with no rounding at all; EXTINF has microseconds. Each
// track's times start at 0, because the edit lists in the init segments put the
// first picture and the first sound there: B-frame delay and AAC priming are
// hidden by them, and a presentationTimeOffset would hide them twice. So none
// is written.
//
// # Bandwidth
//
// Bit rates are measured from the segments' sizes. The peak is taken as RFC 8216
// (4.1) defines it, over runs of segments of half to one and a half target
// durations: a last segment of one keyframe doesn't count as a second of
// keyframes.
//
// The files themselves are written by hls-m3u8 and dash-mpd, which can say all
// of this. What they get wrong or leave to the caller is done here: hls-m3u8
// doesn't check what it puts between quotes, and drops one of two audio tracks
// of equal name and language, so names are cleaned and made unique first; its
// target duration of a full playlist is 0 (v0.6.0), so it is set; dash-mpd
// rounds a duration to the nearest millisecond, so ours are rounded up first,
// lest the last frame be cut.
package playlist
