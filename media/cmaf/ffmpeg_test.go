package cmaf_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"millrace/job"
	"millrace/media/cmaf"
)

// film is 24000/1001, cut into segments of a second.
var film = job.Rational{Num: 24000, Den: 1001}

// delay is the B-frame delay of all tests: what x264 and x265 need for a
// pyramid of B-frames.
const delay = 2

// encoder is one way to make a chunk.
type encoder struct {
	codec job.Codec
	args  []string
}

var encoders = map[string]encoder{
	"libx264":                  {job.H264, []string{"-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-x264-params", "b-pyramid=normal:open-gop=0", "-sc_threshold", "0"}},
	"libx264 lossless":         {job.H264, []string{"-c:v", "libx264", "-preset", "veryfast", "-qp", "0", "-bf", "3", "-sc_threshold", "0"}},
	"libx264 without B-frames": {job.H264, []string{"-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-sc_threshold", "0"}},
	"libx265":                  {job.HEVC, []string{"-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1", "-x265-params", "log-level=error:open-gop=0:scenecut=0:bframes=4:b-pyramid=1:keyint=24:min-keyint=24"}},
	"libsvtav1":                {job.AV1, []string{"-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "scd=0"}},
}

// run runs a tool and returns what it writes to stdout; the test fails if it does.
func run(t *testing.T, tool string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), "SVT_LOG=1")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", tool, strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String()
}

func needFFmpeg(t testing.TB) {
	t.Helper()
	for _, tool := range []string{"ffmpeg", "ffprobe"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
}

// makeSource writes a film of frames pictures with an open GOP and B-frames,
// which is the hardest to cut.
func makeSource(t *testing.T, frames int64) string {
	t.Helper()
	needFFmpeg(t)
	source := filepath.Join(t.TempDir(), "source.mp4")
	run(t, "ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=24000/1001",
		"-frames:v", fmt.Sprint(frames), "-c:v", "libx264", "-preset", "veryfast", "-crf", "20",
		"-x264-params", "open-gop=1:bframes=3:keyint=40:min-keyint=10", "-pix_fmt", "yuv420p", "-y", source)
	return source
}

// chunkFilter is the filter of pipelines.md that gives exactly a chunk's frames.
func chunkFilter(timeline job.Timeline, frames job.FrameRange) string {
	return fmt.Sprintf("[0:v:0]fps=%s,trim=start_pts=%d:end_pts=%d,setpts=PTS-%d", timeline.Rate, frames.Start, frames.End, frames.Start)
}

// encodeChunk is the ffmpeg command for a chunk, with its output on stdout.
func encodeChunk(source string, timeline job.Timeline, frames job.FrameRange, e encoder, extra ...string) []string {
	start := max(0, timeline.At(frames.Start).Seconds()-1)
	end := timeline.At(frames.End).Seconds() + 1
	n := fmt.Sprint(timeline.SegmentFrames)
	args := []string{
		"-nostdin", "-v", "error", "-copyts", "-ss", fmt.Sprint(start), "-to", fmt.Sprint(end), "-i", source, "-an",
		"-filter_complex", chunkFilter(timeline, frames),
	}
	args = append(args, e.args...)
	args = append(args, "-g", n, "-keyint_min", n, "-force_key_frames", "expr:gte(n,n_forced*"+n+")")
	args = append(args, extra...)
	return append(args, "-video_track_timescale", fmt.Sprint(timeline.Rate.Num),
		"-movflags", "+frag_keyframe+empty_moov+default_base_moof+negative_cts_offsets", "-f", "mp4", "pipe:1")
}

// pipe starts ffmpeg and gives its stdout to read; the test waits for its end.
func pipe(t *testing.T, args []string, read func(io.Reader) error) error {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", args...)
	cmd.Env = append(os.Environ(), "SVT_LOG=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	readErr := read(stdout)
	if _, err := io.Copy(io.Discard, stdout); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("ffmpeg %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return readErr
}

// shelf is an output store: a folder that segments are put into.
type shelf struct {
	dir   string
	track job.Track
	infos []cmaf.TrackInfo
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	return &shelf{dir: t.TempDir()}
}

func (s *shelf) put(_ context.Context, data cmaf.SegmentData) error {
	sum := sha256.Sum256(data.Bytes)
	s.track.Segments = append(s.track.Segments, job.Segment{
		Object: job.Object{Name: data.Name, Size: int64(len(data.Bytes)), SHA256: hex.EncodeToString(sum[:])},
		Number: data.Number, Samples: data.Samples, Duration: data.Duration,
	})
	return os.WriteFile(filepath.Join(s.dir, data.Name), data.Bytes, 0o600)
}

func (s *shelf) finish(t *testing.T, info cmaf.TrackInfo) {
	t.Helper()
	s.infos = append(s.infos, info)
	s.track.Codec, s.track.Timescale, s.track.Init = info.Codec, info.Timescale, job.Object{Name: cmaf.InitName}
	if err := os.WriteFile(filepath.Join(s.dir, cmaf.InitName), info.Init, 0o600); err != nil {
		t.Fatal(err)
	}
}

// join concatenates the shelf into one file and returns its path.
func (s *shelf) join(t *testing.T) string {
	t.Helper()
	path := filepath.Join(s.dir, "joined.mp4")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	open := func(_ context.Context, name string) (io.ReadCloser, error) {
		return os.Open(filepath.Join(s.dir, name))
	}
	if err := cmaf.Concat(t.Context(), file, s.track, open); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// cutAll encodes every chunk of the timeline by itself and cuts it onto a shelf.
func cutAll(t *testing.T, source string, timeline job.Timeline, e encoder, counts ...int) *shelf {
	t.Helper()
	chunks, err := timeline.Cut(counts)
	if err != nil {
		t.Fatal(err)
	}
	s := newShelf(t)
	for _, chunk := range chunks {
		err := pipe(t, encodeChunk(source, timeline, chunk.Frames, e), func(r io.Reader) error {
			info, err := cmaf.NewVideoCutter(cmaf.VideoConfig{
				Timeline: timeline, Chunk: chunk, Codec: e.codec, DelayFrames: delay, Emit: s.put,
			}).Cut(t.Context(), r)
			if err == nil {
				s.finish(t, info)
			}
			return err
		})
		if err != nil {
			t.Fatalf("chunk %d: %v", chunk.Index, err)
		}
	}
	return s
}

// frameHashes is the hash of each frame, with its presentation time first.
func frameHashes(t *testing.T, args ...string) []string {
	t.Helper()
	out := run(t, "ffmpeg", append(append([]string{"-nostdin", "-v", "error", "-xerror"}, args...), "-fps_mode", "passthrough", "-f", "framemd5", "-")...)
	var hashes []string
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, ",")
		hashes = append(hashes, strings.TrimSpace(fields[2])+" "+strings.TrimSpace(fields[5]))
	}
	return hashes
}
