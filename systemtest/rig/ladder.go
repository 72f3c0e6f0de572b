package rig

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

// Ladder is what must lie in an output folder.
type Ladder struct {
	Rungs  map[string]string // name to "width x height"
	Frames int
	Silent bool // no sound
	// Foreign clips don't show numbers.
	Foreign bool
}

// NumberedLadder is what a numbered clip of so many seconds must become.
func NumberedLadder(seconds int, resolutions ...string) Ladder {
	sizes := map[string]string{"240p": "426x240", "360p": "640x360"}
	l := Ladder{Rungs: make(map[string]string), Frames: seconds * ClipRate}
	for _, resolution := range resolutions {
		l.Rungs[resolution] = sizes[resolution]
	}
	return l
}

// CheckLadder reads all of an output: masters, playlists and every frame.
func CheckLadder(t testing.TB, dir string, want Ladder) {
	t.Helper()
	sizes := make(map[string]string)
	for _, variant := range MasterOf(t, dir).Variants {
		name := filepath.Dir(variant.URI)
		sizes[name] = variant.Resolution
		checkRung(t, filepath.Join(dir, name), want)
	}
	if fmt.Sprint(sizes) != fmt.Sprint(want.Rungs) {
		t.Errorf("the master playlist has the rungs %v, want %v", sizes, want.Rungs)
	}
	checkManifest(t, dir, want)
	_, err := os.Stat(filepath.Join(dir, "audio", "index.m3u8"))
	if silent := err != nil; silent != want.Silent {
		t.Errorf("sound is missing: %v, want %v", silent, want.Silent)
	}
	if !want.Silent {
		probed := Probe(t, Joined(t, filepath.Join(dir, "audio")))
		if got, length := probed.Seconds(), float64(want.Frames)/ClipRate; !want.Foreign && math.Abs(got-length) > 2.0/ClipRate {
			t.Errorf("the sound lasts %.3f s, want %.3f", got, length)
		}
	}
}

// MasterOf parses the master playlist.
func MasterOf(t testing.TB, dir string) *m3u8.MasterPlaylist {
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

func checkManifest(t testing.TB, dir string, want Ladder) {
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
	if fmt.Sprint(sizes) != fmt.Sprint(want.Rungs) {
		t.Errorf("the manifest has the rungs %v, want %v", sizes, want.Rungs)
	}
}

func checkRung(t testing.TB, dir string, want Ladder) {
	t.Helper()
	file := Joined(t, dir)
	probed := Probe(t, file)
	if len(probed.Packets) != want.Frames {
		t.Errorf("%s has %d frames, want %d", filepath.Base(dir), len(probed.Packets), want.Frames)
	}
	for i, packet := range probed.Packets {
		if i > 0 && packet.DTS-probed.Packets[i-1].DTS != packet.Duration {
			t.Errorf("%s: the decode times have a gap or an overlap before frame %d: %d to %d", filepath.Base(dir), i, probed.Packets[i-1].DTS, packet.DTS)
			break
		}
	}
	if first := slices.MinFunc(probed.Packets, func(a, b Packet) int { return int(a.PTS - b.PTS) }); first.PTS != 0 {
		t.Errorf("%s: the first picture is shown at %d, want 0", filepath.Base(dir), first.PTS)
	}
	if want.Foreign {
		return
	}
	numbers := FrameNumbers(t, file)
	for i, number := range numbers {
		if i != number {
			t.Errorf("%s: picture %d shows frame %d of the source", filepath.Base(dir), i, number)
			return
		}
	}
	if len(numbers) != want.Frames {
		t.Errorf("%s decodes to %d pictures, want %d", filepath.Base(dir), len(numbers), want.Frames)
	}
}

// FrameNumbers decodes a file and reads the numbers that its pictures show.
func FrameNumbers(t testing.TB, file string) []int {
	t.Helper()
	raw := RunTool(t, "ffmpeg", "-nostdin", "-v", "error", "-i", file, "-map", "0:v:0", "-fps_mode", "passthrough",
		"-vf", fmt.Sprintf("scale=%d:1:flags=area,format=gray", Bits), "-f", "rawvideo", "-")
	var numbers []int
	for picture := range slices.Chunk(raw, Bits) {
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

// Packet is one frame or piece of sound, in ticks of its stream.
type Packet struct {
	PTS      int64 `json:"pts"`
	DTS      int64 `json:"dts"`
	Duration int64 `json:"duration"`
}

// Probed is what ffprobe says of a file with one stream.
type Probed struct {
	Packets []Packet `json:"packets"`
	Streams []struct {
		TimeBase  string `json:"time_base"`
		CodecType string `json:"codec_type"`
		Width     int    `json:"width"`
		Height    int    `json:"height"`
	} `json:"streams"`
}

// Probe reads a file with one stream packet by packet.
func Probe(t testing.TB, file string) Probed {
	t.Helper()
	var found Probed
	text := RunTool(t, "ffprobe", "-v", "error", "-show_packets", "-show_streams", "-of", "json", file)
	if err := json.Unmarshal(text, &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Packets) == 0 || len(found.Streams) == 0 {
		t.Fatalf("%s has nothing in it", file)
	}
	return found
}

// Seconds is how long the packets of the only stream last.
func (p Probed) Seconds() float64 {
	var ticks int64
	for _, packet := range p.Packets {
		ticks += packet.Duration
	}
	var numerator, denominator float64
	_, _ = fmt.Sscanf(p.Streams[0].TimeBase, "%g/%g", &numerator, &denominator)
	return float64(ticks) * numerator / denominator
}

var mapURI = regexp.MustCompile(`#EXT-X-MAP:URI="([^"]+)"`)

// SegmentsOf names the files of a media playlist, the init segment first.
func SegmentsOf(t testing.TB, playlist string) []string {
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

// Joined is a file with all segments of a rung or of the sound.
func Joined(t testing.TB, dir string) string {
	t.Helper()
	var all []byte
	for _, name := range SegmentsOf(t, filepath.Join(dir, "index.m3u8")) {
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

// FilesIn lists the files below a folder with their modification times.
func FilesIn(t testing.TB, dir string) map[string]int64 {
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
