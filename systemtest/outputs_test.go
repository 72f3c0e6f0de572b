package systemtest

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"millrace/job"
	"millrace/systemtest/rig"
)

func TestAJobDeliversFilesAndThumbnailsBesidesItsLadder(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.start()
	asked := request(p, p.put(rig.Numbered(t, 10), "clip.mp4"), "240p", "360p")
	asked.Outputs = []job.OutputKind{job.HLS, job.DASH, job.MP4, job.Thumbnails}
	completed := p.await(p.submit(asked).ID, job.Completed)
	dir := filepath.Join(p.outputs, "out")
	rig.CheckLadder(t, dir, rig.NumberedLadder(10, "240p", "360p"))
	for _, name := range []string{"240p.mp4", "360p.mp4"} {
		file := filepath.Join(dir, name)
		numbers := rig.FrameNumbers(t, file)
		if len(numbers) != 10*rig.ClipRate || !slices.IsSorted(numbers) || numbers[0] != 0 {
			t.Errorf("%s has %d pictures: %v …", name, len(numbers), numbers[:min(5, len(numbers))])
		}
		content := contentOf(t, file)
		if index, media := bytes.Index(content, []byte("moov")), bytes.Index(content, []byte("mdat")); index < 0 || index > media {
			t.Errorf("%s has its index at %d, behind the media at %d", name, index, media)
		}
	}
	kinds := make(map[job.OutputKind]int)
	for _, output := range completed.Outputs {
		kinds[output.Kind]++
		if _, err := os.Stat(strings.TrimPrefix(output.URL, "file://")); err != nil {
			t.Errorf("%s is published and isn't there: %v", output.URL, err)
		}
	}
	if want := map[job.OutputKind]int{job.HLS: 1, job.DASH: 1, job.MP4: 2, job.Thumbnails: 1}; !maps.Equal(kinds, want) {
		t.Errorf("published are %v, want %v", kinds, want)
	}
	if files := rig.FilesIn(t, filepath.Join(dir, "thumbnails")); len(files) < 2 {
		t.Errorf("thumbnails are %v", files)
	}
}

func TestASourceWithoutSoundMakesALadderWithoutSound(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.start()
	silent := rig.Clip(t, "silent.mp4", "-i", rig.Numbered(t, 4), "-an", "-c", "copy")
	completed := p.await(p.submit(request(p, p.put(silent, "clip.mp4"), "240p", "720p")).ID, job.Completed)
	// There is nothing above the source's own height.
	want := rig.NumberedLadder(4, "240p", "360p")
	want.Silent = true
	rig.CheckLadder(t, filepath.Join(p.outputs, "out"), want)
	if slices.IndexFunc(completed.Renditions, func(r job.RenditionView) bool { return r.Note != "" }) < 0 {
		t.Errorf("nothing says that 720p could not be made: %s", text(completed.Renditions))
	}
}

func TestALaterJobReplacesAnOutputWhole(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.start()
	p.await(p.submit(request(p, p.put(rig.Numbered(t, longSeconds), "long.mp4"), "240p")).ID, job.Completed)
	p.await(p.submit(request(p, p.put(rig.Numbered(t, 4), "short.mp4"), "240p")).ID, job.Completed)
	dir := filepath.Join(p.outputs, "out")
	rig.CheckLadder(t, dir, rig.NumberedLadder(4, "240p"))
	for _, track := range []string{"240p", "audio"} {
		want := append(rig.SegmentsOf(t, filepath.Join(dir, track, "index.m3u8")), "index.m3u8")
		slices.Sort(want)
		if there := slices.Sorted(maps.Keys(rig.FilesIn(t, filepath.Join(dir, track)))); !slices.Equal(there, want) {
			t.Errorf("%s has %v, its playlist %v", track, there, want)
		}
	}
}
