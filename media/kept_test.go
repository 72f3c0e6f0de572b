package media

import (
	"context"
	"errors"
	"os"
	"reflect"
	"testing"

	"millrace/job"
)

func TestABackupWritesNothingBeforeItIsAlone(t *testing.T) {
	t.Parallel()
	w := inspected(t, flashing(t), tinySpec()).chunked(t, wholeTimeline)
	backup := func(alone func(context.Context) error) (job.Result, error) {
		return w.toolbox.Encode(t.Context(), w.in, w.output, EncodeTask{
			Plan: w.plan, Quality: w.spec.Quality, Chunk: w.plan.Chunks[0], Renditions: w.plan.Renditions,
			Encoder: w.encoder, Threads: 1, Attempt: 2, Alone: alone,
		})
	}
	empty := func(what, folder string) {
		t.Helper()
		if names, err := os.ReadDir(folder); err != nil || len(names) > 0 {
			t.Errorf("%s, %s has %v (%v)", what, folder, names, err)
		}
	}

	fenced := errors.New("the other was first")
	asked := 0
	_, err := backup(func(context.Context) error {
		asked++
		empty("before it is alone", w.folder)
		return fenced
	})
	if !errors.Is(err, fenced) || asked != 1 {
		t.Errorf("one that never is alone ends with %v, having asked %d times", err, asked)
	}
	empty("after it", w.folder)
	empty("after it", w.toolbox.Scratch)

	w.do(job.EncodeTaskID(0), job.EncodeTask, func(context.Context) (job.Result, error) {
		return backup(func(context.Context) error { return nil })
	})
	empty("after one that was alone", w.toolbox.Scratch)
	written := w.tasks[0].Result.Tracks
	w.do(job.EncodeTaskID(0), job.EncodeTask, func(context.Context) (job.Result, error) { return w.encode(w.plan.Chunks[0]) })
	plain := w.tasks[0].Result.Tracks
	for _, tracks := range [][]job.Track{written, plain} {
		for i := range tracks { // which version of an object it is differs
			tracks[i].Init.ETag = ""
			for j := range tracks[i].Segments {
				tracks[i].Segments[j].ETag = ""
			}
		}
	}
	if !reflect.DeepEqual(written, plain) {
		t.Errorf("it wrote %+v, another attempt %+v", written, plain)
	}
}
