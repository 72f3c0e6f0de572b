package hwaccel

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"millrace/job"
	"millrace/media/ffmpeg"
)

var qualities = []job.Quality{job.Economy, job.Standard, job.High}

func TestEveryRowHasAllItNeeds(t *testing.T) {
	delays := make(map[job.Codec]int64)
	for _, row := range Rows() {
		for _, quality := range qualities {
			if row.Presets[quality] == "" || row.CRF[quality] <= 0 {
				t.Errorf("%s has no preset or CRF for %s", row.Encoder, quality)
			}
		}
		if row.Codec == "" || row.Kind == "" || row.PixelFormat == "" || row.Scaler == "" || row.specific == nil || row.quality == nil {
			t.Errorf("row %+v", row)
		}
		if again, ok := Encoder(row.Encoder); !ok || again.Encoder != row.Encoder {
			t.Errorf("%s can't be found", row.Encoder)
		}
		if _, found := SurfaceOf(row.API); found != (row.Kind != CPU) {
			t.Errorf("%s on %s has no surface", row.Encoder, row.Kind)
		}
		if had, other := delays[row.Codec]; other && had != row.DelayFrames {
			t.Errorf("%s has a delay of %d frames, other encoders of %s one of %d: a job could not change between them", row.Encoder, row.DelayFrames, row.Codec, had)
		}
		delays[row.Codec] = row.DelayFrames
	}
	if _, ok := Encoder("nonesuch"); ok {
		t.Error("found an encoder that isn't there")
	}
	for codec, want := range map[job.Codec]string{job.H264: "libx264", job.HEVC: "libx265", job.AV1: "libsvtav1"} {
		if list := EncodersFor(codec, CPU); len(list) != 1 || list[0].Encoder != want {
			t.Errorf("%s on the CPU is %v", codec, list)
		}
		if list := EncodersFor(codec, NVIDIA); len(list) != 1 {
			t.Errorf("%s on NVIDIA is %v", codec, list)
		}
		if list := EncodersFor(codec, RenderNode); len(list) != 2 || list[0].API != QSV {
			t.Errorf("%s on render nodes is %v", codec, list)
		}
	}
}

