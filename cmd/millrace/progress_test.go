package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"millrace/job"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// half is a job that is a good third done.
func half() job.View {
	started, duration, eta := job.Time(noon.Add(-20*time.Second)), int64(120), int64(3723)
	return job.View{
		ID: "5KQfnXCg8Qh", Status: job.Transcoding, Progress: 37.5, StartTime: &started, VideoDuration: &duration, ETASeconds: &eta,
		Renditions: []job.RenditionView{{Name: "720p", Progress: 20}, {Name: "360p", Progress: 100}, {Name: "240p", Progress: 100}},
	}
}

func TestBarLeavesOutWhatMattersLessWhereThereIsLittleRoom(t *testing.T) {
	var lines strings.Builder
	for _, width := range []int{200, 120, 100, 90, 80, 70, 60, 50, 40, 30, 20, 5, 0} {
		line := bar(half(), noon, width)
		if len(line) > width {
			t.Errorf("%d columns for a width of %d: %s", len(line), width, line)
		}
		fmt.Fprintf(&lines, "%3d|%s|\n", width, line)
	}
	queued, done := half(), half()
	queued.Status, queued.Progress = job.Queued, 0
	done.Status, done.Progress = job.Completed, 100
	fmt.Fprintf(&lines, "%s\n%s\n", bar(queued, noon, 80), bar(done, noon, 80))
	golden(t, "testdata/bar.txt", lines.String())
}

func TestBarIsDrawnOverItselfOnATerminal(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(streams{err: &out, width: func() int { return 80 }}, func() time.Time { return noon })
	p.see(half())
	p.see(half())
	p.end()
	if text := out.String(); strings.Count(text, "\r") != 2 || strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		t.Errorf("got %q", text)
	}
}

func TestPlainLinesAreFewAndTellEachChangeOfStatus(t *testing.T) {
	var out bytes.Buffer
	now := noon
	p := newProgress(streams{err: &out, width: func() int { return 0 }}, func() time.Time { return now })
	j := half()
	j.Status, j.Progress, j.ETASeconds = job.Queued, 0, nil
	p.see(j)
	j.Status = job.Transcoding
	for step := range 1000 { // ten a second for 100 s
		j.Progress = float64(step) / 20
		p.see(j)
		now = now.Add(100 * time.Millisecond)
	}
	j.Status, j.Progress = job.Completed, 100
	p.see(j)
	p.end()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) > 53 || lines[0] != "job 5KQfnXCg8Qh: Queued" || lines[1] != "job 5KQfnXCg8Qh: Transcoding 0%" ||
		lines[len(lines)-1] != "job 5KQfnXCg8Qh: Completed" {
		t.Errorf("%d lines:\n%s", len(lines), out.String())
	}
}

func TestCompletedJobSaysWhatItMade(t *testing.T) {
	j := half()
	ended := job.Time(noon)
	j.Status, j.EndTime = job.Completed, &ended
	j.Warnings = []string{"audio track 2 was left out"}
	j.Renditions = []job.RenditionView{{Name: "720p", Width: 1280, Height: 720, Encoder: "libx264", Note: "1080p was asked for"}}
	j.Outputs = []job.Published{{Kind: job.HLS, Name: "video.m3u8", URL: "file:///out/video.m3u8"}}
	var out bytes.Buffer
	if err := printCompleted(streams{out: &out}, j); err != nil {
		t.Fatal(err)
	}
	want := "Job 5KQfnXCg8Qh completed in 20s\n  720p   1280x720 libx264  (1080p was asked for)\n" +
		"  warning: audio track 2 was left out\n  file:///out/video.m3u8\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
