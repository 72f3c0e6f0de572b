// Package cmaf turns what ffmpeg writes into what players read: it cuts the
// fragmented MP4 of one ffmpeg output pipe into CMAF segments that lie exactly
// on the job's timeline, and it refuses to pass on anything else.
//
// A [VideoCutter] reads the pictures of one chunk of one rendition:
//
//	cutter := cmaf.NewVideoCutter(cmaf.VideoConfig{
//		Timeline: plan.Timeline, Chunk: chunk, Codec: job.H264,
//		DelayFrames: plan.DelayFrames,
//		Emit: func(ctx context.Context, s cmaf.SegmentData) error {
//			return output.Put(ctx, rendition+"/"+s.Name, s.Bytes)
//		},
//	})
//	info, err := cutter.Cut(ctx, pipe) // info.Init is the init segment
//
// An [AudioCutter] does the same for an audio track of the whole job. [Concat]
// strings an init segment and its segments together: that is a playable
// fragmented file.
//
// # What goes in
//
// One track of fragmented MP4, as ffmpeg writes it with
//
//	-movflags +frag_keyframe+empty_moov+default_base_moof+negative_cts_offsets
//	-video_track_timescale <Timeline.Rate.Num> -tag:v hvc1 (HEVC only) -f mp4
//
// where frame n of the chunk has presentation time n×Den. Where ffmpeg begins
// and ends its fragments doesn't matter, nor do its decode times: samples are
// counted, and each picture's place comes from its composition time.
//
// # What comes out, and the trap in it
//
// Segment k has decode time (its first frame)×Den in a timescale of Num ticks
// per second, and every picture lasts Den ticks. Pictures are decoded before
// they are shown, so with B-frames a composition offset can be negative.
// ffmpeg's own demuxer (and so every tool built on it) answers negative offsets by
// moving the whole track, which puts pictures late against sound. So all
// offsets are shifted up by DelayFrames×Den, none is negative, and one edit
// list in the init segment takes the shift back. It is the same for every
// chunk, so the joints have no gap.
//
// # What is promised
//
// Everything is checked on the bytes, whatever options the encoder was given,
// because encoders have been seen to ignore forced keyframes: each segment has
// exactly the timeline's frames, each shown once; it starts with a keyframe
// that resets the decoder (IDR, or an AV1 key frame with its sequence header)
// and is shown first; the chunk has exactly its segments. A breach is a
// *job.Failure with the code EncoderOutputMismatch that names the segment.
// Init segments carry nothing that differs between two chunks encoded alike,
// so they can be compared byte by byte.
//
// # Why ffmpeg's boxes are read by hand
//
// mp4ff writes all boxes here. It doesn't read ffmpeg's: its readers allocate by
// the counts that a box declares, and decoding a sample entry and encoding it
// again doesn't give the same bytes. ffmpeg's output depends on a hostile
// source, so the few boxes that matter are read by a walker (box.go) that
// allocates nothing and never looks outside its slice.
package cmaf