func TestRenditionsRateAndQualityAreInTheArguments(t *testing.T) {
	x264, _ := Encoder("libx264")
	rendition := job.Rendition{CRF: 20.5, MaxBitsPerSecond: 5_000_000, BufferBits: 7_500_000}
	text := strings.Join(x264.Args(Settings{Rendition: rendition, Quality: job.High, SegmentFrames: 120, Threads: 1}), " ")
	for _, want := range []string{
		"-c:v libx264", "-preset medium", "-crf 20.5", "-maxrate 5000000 -bufsize 7500000", "-g 120", "-keyint_min 120",
		"-sc_threshold 0", "-force_key_frames expr:gte(n,n_forced*120)", "-threads 1", "lookahead-threads=1",
		"-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	text = strings.Join(x264.Args(Settings{SegmentFrames: 120}), " ")
	if !strings.Contains(text, "-crf 23") || !strings.Contains(text, "-preset veryfast") || strings.Contains(text, "maxrate") {
		t.Errorf("defaults are %s", text)
	}
	if got := x264.Scale(1280, 720); got != "scale=w=1280:h=720:flags=lanczos" {
		t.Errorf("got %s", got)
	}
}

// encodeChunk encodes frames of moving pictures with a scene change among them.
func encodeChunk(t *testing.T, row Row, s Settings, frames int) (*ffmpeg.ProbeResult, []byte, ffmpeg.Report) {
	t.Helper()
	dir := t.TempDir()
	pictures := "testsrc2=s=320x180:r=30,trim=end_frame=17[a];mandelbrot=s=320x180:r=30,format=yuv420p[b];[a][b]concat"
	global, input := ThreadArgs(s.Threads)
	args := slices.Concat(global, input,
		[]string{"-f", "lavfi", "-i", pictures, "-frames:v", fmt.Sprint(frames)},
		row.Args(s),
		[]string{"-video_track_timescale", "30", "-f", "mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof+negative_cts_offsets", ffmpeg.PipeURL(0)},
	)
	var out bytes.Buffer
	report, err := tools(t).Run(t.Context(), ffmpeg.Command{
		Args: args, Dir: dir, Outputs: []func(io.Reader) error{func(r io.Reader) error {
			_, err := io.Copy(&out, r)
			return err
		}},
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, report.LastWords)
	}
	file := filepath.Join(dir, "out.mp4")
	write(t, file, out.Bytes())
	found, err := tools(t).Probe(t.Context(), file, "-count_frames", "-show_packets")
	if err != nil {
		t.Fatal(err)
	}
	end := bytes.Index(out.Bytes(), []byte("moof"))
	if end < 0 {
		t.Fatal("no fragment")
	}
	return found, out.Bytes()[:end-4], report // without the size of the first fragment
}

func TestChunksAreCutAndDelayedAsTheTableSays(t *testing.T) {
	features, err := tools(t).Features(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range Rows() {
		for _, quality := range qualities {
			t.Run(row.Encoder+" "+string(quality), func(t *testing.T) {
				if row.Kind != CPU {
					t.Skip("there is no such device")
				}
				if !features.Encoders[row.Encoder] {
					t.Skipf("this ffmpeg has no %s", row.Encoder)
				}
				var init []byte
				chunks := []struct{ frames, threads int }{{30, 1}}
				if quality == job.Standard {
					chunks = append(chunks, []struct{ frames, threads int }{{30, 2}, {1, 1}, {2, 0}}...)
				}
				for _, c := range chunks {
					s := Settings{
						Rendition: job.Rendition{MaxBitsPerSecond: 1e6, BufferBits: 2e6},
						Quality:   quality, SegmentFrames: 12, Threads: c.threads,
					}
					found, head, report := encodeChunk(t, row, s, c.frames)
					if report.Warnings+report.Errors > 0 || report.LastWords != "" {
						t.Errorf("%d frames: ffmpeg says %s", c.frames, report.LastWords)
					}
					checkChunk(t, row, found, c.frames, 12)
					if init == nil {
						init = head
					}
					if !bytes.Equal(init, head) {
						t.Errorf("%d frames with %d threads have another init segment", c.frames, c.threads)
					}
				}
			})
		}
	}
}

func checkChunk(t *testing.T, row Row, found *ffmpeg.ProbeResult, frames, segment int) {
	t.Helper()
	stream := found.Streams[0]
	if stream.DecodedFrames != int64(frames) || len(found.Packets) != frames {
		t.Errorf("%d frames decoded, %d packets, want %d", stream.DecodedFrames, len(found.Packets), frames)
	}
	if stream.ColorSpace != "bt709" || stream.ColorTransfer != "bt709" || stream.ColorPrimary != "bt709" || stream.ColorRange != "tv" || stream.PixelFormat != "yuv420p" {
		t.Errorf("colours are %s %s %s %s %s", stream.ColorSpace, stream.ColorTransfer, stream.ColorPrimary, stream.ColorRange, stream.PixelFormat)
	}
	if want := map[job.Codec]string{job.H264: "avc1", job.HEVC: "hvc1", job.AV1: "av01"}[row.Codec]; stream.CodecTag != want {
		t.Errorf("sample entry is %s, want %s", stream.CodecTag, want)
	}
	for i, packet := range found.Packets {
		if packet.Key != (i%segment == 0) {
			t.Errorf("packet %d: keyframe is %v", i, packet.Key)
		}
		if packet.PTS == nil || packet.DTS == nil {
			t.Fatalf("packet %d has no times", i)
		}
		// ffmpeg's demuxer has shifted the track by the delay, see pipelines.
		if packet.Key && *packet.PTS-*packet.DTS != row.DelayFrames && frames > 2 {
			t.Errorf("packet %d is delayed by %d frames, want %d", i, *packet.PTS-*packet.DTS, row.DelayFrames)
		}
	}
}
