package playlist_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"millrace/job"
	"millrace/media/cmaf"
	"millrace/media/playlist"
)

// store writes an output as the job would: tracks in folders under dir.
type store struct{ dir string }

func (s store) write(name string, data []byte) error {
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

type cutter interface {
	Cut(context.Context, io.Reader) (cmaf.TrackInfo, error)
}

// track runs ffmpeg and cuts what it writes into folder.
func (s store) track(t *testing.T, folder string, args []string, cut func(emit func(context.Context, cmaf.SegmentData) error) cutter) job.Track {
	t.Helper()
	track := job.Track{Name: folder, Init: job.Object{Name: folder + "/" + cmaf.InitName}}
	emit := func(_ context.Context, data cmaf.SegmentData) error {
		name := folder + "/" + data.Name
		track.Segments = append(track.Segments, job.Segment{
			Object: job.Object{Name: name, Size: int64(len(data.Bytes))},
			Number: data.Number, Samples: data.Samples, Duration: data.Duration,
		})
		return s.write(name, data.Bytes)
	}
	cmd := exec.CommandContext(t.Context(), "ffmpeg", append([]string{"-nostdin", "-v", "error"}, args...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	info, cutErr := cut(emit).Cut(t.Context(), stdout)
	if err := cmd.Wait(); err != nil || cutErr != nil {
		t.Fatalf("%s: ffmpeg: %v, cut: %v", folder, err, cutErr)
	}
	track.Codec, track.Timescale = info.Codec, info.Timescale
	if err := s.write(track.Init.Name, info.Init); err != nil {
		t.Fatal(err)
	}
	return track
}

func ffmpeg(t *testing.T, tool string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", tool, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestFFmpegPlaysBothMasters(t *testing.T) {
	for _, tool := range []string{"ffmpeg", "ffprobe"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	timeline := job.Timeline{Rate: job.Rational{Num: 24000, Den: 1001}, Frames: 97, SegmentFrames: 24}
	s := store{t.TempDir()}
	p := playlist.Presentation{Timeline: timeline}
	chunk := timeline.Chunk(0, 0, timeline.Segments())
	for _, rung := range []job.Rendition{{Name: "180p", Width: 320, Height: 180, Codec: job.H264}, {Name: "90p", Width: 160, Height: 90, Codec: job.H264}} {
		args := []string{
			"-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=%dx%d:rate=24000/1001", rung.Width, rung.Height),
			"-frames:v", "97", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-g", "24", "-keyint_min", "24", "-sc_threshold", "0",
			"-video_track_timescale", "24000", "-movflags", "+frag_keyframe+empty_moov+default_base_moof+negative_cts_offsets", "-f", "mp4", "pipe:1",
		}
		track := s.track(t, rung.Name, args, func(emit func(context.Context, cmaf.SegmentData) error) cutter {
			return cmaf.NewVideoCutter(cmaf.VideoConfig{Timeline: timeline, Chunk: chunk, Codec: job.H264, DelayFrames: 2, Emit: emit})
		})
		p.Video = append(p.Video, playlist.VideoTrack{Rendition: rung, Track: track})
	}
	for n, language := range []string{"en", "de"} {
		audio := job.AudioTrack{Name: fmt.Sprint(n + 1), Language: language, Channels: 2, SampleRate: 48000}
		args := []string{
			"-f", "lavfi", "-i", "sine=sample_rate=48000:duration=9,atrim=end_sample=194195", "-ac", "2", "-c:a", "aac",
			"-movflags", "+empty_moov+default_base_moof", "-frag_duration", "1000000", "-f", "mp4", "pipe:1",
		}
		track := s.track(t, playlist.AudioDir(n), args, func(emit func(context.Context, cmaf.SegmentData) error) cutter {
			return cmaf.NewAudioCutter(cmaf.AudioConfig{Timeline: timeline, Track: audio, PrimingSamples: cmaf.AACPriming, Emit: emit})
		})
		p.Audio = append(p.Audio, playlist.AudioTrack{Audio: audio, Track: track, Dir: playlist.AudioDir(n)})
	}
	if err := playlist.Check(p); err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte, err error) {
		t.Helper()
		if err == nil {
			err = s.write(name, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range p.Video {
		data, err := playlist.Media(v.Track)
		write(v.Rendition.Name+"/"+playlist.MediaName, data, err)
	}
	for _, a := range p.Audio {
		data, err := playlist.Media(a.Track)
		write(a.Dir+"/"+playlist.MediaName, data, err)
	}
	data, err := playlist.Manifest(p)
	write(playlist.ManifestName, data, err)
	data, err = playlist.Master(p)
	write(playlist.MasterName, data, err)

	for _, name := range []string{playlist.MasterName, playlist.ManifestName} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(s.dir, name)
			if name == playlist.ManifestName && !strings.Contains(ffmpeg(t, "ffmpeg", "-v", "error", "-demuxers"), " dash ") {
				t.Skip("this ffmpeg can't read DASH")
			}
			ffmpeg(t, "ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", path, "-map", "0", "-f", "null", "-")
			counts := ffmpeg(t, "ffprobe", "-v", "error", "-count_packets", "-show_entries", "stream=codec_type,width,nb_read_packets", "-of", "csv=p=0", path)
			// The streams come once more in each program; the last block has all.
			blocks := strings.Split(strings.TrimSpace(counts), "\n\n")
			counts = blocks[len(blocks)-1]
			for _, want := range []string{"video,320,97", "video,160,97"} {
				if !strings.Contains(counts, want) {
					t.Errorf("ffprobe sees\n%s want %s", counts, want)
				}
			}
			if got := strings.Count(counts, "audio,"); got != 2 {
				t.Errorf("ffprobe sees %d audio tracks, want 2:\n%s", got, counts)
			}
			if name == playlist.ManifestName {
				return // ffmpeg reads a manifest's duration in whole seconds
			}
			duration := ffmpeg(t, "ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path)
			if !strings.HasPrefix(duration, "4.04") {
				t.Errorf("it lasts %q, want 4.0457", duration)
			}
		})
	}
}
