package cmaf_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"millrace/job"
	"millrace/media/cmaf"
)

var stereo = job.AudioTrack{Name: "1", Channels: 2, SampleRate: 48000}

// cutSound encodes what the lavfi source makes and cuts it.
func cutSound(t *testing.T, timeline job.Timeline, lavfi string, extra ...string) (*shelf, error) {
	t.Helper()
	needFFmpeg(t)
	s := newShelf(t)
	args := []string{"-nostdin", "-v", "error", "-f", "lavfi", "-i", lavfi, "-vn", "-ac", "2", "-ar", "48000", "-c:a", "aac", "-b:a", "128k"}
	args = append(append(args, extra...), "-movflags", "+empty_moov+default_base_moof", "-frag_duration", "700000", "-f", "mp4", "pipe:1")
	err := pipe(t, args, func(r io.Reader) error {
		info, err := cmaf.NewAudioCutter(cmaf.AudioConfig{
			Timeline: timeline, Track: stereo, PrimingSamples: cmaf.AACPriming, Emit: s.put,
		}).Cut(t.Context(), r)
		if err == nil {
			s.finish(t, info)
		}
		return err
	})
	return s, err
}

// sine is a tone of exactly the timeline's duration, in samples, and off more.
func sine(timeline job.Timeline, off int64) string {
	samples := (timeline.Frames*timeline.Rate.Den*48000+timeline.Rate.Num-1)/timeline.Rate.Num + off
	return fmt.Sprintf("sine=frequency=440:sample_rate=48000:duration=60,atrim=end_sample=%d", samples)
}

func TestSoundIsCutWhereThePicturesAre(t *testing.T) {
	for _, frames := range []int64{24, 25, 97, 240, 251} {
		t.Run(fmt.Sprint(frames), func(t *testing.T) {
			timeline := job.Timeline{Rate: film, Frames: frames, SegmentFrames: 24}
			s, err := cutSound(t, timeline, sine(timeline, 0))
			if err != nil {
				t.Fatal(err)
			}
			if got := len(s.track.Segments); got != timeline.Segments() {
				t.Fatalf("%d segments, want %d", got, timeline.Segments())
			}
			var heard int64
			for i, segment := range s.track.Segments {
				heard += segment.Duration
				// The exact border, in samples: the cut is less than an access unit after it.
				border := float64(timeline.Segment(i).End*film.Den*48000) / float64(film.Num)
				if off := float64(heard) - border; off < 0 || off >= cmaf.AccessUnitSamples {
					if i+2 < timeline.Segments() { // the last border may give an access unit away
						t.Errorf("segment %d ends %.1f samples after the border", i+1, off)
					}
				}
			}
			if got, want := s.track.Codec, "mp4a.40.2"; got != want {
				t.Errorf("codec %s, want %s", got, want)
			}
			joined := s.join(t)
			run(t, "ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", joined, "-f", "null", "-")
			start := run(t, "ffprobe", "-v", "error", "-show_entries", "stream=start_pts", "-of", "csv=p=0", joined)
			// The priming lies before 0, where the edit list puts it.
			if start != "-1024\n" {
				t.Errorf("the sound starts at %q, want -1024", start)
			}
		})
	}
}

