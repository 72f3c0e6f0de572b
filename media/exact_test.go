package media

import (
	"fmt"
	"strings"
	"testing"

	"millrace/media/mediatest"
)

// chunking is how a source is cut, and whether it is encoded without loss, to be
// compared frame by frame with an uncut run.
type chunking struct {
	segments int
	lossless bool
}

// checkExact makes the ladder with different chunkings, the usual ones if none
// is given, and checks everything about it: in the last one also the sync of
// its sound.
func (w *workflow) checkExact(fewestSync int, chunkings ...chunking) {
	w.Helper()
	w.makeReference()
	w.checkCount()
	if len(chunkings) == 0 {
		chunkings = []chunking{{1, true}, {3, false}}
	}
	for i, chunking := range chunkings {
		v := w.chunked(w.T, chunking.segments)
		v.lossless = chunking.lossless
		v.finish()
		v.checkLadder()
		if chunking.lossless {
			v.checkSums()
		}
		if fewestSync > 0 && i == len(chunkings)-1 {
			v.checkSync(fewestSync)
		}
		if w.Failed() {
			w.Fatalf("… in chunks of %d segments of %+v", chunking.segments, v.plan.Timeline)
		}
	}
}

func TestOddPicturesAreCutExactly(t *testing.T) {
	testMade(t, oddPictures)
}

func TestOddSoundStaysInSync(t *testing.T) {
	testMade(t, oddSound)
}

func testMade(t *testing.T, sources []made) {
	t.Helper()
	for _, source := range sources {
		t.Run(source.name, func(t *testing.T) {
			t.Parallel()
			w := inspected(t, source.make(t), tinySpec())
			plan := w.plan
			if got := plan.Timeline.Rate.String(); got != source.rate {
				t.Errorf("the timeline has %s frames a second, want %s", got, source.rate)
			}
			if source.frames > 0 && plan.Timeline.Frames != source.frames {
				t.Errorf("the timeline has %d frames, want %d", plan.Timeline.Frames, source.frames)
			}
			width, height := 160, 90
			if source.width > 0 {
				width, height = source.width, source.height
			}
			if top := plan.Renditions[0]; top.Width != width || top.Height != height {
				t.Errorf("the first rung is %d×%d, want %d×%d", top.Width, top.Height, width, height)
			}
			if len(plan.Audio) != source.tracks {
				t.Errorf("%d tracks of sound, want %d", len(plan.Audio), source.tracks)
			}
			if t.Failed() {
				t.Fatalf("%+v of %+v", plan.Timeline, plan.Source)
			}
			if source.sync > 0 { // their pictures are all alike, and cut in both ways elsewhere
				w.checkExact(source.sync, chunking{1, true})
			} else {
				w.checkExact(0)
			}
		})
	}
}

func TestRealClipsAreCutExactly(t *testing.T) {
	for name, want := range map[string]struct {
		rate          string
		width, height int
		tracks        int
	}{
		"phone.mp4":    {"30/1", 160, 90, 1},
		"cockatoo.mp4": {"20/1", 160, 90, 1},
		"street.avi":   {"10/1", 120, 90, 0},
		"trailer.avi":  {"2997/125", 122, 90, 1},
		"intro.mpg":    {"30/1", 120, 90, 1},
		"bunny.mp4":    {"24/1", 160, 90, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := tinySpec()
			spec.SegmentDuration *= 6
			w := inspected(t, mediatest.Clip(t, name), spec)
			if got := w.plan.Timeline.Rate.String(); got != want.rate {
				t.Errorf("the timeline has %s frames a second, want %s", got, want.rate)
			}
			if top := w.plan.Renditions[0]; top.Width != want.width || top.Height != want.height {
				t.Errorf("the first rung is %d×%d, want %d×%d", top.Width, top.Height, want.width, want.height)
			}
			if len(w.plan.Audio) != want.tracks {
				t.Errorf("%d tracks of sound, want %d", len(w.plan.Audio), want.tracks)
			}
			if w.plan.Timeline.Segments() > 3 { // long: each chunking costs seconds
				w.checkExact(0, chunking{2, true})
			} else {
				w.checkExact(0)
			}
		})
	}
}

func TestSourceCutWithoutEncodingStartsWhereItsEditListSays(t *testing.T) {
	t.Parallel()
	w := inspected(t, cutWithoutEncoding(t), tinySpec())
	w.checkExact(3)
}

func TestLastPictureStandsForItsOwnLength(t *testing.T) {
	t.Parallel()
	w := inspected(t, standing(t), tinySpec())
	if got, want := w.plan.Timeline.Frames, int64(101+5*30); got != want {
		t.Fatalf("the timeline has %d frames, want %d", got, want)
	}
	w.checkExact(0)
}

func TestRotatedVideoStandsUpright(t *testing.T) {
	t.Parallel()
	w := inspected(t, rotated(t), tinySpec())
	if top := w.plan.Renditions[0]; top.Width != 90 || top.Height != 160 {
		t.Fatalf("the first rung is %d×%d, want 90×160", top.Width, top.Height)
	}
	w.checkExact(0)
	v := w.chunked(t, wholeTimeline)
	v.finish()
	// Turned against the clock, what was left is below.
	raw := mediatest.Ask(t, "ffmpeg", "-v", "error", "-i", v.joined("90p"), "-frames:v", "1", "-vf", "scale=1:2:flags=area,format=gray", "-f", "rawvideo", "-")
	if len(raw) != 2 || raw[0] > 50 || raw[1] < 200 {
		t.Errorf("above and below are %v, want black above white", []byte(raw))
	}
}

func TestTracksKeepTheirLanguages(t *testing.T) {
	t.Parallel()
	i := len(oddSound) - 1 // "two tracks"
	w := inspected(t, oddSound[i].make(t), tinySpec())
	var got []string
	for _, track := range w.plan.Audio {
		got = append(got, fmt.Sprintf("%s %s %v %d", track.Name, track.Language, track.Default, track.Channels))
	}
	if want := "1 fr false 1, 2 en true 1"; strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %q", strings.Join(got, ", "), want)
	}
}
