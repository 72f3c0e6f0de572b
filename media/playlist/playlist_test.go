package playlist

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Eyevinn/dash-mpd/mpd"
	"github.com/Eyevinn/hls-m3u8/m3u8"

	"millrace/job"
	"millrace/media/cmaf"
)

var update = flag.Bool("update", false, "write the golden files anew")

// ladder is a presentation of two rungs and two languages, 10.01 s at
// 24000/1001, made up by arithmetic.
func ladder() Presentation {
	timeline := job.Timeline{Rate: job.Rational{Num: 24000, Den: 1001}, Frames: 241, SegmentFrames: 96}
	video := func(name, codec string, width, height int, bytes int64) VideoTrack {
		track := job.Track{Name: name, Codec: codec, Timescale: 24000, Init: job.Object{Name: name + "/init.mp4", Size: 700, SHA256: "1"}}
		for i := range timeline.Segments() {
			n := timeline.Segment(i).Len()
			track.Segments = append(track.Segments, job.Segment{
				Object: job.Object{Name: name + "/" + cmaf.SegmentName(i+1), Size: n * bytes},
				Number: i + 1, Samples: n, Duration: n * 1001,
			})
		}
		return VideoTrack{Rendition: job.Rendition{Name: name, Width: width, Height: height, Codec: job.H264}, Track: track}
	}
	audio := func(n int, language, label string, standard bool) AudioTrack {
		dir := AudioDir(n)
		track := job.Track{Name: fmt.Sprint(n + 1), Codec: "mp4a.40.2", Timescale: 48000, Init: job.Object{Name: dir + "/init.mp4", Size: 600, SHA256: "2"}}
		for i, units := range []int64{189, 188, 96} {
			duration := units * 1024
			if i == 0 {
				duration -= cmaf.AACPriming
			}
			track.Segments = append(track.Segments, job.Segment{
				Object: job.Object{Name: dir + "/" + cmaf.SegmentName(i+1), Size: units * 341},
				Number: i + 1, Samples: units, Duration: duration,
			})
		}
		return AudioTrack{
			Audio: job.AudioTrack{Name: fmt.Sprint(n + 1), Language: language, Label: label, Channels: 2, SampleRate: 48000, Default: standard},
			Track: track, Dir: dir,
		}
	}
	return Presentation{
		Timeline: timeline,
		Video:    []VideoTrack{video("720p", "avc1.64001f", 1280, 720, 12000), video("360p", "avc1.64001e", 640, 360, 4000)},
		Audio:    []AudioTrack{audio(0, "en", "English \"stereo\"\r\n#EXT-X-ENDLIST", false), audio(1, "und", "", true)},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (run with -update if that is meant); got\n%s", path, got)
	}
}

func TestPlaylistsAreAsTheyWere(t *testing.T) {
	p := ladder()
	if err := Check(p); err != nil {
		t.Fatal(err)
	}
	silent := p
	silent.Audio = nil
	for name, write := range map[string]func() ([]byte, error){
		"video.m3u8":       func() ([]byte, error) { return Master(p) },
		"silent.m3u8":      func() ([]byte, error) { return Master(silent) },
		"video.mpd":        func() ([]byte, error) { return Manifest(p) },
		"video_index.m3u8": func() ([]byte, error) { return Media(p.Video[0].Track) },
		"audio_index.m3u8": func() ([]byte, error) { return Media(p.Audio[0].Track) },
	} {
		got, err := write()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		golden(t, name, got)
	}
}

