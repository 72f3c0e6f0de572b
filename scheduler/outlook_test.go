package scheduler

import (
	"strings"
	"testing"

	"millrace/job"
)

// TestAJobTakesAnEncoderThatIsFreeWhereTheFastestIsNot: what runs on that isn't
// stopped for anybody.
func TestAJobTakesAnEncoderThatIsFreeWhereTheFastestIsNot(t *testing.T) {
	first := func(e *Engine) string {
		encoder, _, _ := strings.Cut(e.Outlook("", ladderWork(nil), 300).Encoders, ",")
		return encoder
	}
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