func TestSoundAnAccessUnitOffIsTakenAndMoreIsRefused(t *testing.T) {
	timeline := job.Timeline{Rate: film, Frames: 49, SegmentFrames: 24}
	for _, test := range []struct {
		off  int64
		want string // "" if it is taken
	}{
		{-1024, ""}, {-500, ""}, {900, ""},
		{-4096, "audio track 1: the sound has 93 access units, expected 97 for 2.043708333s: it differs by -0.085 s"},
		{4096, "audio track 1: the sound is longer than the pictures: more than 98 access units, expected 97 for 2.043708333s"},
	} {
		t.Run(fmt.Sprint(test.off), func(t *testing.T) {
			s, err := cutSound(t, timeline, sine(timeline, test.off))
			if test.want != "" {
				checkMismatch(t, err, test.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := len(s.track.Segments); got != timeline.Segments() {
				t.Errorf("%d segments, want %d", got, timeline.Segments())
			}
		})
	}
}

func TestSoundOfAnotherShapeIsRefused(t *testing.T) {
	timeline := job.Timeline{Rate: film, Frames: 49, SegmentFrames: 24}
	_, err := cutSound(t, timeline, sine(timeline, 0), "-ac", "1")
	checkMismatch(t, err, "audio track 1: ffmpeg's output has 1 channels, expected 2")
	_, err = cutSound(t, timeline, sine(timeline, 0), "-ar", "44100")
	checkMismatch(t, err, "audio track 1: ffmpeg's output has 44100 samples a second, expected 48000")
}

// flashAt is the frame that is white, and at whose time the click sounds.
const flashAt = 61

func TestFlashAndClickStayTogether(t *testing.T) {
	needFFmpeg(t)
	timeline := job.Timeline{Rate: film, Frames: 120, SegmentFrames: 24}
	source := filepath.Join(t.TempDir(), "flash.mp4")
	run(t, "ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi",
		"-i", fmt.Sprintf("color=black:size=320x180:rate=24000/1001,geq=lum='if(eq(N,%d),235,16)':cb=128:cr=128", flashAt),
		"-frames:v", "120", "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-y", source)
	pictures := cutAll(t, source, timeline, encoders["libx264"], 2, 2, 1).join(t)
	click := float64(flashAt*film.Den) / float64(film.Num)
	sound, err := cutSound(t, timeline, fmt.Sprintf("aevalsrc='if(between(t,%f,%f),0.9*sin(6000*t),0)':s=48000:d=60,atrim=end_sample=240240", click, click+0.05))
	if err != nil {
		t.Fatal(err)
	}
	both := filepath.Join(t.TempDir(), "both.mp4")
	run(t, "ffmpeg", "-nostdin", "-v", "error", "-copyts", "-i", pictures, "-i", sound.join(t), "-map", "0:v", "-map", "1:a", "-c", "copy", both)

	luma := decode(t, both, "-map", "0:v", "-vf", "scale=1:1", "-pix_fmt", "gray", "-fps_mode", "passthrough", "-f", "rawvideo")
	flash := -1
	for i, y := range luma {
		if y > 128 && flash < 0 {
			flash = i
		}
	}
	if len(luma) != 120 || flash != flashAt {
		t.Fatalf("the flash is frame %d of %d, want %d of 120", flash, len(luma), flashAt)
	}
	pcm := decode(t, both, "-map", "0:a", "-ac", "1", "-f", "s16le")
	heard := -1
	for i := 0; i+1 < len(pcm) && heard < 0; i += 2 {
		if level := int16(binary.LittleEndian.Uint16(pcm[i:])); level > 8000 || level < -8000 {
			heard = i / 2
		}
	}
	if off := float64(heard)/48000 - click; off < -0.005 || off > 0.005 {
		t.Errorf("the click is heard %.4f s after the flash is shown", off)
	}
	if got, want := len(pcm)/2, 240240; got < want || got > want+cmaf.AccessUnitSamples {
		t.Errorf("%d samples decoded, want %d to a whole access unit", got, want)
	}
}

// decode is what ffmpeg makes of a file, raw.
func decode(t *testing.T, path string, args ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "raw")
	cmd := exec.CommandContext(t.Context(), "ffmpeg", append(append([]string{"-nostdin", "-v", "error", "-xerror", "-i", path}, args...), out)...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("decode: %v\n%s", err, text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestSoundInPieces takes a track from several runs of the encoder, which begin before
// their own access units.
func TestSoundInPieces(t *testing.T) {
	needFFmpeg(t)
	timeline := job.Timeline{Rate: film, Frames: 240, SegmentFrames: 24}
	encoded := func(args ...string) []byte {
		path := filepath.Join(t.TempDir(), "piece.mp4")
		run(t, "ffmpeg", append(append([]string{"-nostdin", "-v", "error", "-f", "lavfi", "-i", sine(timeline, 0), "-ac", "2", "-c:a", "aac", "-b:a", "128k"}, args...),
			"-movflags", "+empty_moov+default_base_moof", "-frag_duration", "700000", path)...)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	whole, tail := encoded(), encoded("-af", fmt.Sprintf("atrim=start_sample=%d,asetpts=PTS-STARTPTS", 180*cmaf.AccessUnitSamples))
	other := encoded("-ac", "1")
	type piece struct {
		data       []byte
		skip, take int64
	}
	cut := func(pieces ...piece) (*shelf, error) {
		s := newShelf(t)
		info, err := cmaf.NewAudioCutter(cmaf.AudioConfig{
			Timeline: timeline, Track: stereo, PrimingSamples: cmaf.AACPriming, Emit: s.put,
		}).CutPieces(t.Context(), func(yield func(cmaf.Piece, error) bool) {
			for _, p := range pieces {
				var err error
				if p.data == nil {
					err = io.ErrUnexpectedEOF
				}
				if !yield(cmaf.Piece{Output: bytes.NewReader(p.data), Skip: p.skip, Take: p.take}, err) {
					return
				}
			}
		})
		if err == nil {
			s.finish(t, info)
		}
		return s, err
	}
	alone, err := cut(piece{whole, 0, cmaf.AllUnits})
	if err != nil {
		t.Fatal(err)
	}
	pieces, err := cut(piece{whole, 0, 200}, piece{tail, 20, cmaf.AllUnits})
	if err != nil {
		t.Fatal(err)
	}
	for i, segment := range pieces.track.Segments {
		if want := alone.track.Segments[i]; segment.Samples != want.Samples || segment.Duration != want.Duration {
			t.Errorf("segment %d of two pieces is %+v, of one %+v", i, segment, want)
		}
	}
	run(t, "ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", pieces.join(t), "-f", "null", "-")

	_, err = cut(piece{whole, 0, 200}, piece{tail, 10, cmaf.AllUnits})
	checkMismatch(t, err, "audio track 1: the sound is longer than the pictures: more than 472 access units, expected 471 for 10.01s")
	_, err = cut(piece{whole, 300, 200}, piece{tail, 20, cmaf.AllUnits})
	checkMismatch(t, err, "audio track 1: a piece of the sound has 471 access units, expected 500")
	_, err = cut(piece{whole, 0, 200}, piece{other, 20, cmaf.AllUnits})
	checkMismatch(t, err, "audio track 1: ffmpeg's output has 1 channels, expected 2")
	if _, err = cut(piece{whole, 0, 200}, piece{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a piece that failed ends the track with %v", err)
	}
}
