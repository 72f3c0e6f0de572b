package media

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"millrace/hwaccel"
	"millrace/job"
	"millrace/media/ffmpeg"
	"millrace/media/mediatest"
)

// track is what ffprobe says of a joined track after decoding all of it.
type track struct {
	Streams []struct {
		Width, Height int
		TimeBase      string `json:"time_base"`
		StartPTS      int64  `json:"start_pts"`
		Frames        string `json:"nb_read_frames"`
		Aspect        string `json:"sample_aspect_ratio"`
		Range         string `json:"color_range"`
		Space         string `json:"color_space"`
		Transfer      string `json:"color_transfer"`
	}
	Packets []struct{ PTS, DTS, Duration int64 }
}

func (w *workflow) probe(path string) track {
	w.Helper()
	var found track
	text := mediatest.Ask(w, "ffprobe", "-v", "error", "-of", "json", "-count_frames", "-show_streams", "-show_packets", path)
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		w.Fatal(err)
	}
	if len(found.Streams) != 1 {
		w.Fatalf("%s has %d streams", path, len(found.Streams))
	}
	return found
}

// checkLadder decodes every rung and compares it with the timeline.
func (w *workflow) checkLadder() {
	w.Helper()
	timeline := w.plan.Timeline
	for _, rendition := range w.plan.Renditions {
		found := w.probe(w.joined(rendition.Name))
		stream := found.Streams[0]
		if want := fmt.Sprint(timeline.Frames); stream.Frames != want {
			w.Errorf("%s: %s frames can be decoded, the timeline has %s", rendition.Name, stream.Frames, want)
		}
		if stream.StartPTS != 0 {
			w.Errorf("%s starts at %d ticks", rendition.Name, stream.StartPTS)
		}
		if stream.Width != rendition.Width || stream.Height != rendition.Height || stream.Aspect != "1:1" {
			w.Errorf("%s is %d×%d with pixels %s, want %d×%d with square ones", rendition.Name, stream.Width, stream.Height, stream.Aspect, rendition.Width, rendition.Height)
		}
		if stream.Range != "tv" || stream.Space != "bt709" || stream.Transfer != "bt709" {
			w.Errorf("%s is in the colours %s %s %s", rendition.Name, stream.Range, stream.Space, stream.Transfer)
		}
		if want := fmt.Sprintf("1/%d", timeline.Rate.Num); stream.TimeBase != want {
			w.Errorf("%s has the time base %s, want %s", rendition.Name, stream.TimeBase, want)
		}
		var shown []int64
		for i, packet := range found.Packets {
			if i > 0 && packet.DTS-found.Packets[i-1].DTS != timeline.Rate.Den {
				w.Errorf("%s: frame %d is decoded %d ticks after the one before, not %d", rendition.Name, i, packet.DTS-found.Packets[i-1].DTS, timeline.Rate.Den)
			}
			shown = append(shown, packet.PTS)
		}
		slices.Sort(shown)
		for i, at := range shown {
			if at != int64(i)*timeline.Rate.Den {
				w.Errorf("%s: frame %d is shown at %d ticks, not %d", rendition.Name, i, at, int64(i)*timeline.Rate.Den)
				break
			}
		}
		w.checkSegmentStarts(rendition)
	}
	for _, audio := range w.plan.Audio {
		w.checkSoundLength(audio)
	}
}

// checkSegmentStarts looks at the bytes of each segment: its decode time is the
// timeline's, and its first picture resets an H.264 decoder.
func (w *workflow) checkSegmentStarts(rendition job.Rendition) {
	w.Helper()
	for i := range w.plan.Timeline.Segments() {
		body, err := os.ReadFile(w.segmentPath(rendition.Name, i))
		if err != nil {
			w.Fatal(err)
		}
		at := bytes.Index(body, []byte("tfdt"))
		if at < 0 || body[at+4] != 1 {
			w.Fatalf("%s segment %d has no 64-bit tfdt", rendition.Name, i)
		}
		want := w.plan.Timeline.Segment(i).Start * w.plan.Timeline.Rate.Den
		if got := int64(binary.BigEndian.Uint64(body[at+8:])); got != want {
			w.Errorf("%s segment %d is decoded from %d, want %d", rendition.Name, i, got, want)
		}
		if rendition.Codec == job.H264 && !startsWithIDR(body) {
			w.Errorf("%s segment %d doesn't start with an IDR picture", rendition.Name, i)
		}
	}
}

