package media

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"millrace/job"
	"millrace/media/mediatest"
)

// files are the names of all files under the output folder, sorted.
func (w *workflow) files() []string {
	w.Helper()
	var names []string
	err := filepath.WalkDir(w.folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(w.folder, path)
		names = append(names, name)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return names
}

func (w *workflow) write(name, text string) {
	w.Helper()
	path := filepath.Join(w.folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

// flashing is a source of five seconds with flashes and beeps.
func flashing(t *testing.T) string {
	return mediatest.Make(t, "flashing.mp4", words(flash+beep+x264+"-c:a aac")...)
}

func TestEveryKindOfOutputIsPublished(t *testing.T) {
	t.Parallel()
	spec := tinySpec()
	spec.Outputs = []job.OutputKind{job.Thumbnails, job.MP4, job.DASH, job.HLS}
	w := inspected(t, flashing(t), spec).chunked(t, 2)
	w.finish()
	var published []string
	for _, p := range w.done.Published {
		published = append(published, fmt.Sprintf("%s %s", p.Kind, p.Name))
	}
	if want := "hls video.m3u8, dash video.mpd, mp4 90p.mp4, mp4 64p.mp4, thumbnails thumbnails/index.vtt"; strings.Join(published, ", ") != want {
		t.Errorf("published %s, want %s", strings.Join(published, ", "), want)
	}
	for _, master := range []string{"video.m3u8", "video.mpd"} {
		mediatest.Ask(t, "ffmpeg", "-nostdin", "-v", "error", "-xerror", "-allowed_extensions", "ALL", "-i", filepath.Join(w.folder, master), "-f", "null", "-")
	}
	w.checkMP4("90p.mp4")
	w.checkMP4("64p.mp4")
	w.checkSheets()
}

// checkMP4 plays a progressive file: its index comes first, pictures and sound
// begin at 0 and are in sync.
func (w *workflow) checkMP4(name string) {
	w.Helper()
	path := filepath.Join(w.folder, name)
	body, err := os.ReadFile(path)
	if err != nil {
		w.Fatal(err)
	}
	if moov, mdat := bytes.Index(body, []byte("moov")), bytes.Index(body, []byte("mdat")); moov < 0 || moov > mdat {
		w.Errorf("%s has its index at %d, after its pictures at %d", name, moov, mdat)
	}
	var found struct {
		Streams []struct {
			Type   string `json:"codec_type"`
			Frames string `json:"nb_read_frames"`
			Start  string `json:"start_time"`
		}
	}
	text := mediatest.Ask(w, "ffprobe", "-v", "error", "-of", "json", "-count_frames", "-show_streams", path)
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		w.Fatal(err)
	}
	if len(found.Streams) != 1+len(w.plan.Audio) || found.Streams[0].Type != "video" {
		w.Fatalf("%s has the streams %+v", name, found.Streams)
	}
	if want := fmt.Sprint(w.plan.Timeline.Frames); found.Streams[0].Frames != want || found.Streams[0].Start != "0.000000" {
		w.Errorf("%s has %s frames from %s s on, want %s from 0", name, found.Streams[0].Frames, found.Streams[0].Start, want)
	}
	seen, heard := w.flashes(path), beeps(w.sound(path))
	if len(seen) != len(heard) {
		w.Fatalf("%s: flashes at %.3f, beeps at %.3f", name, seen, heard)
	}
	for i := range seen {
		if math.Abs(seen[i]-heard[i]) > 1/w.plan.Timeline.Rate.Float() {
			w.Errorf("%s: flash at %.3f s, beep at %.3f s", name, seen[i], heard[i])
		}
	}
}

// checkSheets looks at the thumbnails: each entry of the index lies on a sheet.
func (w *workflow) checkSheets() {
	w.Helper()
	index, err := os.ReadFile(filepath.Join(w.folder, "thumbnails", "index.vtt"))
	if err != nil {
		w.Fatal(err)
	}
	if got := strings.Count(string(index), "-->"); got != 5 {
		w.Errorf("%d thumbnails of five seconds", got)
	}
	size := mediatest.Ask(w, "ffprobe", "-v", "error", "-of", "csv=p=0", "-show_entries", "stream=width,height", filepath.Join(w.folder, "thumbnails", "00001.jpg"))
	if want := "800,450"; strings.TrimSpace(size) != want {
		w.Errorf("the sheet is %s, want %s", size, want)
	}
}

func TestMP4AloneLeavesNoSegments(t *testing.T) {
	t.Parallel()
	spec := tinySpec()
	spec.Outputs = []job.OutputKind{job.MP4}
	w := inspected(t, flashing(t), spec).chunked(t, wholeTimeline)
	w.finish()
	if got := strings.Join(w.files(), " "); got != "64p.mp4 90p.mp4" {
		t.Errorf("the output has %s", got)
	}
}

func TestOtherCodecsAreCutExactly(t *testing.T) {
	for codec, prefix := range map[job.Codec]string{job.HEVC: "hvc1.", job.AV1: "av01."} {
		t.Run(string(codec), func(t *testing.T) {
			t.Parallel()
			spec := tinySpec()
			spec.Codec = codec
			spec.Outputs = append(spec.Outputs, job.MP4)
			w := inspected(t, mediatest.Make(t, "a.mp4", words(film+openGOP)...), spec).chunked(t, 2)
			w.finish()
			w.checkLadder()
			for _, task := range w.tasks {
				for _, made := range task.Result.Tracks {
					if !strings.HasPrefix(made.Codec, prefix) {
						t.Errorf("%s is %s", made.Name, made.Codec)
					}
				}
			}
		})
	}
}

func TestSpoiledSegmentsAreMadeAgain(t *testing.T) {
	t.Parallel()
	w := inspected(t, flashing(t), tinySpec()).chunked(t, 2)
	w.encodeAll()
	for _, c := range []struct {
		name  string
		spoil func()
		want  []job.TaskID
	}{
		{"a missing segment", func() { _ = os.Remove(w.segmentPath("64p", 2)) }, []job.TaskID{"encode-00001"}},
		{"a changed segment", func() { w.write("90p/00001.m4s", "something else") }, []job.TaskID{"encode-00000"}},
		{"a changed init segment", func() { w.write("90p/init.mp4", "something else") }, []job.TaskID{"encode-00000"}},
		{"a missing segment of sound", func() { _ = os.Remove(w.segmentPath("audio", 4)) }, []job.TaskID{"audio"}},
		{"two tasks'", func() { _ = os.Remove(w.segmentPath("64p", 4)); _ = os.Remove(w.segmentPath("audio", 0)) }, []job.TaskID{"audio", "encode-00002"}},
	} {
		c.spoil()
		_, err := w.pack()
		var redo *RedoError
		if !errors.As(err, &redo) || redo.Failure.Code != job.OutputVerification || !slices.Equal(redo.Tasks, c.want) {
			t.Fatalf("%s: got %v (%+v), want %v again", c.name, err, redo, c.want)
		}
		if _, err := os.Stat(filepath.Join(w.folder, "video.m3u8")); err == nil {
			t.Fatalf("%s: the master is there", c.name)
		}
		w.encodeAll()
	}
	if _, err := w.pack(); err != nil {
		t.Error(err)
	}
	w.checkLadder()
}

func TestInitSegmentsThatDifferMeanAllAgain(t *testing.T) {
	t.Parallel()
	w := inspected(t, flashing(t), tinySpec()).chunked(t, 2)
	w.encodeAll()
	w.tasks[2].Result.Tracks[0].Init.SHA256 = strings.Repeat("0", 64)
	_, err := w.pack()
	var redo *RedoError
	if want := []job.TaskID{"audio", "encode-00000", "encode-00001", "encode-00002"}; !errors.As(err, &redo) || !slices.Equal(redo.Tasks, want) {
		t.Errorf("got %v (%+v), want %v again", err, redo, want)
	}
}

func TestOnlyWhatIsOursIsRemoved(t *testing.T) {
	t.Parallel()
	spec := tinySpec()
	spec.Outputs = append(spec.Outputs, job.Thumbnails, job.MP4)
	w := inspected(t, flashing(t), spec).chunked(t, 2)
	foreign := []string{"64p/notes.txt", "90p/00001.m4s.bak", "audio/cover.jpg", "other/00001.m4s", "readme.txt", "thumbnails/mine.png"}
	for _, name := range foreign {
		w.write(name, "not ours")
	}
	// Of a longer video that was here before.
	for _, name := range []string{"64p/00006.m4s", "90p/00099.m4s", "audio/100000.m4s"} {
		w.write(name, "stale")
	}
	w.write("video.m3u8", "an earlier job's")
	if err := Prepare(t.Context(), w.output, w.plan); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(w.files(), "video.m3u8") {
		t.Error("the earlier job's master is still there once the job has begun")
	}
	w.finish()
	w.checkLadder()
	for _, name := range w.files() {
		if body, _ := os.ReadFile(filepath.Join(w.folder, name)); string(body) == "stale" {
			t.Errorf("%s is still there", name)
		}
	}
	if err := Cleanup(context.WithoutCancel(t.Context()), w.output, &w.plan); err != nil {
		t.Fatal(err)
	}
	if got := w.files(); !slices.Equal(got, foreign) {
		t.Errorf("after the cleanup there are %q, want %q", got, foreign)
	}
}

func TestNothingIsPublishedWithoutTheLease(t *testing.T) {
	t.Parallel()
	w := inspected(t, flashing(t), tinySpec()).chunked(t, 1)
	w.encodeAll()
	gone := errors.New("the lease is gone")
	before := w.files()
	for _, allowed := range []int{0, 1} {
		asked := 0
		_, err := w.toolbox.Package(t.Context(), w.output, PackageTask{
			Spec: w.spec, Plan: w.plan, Tasks: w.tasks,
			WhileHeld: func(ctx context.Context, change func(context.Context) error) error {
				if asked++; asked > allowed {
					return gone
				}
				return change(ctx)
			},
		})
		if !errors.Is(err, gone) {
			t.Errorf("it ends with %v", err)
		}
		after := w.files()
		if allowed == 0 && !slices.Equal(after, before) {
			t.Errorf("without the lease the output has changed from %q to %q", before, after)
		}
		for _, master := range []string{"video.m3u8", "video.mpd"} {
			if slices.Contains(after, master) {
				t.Errorf("%s is there though the lease was lost", master)
			}
		}
	}
}
