package scheduler

import (
	"slices"
	"testing"

	"millrace/job"
)

// TestAJobTakesAnEncoderThatIsFreeWhereTheFastestIsNot: what runs on that isn't
// stopped for anybody.
func TestAJobTakesAnEncoderThatIsFreeWhereTheFastestIsNot(t *testing.T) {
	first := func(e *Engine) string { return e.Outlook("", ladderWork(nil), 300).Encoder }
	e := engineWith(gpuNode("a", 2, 1, nil), cpuNode("b", 8, nil))
	if got := first(e); got != "h264_nvenc" {
		t.Fatalf("in an idle rack it is %s: the GPU isn't the fastest", got)
	}
	long := ladderWork(func(w *Work) { w.Encoders = "h264_nvenc" })
	for _, id := range []job.ID{"a", "b", "c", "d", "e", "f", "g", "h"} {
		queue(e, Job{ID: id}, long, 100_000)
	}
	if placed := e.Decide(); len(placed) == 0 {
		t.Fatal("nothing runs on the GPU")
	}
	for _, id := range []job.ID{"a", "b", "c", "d", "e", "f", "g", "h"} {
		e.Withdraw(id, job.EncodeTaskID(0)) // what runs stays
	}
	if got := first(e); got != "libx264" {
		t.Errorf("while long chunks run on the GPU it is %s", got)
	}
}

// TestAFilmIsNotBoundToTheFewDevicesThatAreFree, where no GPU is free at this moment.
func TestAFilmIsNotBoundToTheFewDevicesThatAreFree(t *testing.T) {
	e := engineWith(gpuNode("a", 4, 4, nil))
	queue(e, Job{ID: "before"}, ladderWork(func(w *Work) { w.Encoders = "h264_nvenc" }), slices.Repeat([]int64{3000}, 8)...)
	if len(e.Decide()) != 8 {
		t.Fatal("the GPUs aren't full")
	}
	if got := e.Outlook("film", ladderWork(nil), 60_000).Encoder; got != "h264_nvenc" {
		t.Errorf("a film is made with %s", got)
	}
}
