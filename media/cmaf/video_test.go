package cmaf_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"millrace/job"
	"millrace/media/cmaf"
)

func TestChunksOfEveryEncoderJoinWithoutAGap(t *testing.T) {
	// The last segment has one frame, and so has the last chunk.
	timeline := job.Timeline{Rate: film, Frames: 97, SegmentFrames: 24}
	source := makeSource(t, timeline.Frames)
	for name, e := range encoders {
		t.Run(name, func(t *testing.T) {
			s := cutAll(t, source, timeline, e, 2, 1, 1, 1)
			for i, info := range s.infos {
				if !bytes.Equal(info.Init, s.infos[0].Init) {
					t.Errorf("chunk %d has another init segment than chunk 0", i)
				}
			}
			if got := len(s.track.Segments); got != timeline.Segments() {
				t.Fatalf("%d segments, want %d", got, timeline.Segments())
			}
			for i, segment := range s.track.Segments {
				frames := timeline.Segment(i)
				if segment.Number != i+1 || segment.Samples != frames.Len() || segment.Duration != frames.Len()*film.Den {
					t.Errorf("segment %d is %+v", i, segment)
				}
			}
			joined := s.join(t)
			checkPackets(t, joined, timeline)
			run(t, "ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", joined, "-f", "null", "-")
			if got := len(frameHashes(t, "-i", joined)); got != int(timeline.Frames) {
				t.Errorf("%d frames decoded, want %d", got, timeline.Frames)
			}
			t.Logf("codec %s, delay %d", s.track.Codec, s.infos[0].DelayFrames)
		})
	}
}

// checkPackets asks ffprobe for the joined file's packets: they are shown from
// 0 on, a frame apart.
func checkPackets(t *testing.T, path string, timeline job.Timeline) {
	t.Helper()
	out := run(t, "ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=start_pts,time_base,r_frame_rate", "-of", "default=nw=1", path)
	for _, want := range []string{"start_pts=0\n", "time_base=1/24000\n", "r_frame_rate=24000/1001\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("ffprobe says %q, want %q", out, want)
		}
	}
	var shown []int64
	decoded := int64(-1 << 40)
	out = run(t, "ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "packet=pts,dts,duration", "-of", "csv=p=0", path)
	for line := range strings.Lines(out) {
		numbers := strings.Split(strings.TrimSpace(line), ",")
		pts, dts := number(t, numbers[0]), number(t, numbers[1])
		if decoded != -1<<40 && dts-decoded != timeline.Rate.Den {
			t.Fatalf("a packet is decoded %d ticks after the last, want %d", dts-decoded, timeline.Rate.Den)
		}
		// ffprobe doesn't say how long the first packets of an AV1 track last.
		if numbers[2] != "N/A" && number(t, numbers[2]) != timeline.Rate.Den {
			t.Fatalf("the packet shown at %d lasts %s ticks, want %d", pts, numbers[2], timeline.Rate.Den)
		}
		decoded = dts
		shown = append(shown, pts)
	}
	slices.Sort(shown)
	if len(shown) != int(timeline.Frames) {
		t.Fatalf("%d packets, want %d", len(shown), timeline.Frames)
	}
	for i, pts := range shown {
		if pts != int64(i)*timeline.Rate.Den {
			t.Fatalf("frame %d is shown at %d, want %d", i, pts, int64(i)*timeline.Rate.Den)
		}
	}
}