func TestWhatIsWrittenReadsBack(t *testing.T) {
	p := ladder()
	master, err := Master(p)
	if err != nil {
		t.Fatal(err)
	}
	list, kind, err := m3u8.DecodeFrom(strings.NewReader(string(master)), true)
	if err != nil || kind != m3u8.MASTER {
		t.Fatalf("the master is no master: %v", err)
	}
	if got := len(list.(*m3u8.MasterPlaylist).Variants); got != 2 {
		t.Errorf("%d variants, want 2", got)
	}
	manifest, err := Manifest(p)
	if err != nil {
		t.Fatal(err)
	}
	read, err := mpd.MPDFromBytes(manifest)
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range read.Periods[0].AdaptationSets {
		var total uint64
		for _, s := range set.SegmentTemplate.SegmentTimeline.S {
			total += s.D * uint64(s.R+1)
		}
		got := float64(total) / float64(set.SegmentTemplate.GetTimescale())
		if want := p.Timeline.Duration().Seconds(); got < want-1e-6 || got > want+0.043 {
			t.Errorf("%s lasts %f s, want %f", set.ContentType, got, want)
		}
	}
	decoder := xml.NewDecoder(strings.NewReader(string(manifest)))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAShortLastSegmentIsNoPeak(t *testing.T) {
	track := job.Track{Timescale: 24, Segments: []job.Segment{
		{Object: job.Object{Size: 1000}, Duration: 96}, {Object: job.Object{Size: 2000}, Duration: 96}, {Object: job.Object{Size: 900}, Duration: 1},
	}}
	// The second and the last together: 2900 bytes in 97/24 s.
	if got, want := measure(track), (bandwidth{peak: 5741, average: 3880}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestCheckNamesTheTrackAndTheSegment(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*Presentation)
		want  string
	}{
		"a segment too few": {func(p *Presentation) { p.Video[1].Track.Segments = p.Video[1].Track.Segments[:2] }, "360p: it has 2 segments, the timeline has 3"},
		"a frame too few":   {func(p *Presentation) { p.Video[1].Track.Segments[2].Samples-- }, "360p: segment 3 has 48 frames, the timeline has 49"},
		"a longer segment":  {func(p *Presentation) { p.Video[0].Track.Segments[0].Duration++ }, "720p: segment 1 lasts 96097 ticks, the timeline has 96096"},
		"an empty segment":  {func(p *Presentation) { p.Video[0].Track.Segments[1].Size = 0 }, "720p: segment 2 has 0 bytes, 96 samples and 96096 ticks"},
		"another's segment": {func(p *Presentation) { p.Video[0].Track.Segments[1].Name = "360p/00002.m4s" }, `720p: segment 2 is "360p/00002.m4s", expected "720p/00002.m4s"`},
		"a wrong order":     {func(p *Presentation) { p.Video[0].Track.Segments[1].Number = 3 }, "720p: segment 2 is missing, segment 3 is in its place"},
		"another codec":     {func(p *Presentation) { p.Video[0].Track.Codec = "hvc1.1.6.L60.90" }, `720p: "hvc1.1.6.L60.90" is no codec string of h264`},
		"another timescale": {func(p *Presentation) { p.Video[0].Track.Timescale = 24 }, "720p: it has 24 ticks a second, the timeline has 24000"},
		"another init":      {func(p *Presentation) { p.Video[0].Track.Init.Name = "init.mp4" }, `720p: its init segment is "init.mp4", expected "720p/init.mp4"`},
		"no renditions":     {func(p *Presentation) { p.Video = nil }, "video: there are no renditions"},
		"short sound":       {func(p *Presentation) { p.Audio[1].Track.Segments[2].Duration -= 4096 }, "audio track 2: segment 3 ends -0."},
		"late sound":        {func(p *Presentation) { p.Audio[0].Track.Segments[0].Duration += 2048 }, "audio track 1: segment 1 ends 0."},
		"no AAC":            {func(p *Presentation) { p.Audio[0].Track.Codec = "opus" }, `audio track 1: "opus" is not the codec string mp4a.40.2`},
	} {
		t.Run(name, func(t *testing.T) {
			p := ladder()
			test.spoil(&p)
			err := Check(p)
			var failure *job.Failure
			if !errors.As(err, &failure) || failure.Code != job.EncoderOutputMismatch || !strings.HasPrefix(failure.Message, test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestChunksOfOneRenditionJoin(t *testing.T) {
	whole := ladder().Video[0].Track
	first, second := whole, whole
	first.Segments, second.Segments = whole.Segments[:2], whole.Segments[2:]
	joined, err := Join([]job.Track{first, second})
	if err != nil || len(joined.Segments) != 3 {
		t.Fatalf("got %d segments, %v", len(joined.Segments), err)
	}
	other := second
	other.Init.SHA256 = "3"
	if _, err := Join([]job.Track{first, other}); err == nil || !strings.Contains(err.Error(), "another init segment") {
		t.Errorf("got %v", err)
	}
	if _, err := Join([]job.Track{second, first}); err == nil || !strings.Contains(err.Error(), "segment 3 where segment 1 belongs") {
		t.Errorf("got %v", err)
	}
}

func TestNamesAreFitForQuotesAndUnique(t *testing.T) {
	tracks := []AudioTrack{
		{Audio: job.AudioTrack{Label: "a \"b\"\nc\x00\xff"}}, {Audio: job.AudioTrack{Label: "a 'b' c"}},
		{Audio: job.AudioTrack{Language: "fr"}}, {Audio: job.AudioTrack{Language: "x\",URI=\"y"}},
		{Audio: job.AudioTrack{Label: strings.Repeat("é", 200)}},
	}
	got := strings.Join(uniqueNames(tracks), "|")
	if want := "a 'b' c|a 'b' c (2)|fr|Audio 4|" + strings.Repeat("é", 100); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
