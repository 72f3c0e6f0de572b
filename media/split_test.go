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

// TestALadderThatWasSplitIsTheSameVideo makes a video with whole ladders and with a
// task for each rendition of each chunk. Both can be packaged and played, and the
// headers and the largest rendition are the same, byte by byte; smaller ones are
// scaled from the source, not from the rendition above.
func TestALadderThatWasSplitIsTheSameVideo(t *testing.T) {
	t.Parallel()
	whole := inspected(t, flashing(t), tinySpec()).chunked(t, 2)
	whole.finish()

	split := whole.chunked(t, 2)
	for _, rendition := range split.plan.Renditions {
		split.plan.Groups = append(split.plan.Groups, []string{rendition.Name})
	}
	encodes := 0
	for _, task := range job.PlanTasks("j", split.spec, split.plan) {
		switch task.Kind {
		case job.EncodeTask:
			encodes++
			split.do(task.ID, task.Kind, func(context.Context) (job.Result, error) {
				return split.encodeGroup(*task.Chunk, Renditions(split.plan, task.Renditions))
			})
		case job.AudioTask:
			split.do(task.ID, task.Kind, func(ctx context.Context) (job.Result, error) {
				return split.toolbox.Audio(ctx, split.in, split.output, split.plan, nil)
			})
		}
	}
	if want := len(split.plan.Chunks) * len(split.plan.Renditions); encodes != want {
		t.Fatalf("%d encode tasks, want %d", encodes, want)
	}
	done, err := split.pack()
	if err != nil {
		t.Fatalf("package: %v", err)
	}
	if len(done.Published) != len(whole.done.Published) {
		t.Errorf("published %v, want %v", done.Published, whole.done.Published)
	}
	mediatest.Ask(t, "ffmpeg", "-nostdin", "-v", "error", "-xerror", "-allowed_extensions", "ALL", "-i", filepath.Join(split.folder, "video.m3u8"), "-map", "0", "-f", "null", "-")
	var names []string
	for i, rendition := range split.plan.Renditions {
		names = append(names, filepath.Join(rendition.Name, cmaf.InitName))
		for k := range split.plan.Timeline.Segments() {
			if i == 0 {
				names = append(names, filepath.Join(rendition.Name, cmaf.SegmentName(k+cmaf.FirstSegment)))
			}
		}
	}
	for _, name := range names {
		one, err := os.ReadFile(filepath.Join(whole.folder, name))
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(filepath.Join(split.folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one, other) {
			t.Errorf("%s has %d bytes of a whole ladder and %d of a split one, or others", name, len(one), len(other))
		}
	}
}
