package media

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"millrace/job"
	"millrace/media/cmaf"
	"millrace/media/mediatest"
)

// TestALadderThatWasSplitIsTheSameVideo makes a video with whole ladders, with a task
// for each rendition of each chunk, and with one chunk's ladder divided. All can be
// packaged and played, and are the same, byte by byte.
func TestALadderThatWasSplitIsTheSameVideo(t *testing.T) {
	t.Parallel()
	whole := inspected(t, flashing(t), tinySpec()).chunked(t, 2)
	whole.finish()
	chunks, rungs := len(whole.plan.Chunks), len(whole.plan.Renditions)
	for name, test := range map[string]struct {
		whole   []int // chunks
		encodes int
	}{
		"each rendition by itself": {nil, chunks * rungs},
		"one chunk's ladder":       {[]int{0}, 1 + (chunks-1)*rungs},
	} {
		t.Run(name, func(t *testing.T) {
			split := whole.chunked(t, 2)
			for _, rendition := range split.plan.Renditions {
				split.plan.Groups = append(split.plan.Groups, []string{rendition.Name})
			}
			encodes := 0
			for _, task := range job.PlanTasks("j", split.spec, split.plan, test.whole...) {
				switch task.Kind {
				case job.EncodeTask:
					encodes++
					split.do(task.ID, task.Kind, func(context.Context) (job.Result, error) {
						return split.encodeGroup(*task.Chunk, Renditions(split.plan, task.Renditions))
					})
				case job.AudioTask:
					split.do(task.ID, task.Kind, func(ctx context.Context) (job.Result, error) {
						return split.toolbox.Audio(ctx, split.in, split.output, split.plan, 1, nil)
					})
				}
			}
			if encodes != test.encodes || encodes == chunks {
				t.Fatalf("%d encode tasks of %d chunks, want %d", encodes, chunks, test.encodes)
			}
			done, err := split.pack()
			if err != nil {
				t.Fatalf("package: %v", err)
			}
			if len(done.Published) != len(whole.done.Published) {
				t.Errorf("published %v, want %v", done.Published, whole.done.Published)
			}
			mediatest.Ask(t, "ffmpeg", "-nostdin", "-v", "error", "-xerror", "-allowed_extensions", "ALL", "-i", filepath.Join(split.folder, "video.m3u8"), "-map", "0", "-f", "null", "-")
			for _, rendition := range split.plan.Renditions {
				names := []string{filepath.Join(rendition.Name, cmaf.InitName)}
				for k := range split.plan.Timeline.Segments() {
					names = append(names, filepath.Join(rendition.Name, cmaf.SegmentName(k+cmaf.FirstSegment)))
				}
				for _, name := range names {
					sameFile(t, name, whole.folder, split.folder)
				}
			}
		})
	}
}

// sameFile compares a file of a whole ladder with that of a split one.
func sameFile(t *testing.T, name, whole, split string) {
	t.Helper()
	one, err := os.ReadFile(filepath.Join(whole, name))
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(filepath.Join(split, name))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, other) {
		t.Errorf("%s has %d bytes of a whole ladder and %d of a split one, or others", name, len(one), len(other))
	}
}
