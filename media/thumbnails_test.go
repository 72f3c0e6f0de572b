package media

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/job"
)

func TestThumbnailIndexNamesTheTileOfEachTime(t *testing.T) {
	timeline := job.Timeline{Rate: job.Rational{Num: 25, Den: 1}, Frames: 25*27 + 5, SegmentFrames: 150}
	text := string(thumbnailIndex(timeline, 25, 28, 160, 90))
	for _, want := range []string{
		"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n00001.jpg#xywh=0,0,160,90\n",
		"00:00:06.000 --> 00:00:07.000\n00001.jpg#xywh=160,90,160,90\n",
		"00:00:24.000 --> 00:00:25.000\n00001.jpg#xywh=640,360,160,90\n",
		"00:00:25.000 --> 00:00:26.000\n00002.jpg#xywh=0,0,160,90\n",
		"00:00:27.000 --> 00:00:27.200\n00002.jpg#xywh=320,0,160,90\n", // ends with the video
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the index lacks\n%s\nin\n%s", want, text)
		}
	}
}

func TestVTTTimesHaveHours(t *testing.T) {
	if got := vttTime(26*time.Hour + 3*time.Minute + 4*time.Second + 56*time.Millisecond); got != "26:03:04.056" {
		t.Errorf("got %s", got)
	}
}

func TestThumbnailsCoverTheWholeVideo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		timeline := job.Timeline{
			Rate:   rapid.SampledFrom([]job.Rational{{Num: 1, Den: 1}, {Num: 24000, Den: 1001}, {Num: 25, Den: 2}, {Num: 120, Den: 1}}).Draw(t, "rate"),
			Frames: rapid.Int64Range(1, 100_000).Draw(t, "frames"), SegmentFrames: 100,
		}
		step := thumbnailStep(timeline)
		if step < 1 {
			t.Fatalf("step %d", step)
		}
		count := int((timeline.Frames + step - 1) / step)
		text := string(thumbnailIndex(timeline, step, count, 160, 90))
		if got := strings.Count(text, "-->"); got != count {
			t.Fatalf("%d entries, want %d", got, count)
		}
		if end := fmt.Sprintf("--> %s\n", vttTime(timeline.Duration())); !strings.Contains(text, end) {
			t.Fatalf("nothing ends at %s", end)
		}
	})
}