// startsWithIDR says whether the first picture in a segment's mdat is an IDR.
func startsWithIDR(segment []byte) bool {
	_, data, found := bytes.Cut(segment, []byte("mdat"))
	for found && len(data) > 5 {
		length := binary.BigEndian.Uint32(data)
		switch kind := data[4] & 0x1f; kind {
		case 5:
			return true
		case 6, 7, 8, 9: // what may come before a picture
		default:
			return false
		}
		if uint64(len(data)) < 4+uint64(length) {
			return false
		}
		data = data[4+length:]
	}
	return false
}

// accessUnit is how much longer or shorter sound may be than the pictures, in seconds.
const accessUnit = 1024.0 / 48_000

func (w *workflow) checkSoundLength(audio job.AudioTrack) {
	w.Helper()
	got, want := float64(len(w.soundOf(audio)))/soundRate, w.plan.Timeline.Duration().Seconds()
	if math.Abs(got-want) > accessUnit+0.001 {
		w.Errorf("audio track %s lasts %.3f s, the pictures %.3f s", audio.Name, got, want)
	}
}

// frameSums are the MD5 sums of the frames that framemd5 wrote to a file.
func (w *workflow) frameSums(path string) []string {
	w.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		w.Fatal(err)
	}
	var sums []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Split(line, ","); !strings.HasPrefix(line, "#") && len(fields) == 6 {
			sums = append(sums, strings.TrimSpace(fields[5]))
		}
	}
	return sums
}

// reference is what one run of ffmpeg makes of the whole source.
type reference struct {
	sums  [][]string // of the frames of each rung, with the same filters but no seek
	plain int        // frames with nothing but an fps filter
}

func (w *workflow) makeReference() {
	w.Helper()
	dir := w.TempDir()
	graph := pipeline{
		plan: w.plan, frames: job.FrameRange{End: w.plan.Timeline.Frames}, renditions: w.plan.Renditions, route: hwaccel.Software(w.encoder),
	}.graph()
	args := append([]string{"-nostdin", "-v", "error"}, decoderArgs(w.plan.Source)...)
	args = append(args, ffmpeg.InputArgs(w.in.URL)...)
	args = append(args, "-filter_complex", graph)
	output := func(name string, more ...string) {
		args = append(args, append(more, "-fps_mode", "passthrough", "-f", "framemd5", filepath.Join(dir, name))...)
	}
	for i := range w.plan.Renditions {
		output(outputName(i), "-map", "["+outputName(i)+"]")
	}
	output("plain", "-map", fmt.Sprintf("0:%d", w.plan.Source.Stream), "-vf", "fps="+w.plan.Timeline.Rate.String()+",scale=16:16")
	mediatest.Ask(w, "ffmpeg", args...)
	w.reference = &reference{plain: len(w.frameSums(filepath.Join(dir, "plain")))}
	for i := range w.plan.Renditions {
		w.reference.sums = append(w.reference.sums, w.frameSums(filepath.Join(dir, outputName(i))))
	}
}

// checkCount compares the timeline's length with what plain ffmpeg makes of the
// source at the timeline's rate. fps counts the frames of a last picture's own
// length, but drops or adds one where a source's times round the other way.
func (w *workflow) checkCount() {
	w.Helper()
	plain, frames := int64(w.reference.plain), w.plan.Timeline.Frames
	if plain > frames || plain < frames-w.plan.Source.Hold-1 {
		w.Errorf("plain ffmpeg makes %d frames of the source, the timeline has %d (the last stands for %d more)", plain, frames, w.plan.Source.Hold)
	}
}

// checkSums compares the frames of the joined chunks, which must have been made
// without loss, with an uncut run's.
func (w *workflow) checkSums() {
	w.Helper()
	dir := w.TempDir()
	var inputs, outputs []string
	for i, rendition := range w.plan.Renditions {
		inputs = append(inputs, "-i", w.joined(rendition.Name))
		outputs = append(outputs, "-map", fmt.Sprintf("%d:v", i), "-fps_mode", "passthrough", "-f", "framemd5", filepath.Join(dir, rendition.Name))
	}
	mediatest.Ask(w, "ffmpeg", slices.Concat([]string{"-nostdin", "-v", "error"}, inputs, outputs)...)
	for i, rendition := range w.plan.Renditions {
		want, got := w.reference.sums[i], w.frameSums(filepath.Join(dir, rendition.Name))
		if len(got) != len(want) {
			w.Errorf("%s: the chunks have %d frames, an uncut run %d", rendition.Name, len(got), len(want))
		}
		var differ []int
		for n := range min(len(got), len(want)) {
			if got[n] != want[n] {
				differ = append(differ, n)
			}
		}
		if len(differ) > 0 {
			w.Errorf("%s: %d of %d frames are not those of an uncut run, the first ones: %v", rendition.Name, len(differ), len(want), differ[:min(len(differ), 10)])
		}
	}
}
