package bench

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"millrace/job"
)

// TestTheComparisonRunsAndCountsEveryone runs the whole of it on a tiny clip:
// the figures mean nothing, but each must be there.
func TestTheComparisonRunsAndCountsEveryone(t *testing.T) {
	dir := t.TempDir()
	clip, program := filepath.Join(dir, "clip.mp4"), filepath.Join(dir, "millrace")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../cmd/millrace").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v: %s", err, out)
	}
	encode := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=24:d=9",
		"-f", "lavfi", "-i", "sine=d=9", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-shortest", clip)
	if out, err := encode.CombinedOutput(); err != nil {
		t.Fatalf("make the clip: %v: %s", err, out)
	}
	report, err := Node(t.Context(), NodeConfig{Millrace: program, FFmpeg: "ffmpeg", Clip: clip, Rounds: 1, Dir: dir, Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Rounds) != 1 || report.IdleRSSBytes <= 0 {
		t.Fatalf("the report is %+v", report)
	}
	round := report.Rounds[0]
	for name, value := range map[string]float64{
		"millrace": round.Millrace, "plain": round.PlainRuns, "hand-written": round.HandWritten,
		"millrace CPU": round.MillraceCPU, "plain CPU": round.PlainRunsCPU, "hand-written CPU": round.HandWrittenCPU,
		"millrace bytes": float64(round.MillraceBytes), "hand-written bytes": float64(round.HandWrittenBytes),
	} {
		if value <= 0 {
			t.Errorf("%s: %v", name, value)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("the bench left something behind: %v %v", entries, err)
	}
}

func TestSegmentsOfAJob(t *testing.T) {
	view := job.View{Tasks: []job.Task{{Kind: job.EncodeTask, Chunk: &job.Chunk{Segments: 3, Frames: job.FrameRange{End: 288}}}}}
	if got := segmentsOf(view); got != (segments{frames: 96, seconds: 4}) {
		t.Errorf("got %+v", got)
	}
}
