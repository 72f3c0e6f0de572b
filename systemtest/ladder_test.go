package systemtest

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Eyevinn/dash-mpd/mpd"
	"github.com/Eyevinn/hls-m3u8/m3u8"
)

// ladder is what must lie in an output folder.
type ladder struct {
	rungs  map[string]string // name to "width x height"
	frames int
	silent bool // no sound
	// foreign clips don't show numbers.
	foreign bool
}

// numberedLadder is what a numbered clip of so many seconds must become.
func numberedLadder(seconds int, resolutions ...string) ladder {
	sizes := map[string]string{"240p": "426x240", "360p": "640x360"}
	l := ladder{rungs: make(map[string]string), frames: seconds * clipRate}
	for _, resolution := range resolutions {
		l.rungs[resolution] = sizes[resolution]
	}
	return l
}

// checkLadder reads all of an output: masters, playlists and every frame.
func checkLadder(t testing.TB, dir string, want ladder) {
	t.Helper()
	sizes := make(map[string]string)
	for _, variant := range masterOf(t, dir).Variants {
		name := filepath.Dir(variant.URI)
		sizes[name] = variant.Resolution
		checkRung(t, filepath.Join(dir, name), want)
	}
	if fmt.Sprint(sizes) != fmt.Sprint(want.rungs) {
		t.Errorf("the master playlist has the rungs %v, want %v", sizes, want.rungs)
	}
	checkManifest(t, dir, want)
	_, err := os.Stat(filepath.Join(dir, "audio", "index.m3u8"))
	if silent := err != nil; silent != want.silent {
		t.Errorf("sound is missing: %v, want %v", silent, want.silent)
	}
	if !want.silent {
		probed := probe(t, joined(t, filepath.Join(dir, "audio")))
		if got, length := probed.seconds(), float64(want.frames)/clipRate; !want.foreign && math.Abs(got-length) > 2.0/clipRate {
			t.Errorf("the sound lasts %.3f s, want %.3f", got, length)
		}
	}
}

// masterOf parses the master playlist.
func masterOf(t testing.TB, dir string) *m3u8.MasterPlaylist {
	t.Helper()
	file, err := os.Open(filepath.Join(dir, "video.m3u8"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	list, kind, err := m3u8.DecodeFrom(file, true)
	if err != nil || kind != m3u8.MASTER {
		t.Fatalf("video.m3u8 is not a master playlist: %v", err)
	}
	return list.(*m3u8.MasterPlaylist)
}

func checkManifest(t testing.TB, dir string, want ladder) {
	t.Helper()
	manifest, err := mpd.ReadFromFile(filepath.Join(dir, "video.mpd"))
	if err != nil {
		t.Fatalf("video.mpd is not a manifest: %v", err)
	}
	sizes := make(map[string]string)
	for _, set := range manifest.Periods[0].AdaptationSets {
		for _, representation := range set.Representations {
			if representation.Width > 0 {
				sizes[representation.Id] = fmt.Sprintf("%dx%d", representation.Width, representation.Height)
			}
		}
	}
	if fmt.Sprint(sizes) != fmt.Sprint(want.rungs) {
		t.Errorf("the manifest has the rungs %v, want %v", sizes, want.rungs)
	}
}

func checkRung(t testing.TB, dir string, want ladder) {
	t.Helper()
	file := joined(t, dir)
	probed := probe(t, file)
	if len(probed.Packets) != want.frames {
		t.Errorf("%s has %d frames, want %d", filepath.Base(dir), len(probed.Packets), want.frames)
	}
	for i, packet := range probed.Packets {
		if i > 0 && packet.DTS-probed.Packets[i-1].DTS != packet.Duration {
			t.Errorf("%s: the decode times have a gap or an overlap before frame %d: %d to %d", filepath.Base(dir), i, probed.Packets[i-1].DTS, packet.DTS)
			break
		}
	}
	if first := slices.MinFunc(probed.Packets, func(a, b packet) int { return int(a.PTS - b.PTS) }); first.PTS != 0 {
		t.Errorf("%s: the first picture is shown at %d, want 0", filepath.Base(dir), first.PTS)
	}
	if want.foreign {
		return
	}
	numbers := frameNumbers(t, file)
	for i, number := range numbers {
		if i != number {
			t.Errorf("%s: picture %d shows frame %d of the source", filepath.Base(dir), i, number)
			return
		}
	}
	if len(numbers) != want.frames {
		t.Errorf("%s decodes to %d pictures, want %d", filepath.Base(dir), len(numbers), want.frames)
	}
}

// frameNumbers decodes a file and reads the numbers that its pictures show.
func frameNumbers(t testing.TB, file string) []int {
	t.Helper()
	raw := runTool(t, "ffmpeg", "-nostdin", "-v", "error", "-i", file, "-map", "0:v:0", "-fps_mode", "passthrough",
		"-vf", fmt.Sprintf("scale=%d:1:flags=area,format=gray", bits), "-f", "rawvideo", "-")
	var numbers []int
	for picture := range slices.Chunk(raw, bits) {
		number := 0
		for bit, luma := range picture {
			if luma > 127 {
				number |= 1 << bit
			}
		}
		numbers = append(numbers, number)
	}
	return numbers
}

type packet struct {
	PTS      int64 `json:"pts"`
	DTS      int64 `json:"dts"`
	Duration int64 `json:"duration"`
}

// probed is what ffprobe says of a file with one stream.
type probed struct {
	Packets []packet `json:"packets"`
	Streams []struct {
		TimeBase  string `json:"time_base"`
		CodecType string `json:"codec_type"`
		Width     int    `json:"width"`
		Height    int    `json:"height"`
	} `json:"streams"`
}

func probe(t testing.TB, file string) probed {
	t.Helper()
	var found probed
	text := runTool(t, "ffprobe", "-v", "error", "-show_packets", "-show_streams", "-of", "json", file)
	if err := json.Unmarshal(text, &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Packets) == 0 || len(found.Streams) == 0 {
		t.Fatalf("%s has nothing in it", file)
	}
	return found
}

// seconds is how long the packets of the only stream last.
func (p probed) seconds() float64 {
	var ticks int64
	for _, packet := range p.Packets {
		ticks += packet.Duration
	}
	var numerator, denominator float64
	_, _ = fmt.Sscanf(p.Streams[0].TimeBase, "%g/%g", &numerator, &denominator)
	return float64(ticks) * numerator / denominator
}

var mapURI = regexp.MustCompile(`#EXT-X-MAP:URI="([^"]+)"`)

// segmentsOf names the files of a media playlist, the init segment first.
func segmentsOf(t testing.TB, playlist string) []string {
	t.Helper()
	text, err := os.ReadFile(playlist)
	if err != nil {
		t.Fatal(err)
	}
	init := mapURI.FindSubmatch(text)
	if init == nil || !strings.Contains(string(text), "#EXT-X-ENDLIST") {
		t.Fatalf("%s has no init segment or no end:\n%s", playlist, text)
	}
	names := []string{string(init[1])}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			names = append(names, line)
		}
	}
	return names
}

// joined is a file with all segments of a rung or of the sound.
func joined(t testing.TB, dir string) string {
	t.Helper()
	var all []byte
	for _, name := range segmentsOf(t, filepath.Join(dir, "index.m3u8")) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	file := filepath.Join(t.TempDir(), filepath.Base(dir)+".mp4")
	if err := os.WriteFile(file, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// filesIn lists the files below a folder with their modification times.
func filesIn(t testing.TB, dir string) map[string]int64 {
	t.Helper()
	found := make(map[string]int64)
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		found[name] = info.ModTime().UnixNano()
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return found
}