func number(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestJoinedChunksShowTheFramesOfAnUncutRun(t *testing.T) {
	timeline := job.Timeline{Rate: film, Frames: 120, SegmentFrames: 24}
	source := makeSource(t, timeline.Frames)
	joined := cutAll(t, source, timeline, encoders["libx264 lossless"], 1, 3, 1).join(t)

	want := frameHashes(t, "-copyts", "-i", source, "-filter_complex", chunkFilter(timeline, job.FrameRange{End: timeline.Frames}))
	got := frameHashes(t, "-i", joined)
	if len(got) != len(want) {
		t.Fatalf("%d frames, want %d", len(got), len(want))
	}
	for i := range want {
		// framemd5 counts times in frames here; checkPackets has the exact ticks.
		wantTime, wantHash, _ := strings.Cut(want[i], " ")
		gotTime, gotHash, _ := strings.Cut(got[i], " ")
		if gotHash != wantHash || gotTime != wantTime {
			t.Fatalf("frame %d is %s, want %s", i, got[i], want[i])
		}
	}
}

func TestAChunkOfOneFrameIsASegment(t *testing.T) {
	timeline := job.Timeline{Rate: film, Frames: 1, SegmentFrames: 96}
	s := cutAll(t, makeSource(t, 1), timeline, encoders["libx264"], 1)
	checkPackets(t, s.join(t), timeline)
}

func TestFragmentBordersDoNotMatter(t *testing.T) {
	timeline := job.Timeline{Rate: film, Frames: 60, SegmentFrames: 24}
	source := makeSource(t, timeline.Frames)
	chunk := timeline.Chunk(0, 0, 3)
	cut := func(extra ...string) *shelf {
		s := newShelf(t)
		err := pipe(t, encodeChunk(source, timeline, chunk.Frames, encoders["libx264"], extra...), func(r io.Reader) error {
			info, err := cmaf.NewVideoCutter(cmaf.VideoConfig{Timeline: timeline, Chunk: chunk, Codec: job.H264, DelayFrames: delay, Emit: s.put}).Cut(t.Context(), r)
			s.finish(t, info)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	// With several threads x264's last frames differ now and then from run to run.
	whole, tiny := cut("-threads", "1"), cut("-threads", "1", "-frag_duration", "200000")
	for i := range whole.track.Segments {
		if whole.track.Segments[i] != tiny.track.Segments[i] {
			t.Errorf("segment %d differs: %+v, %+v", i, whole.track.Segments[i], tiny.track.Segments[i])
		}
	}
}

func TestOutputThatIsNotTheTimelineIsRefused(t *testing.T) {
	timeline := job.Timeline{Rate: film, Frames: 72, SegmentFrames: 24}
	source := makeSource(t, timeline.Frames)
	whole := timeline.Chunk(0, 0, 3)
	x264 := encoders["libx264"]
	for name, test := range map[string]struct {
		codec  job.Codec
		frames job.FrameRange // that ffmpeg encodes
		grid   job.Timeline   // that it encodes for
		args   []string
		want   string
	}{
		"too few frames":       {job.H264, job.FrameRange{End: 70}, timeline, nil, "segment 3 (frames 48 to 71): it has 22 of its 24 frames; the chunk ends 2 frames early"},
		"no frames of the end": {job.H264, job.FrameRange{End: 48}, timeline, nil, "segment 3 (frames 48 to 71): it has 0 of its 24 frames"},
		"too many frames":      {job.H264, job.FrameRange{End: 72}, timeline, nil, "the chunk has more than its 48 frames (0 to 47)"},
		"keyframes elsewhere":  {job.H264, whole.Frames, job.Timeline{Rate: film, Frames: 72, SegmentFrames: 20}, nil, "segment 1 (frames 0 to 23): its sample 22 is frame 25; the group of pictures isn't closed"},
		"another codec":        {job.HEVC, whole.Frames, timeline, nil, `ffmpeg's output has "avc1" samples, expected "hvc1" (hevc)`},
		"another timescale":    {job.H264, whole.Frames, job.Timeline{Rate: job.Rational{Num: 48000, Den: 2002}, Frames: 72, SegmentFrames: 24}, nil, "has 48000 ticks a second, expected 24000"},
		"an open group":        {job.H264, whole.Frames, timeline, []string{"-x264-params", "open-gop=1:bframes=3:keyint=24:min-keyint=24", "-force_key_frames", "0"}, "segment 1 (frames 0 to 23): its sample 22 is frame 24; the group of pictures isn't closed"},
		"a delay too long":     {job.H264, whole.Frames, timeline, []string{"-x264-params", "bframes=3:b-adapt=0"}, "is decoded 2 frames late, the job's delay is 1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			expected, chunk, delay := timeline, whole, int64(delay)
			switch name {
			case "too many frames":
				expected.Frames = 48
				chunk = expected.Chunk(0, 0, 2)
			case "a delay too long":
				delay = 1
			}
			err := pipe(t, encodeChunk(source, test.grid, test.frames, x264, test.args...), func(r io.Reader) error {
				_, err := cmaf.NewVideoCutter(cmaf.VideoConfig{Timeline: expected, Chunk: chunk, Codec: test.codec, DelayFrames: delay, Emit: s.put}).Cut(t.Context(), r)
				return err
			})
			checkMismatch(t, err, test.want)
		})
	}
}

func checkMismatch(t *testing.T, err error, want string) {
	t.Helper()
	var failure *job.Failure
	if !errors.As(err, &failure) || failure.Code != job.EncoderOutputMismatch {
		t.Fatalf("got %v, want an %s", err, job.EncoderOutputMismatch)
	}
	if !strings.Contains(failure.Message, want) {
		t.Errorf("got %q, want %q", failure.Message, want)
	}
}

func TestOutputThatStopsAnywhereIsRefused(t *testing.T) {
	timeline := job.Timeline{Rate: film, Frames: 30, SegmentFrames: 24}
	chunk := timeline.Chunk(0, 0, 2)
	path := filepath.Join(t.TempDir(), "chunk.mp4")
	args := encodeChunk(makeSource(t, 30), timeline, chunk.Frames, encoders["libx264"])
	run(t, "ffmpeg", append(args[:len(args)-1], path)...)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The last box (mfra) isn't needed: what is cut off there is no loss.
	pictures := bytes.LastIndex(data, []byte("mfra")) - 4
	for n := 0; n < pictures; n += 1 + n/50 {
		s := newShelf(t)
		_, err := cmaf.NewVideoCutter(cmaf.VideoConfig{Timeline: timeline, Chunk: chunk, Codec: job.H264, DelayFrames: delay, Emit: s.put}).Cut(t.Context(), bytes.NewReader(data[:n]))
		if err == nil {
			t.Fatalf("%d of %d bytes were taken for the whole", n, len(data))
		}
		checkMismatch(t, err, "")
	}
}
