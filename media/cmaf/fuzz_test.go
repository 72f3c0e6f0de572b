package cmaf_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"millrace/job"
	"millrace/media/cmaf"
)

// The seeds in testdata/ are 4 frames at 24/1 of 64×64 pixels in segments of
// 2, and 0.17 s of silence, as ffmpeg 5.1 wrote them.
func FuzzCutters(f *testing.F) {
	for _, name := range []string{"h264.mp4", "hevc.mp4", "av1.mp4", "aac.mp4"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	timeline := job.Timeline{Rate: job.Rational{Num: 24, Den: 1}, Frames: 4, SegmentFrames: 2}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, codec := range []job.Codec{job.H264, job.HEVC, job.AV1} {
			segments, size := 0, 0
			info, err := cmaf.NewVideoCutter(cmaf.VideoConfig{
				Timeline: timeline, Chunk: timeline.Chunk(0, 0, 2), Codec: codec, DelayFrames: delay,
				Emit: func(_ context.Context, s cmaf.SegmentData) error {
					segments++
					size += len(s.Bytes)
					return nil
				},
			}).Cut(t.Context(), bytes.NewReader(data))
			if err == nil && (segments != 2 || info.Samples != 4) {
				t.Errorf("%d segments of %d samples were taken for the whole", segments, info.Samples)
			}
			// A sample's bytes may be named more than once, but never more
			// often than there are samples.
			if size > 4*len(data)+2000 {
				t.Errorf("%d bytes made %d", len(data), size)
			}
		}
		_, err := cmaf.NewAudioCutter(cmaf.AudioConfig{
			Timeline: timeline, Track: stereo, PrimingSamples: cmaf.AACPriming,
			Emit: func(context.Context, cmaf.SegmentData) error { return nil },
		}).Cut(t.Context(), bytes.NewReader(data))
		_ = err // either answer will do; a panic won't
	})
}

func TestTheFuzzSeedsAreWholeChunks(t *testing.T) {
	timeline := job.Timeline{Rate: job.Rational{Num: 24, Den: 1}, Frames: 4, SegmentFrames: 2}
	for name, codec := range map[string]job.Codec{"h264.mp4": job.H264, "hevc.mp4": job.HEVC, "av1.mp4": job.AV1} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		s := newShelf(t)
		info, err := cmaf.NewVideoCutter(cmaf.VideoConfig{
			Timeline: timeline, Chunk: timeline.Chunk(0, 0, 2), Codec: codec, DelayFrames: delay, Emit: s.put,
		}).Cut(t.Context(), bytes.NewReader(data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		t.Log(info.Codec)
	}
}
