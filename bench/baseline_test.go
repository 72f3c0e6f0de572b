package bench

import (
	"slices"
	"strings"
	"testing"

	"millrace/job"
)

func someLadder() ladder {
	return ladder{
		clip: "/in.mp4", timeline: segments{frames: 96, seconds: 4},
		renditions: []job.RenditionView{
			{Name: "1080p", Width: 1920, Height: 1080, Encoder: "libx264", MaxBitsPerSecond: 6_000_000},
			{Name: "240p", Width: 426, Height: 240, Encoder: "libx264", MaxBitsPerSecond: 450_000},
		},
	}
}

func TestTheHandWrittenRunDecodesOnceAndScalesInACascade(t *testing.T) {
	args := handWrittenRun(someLadder(), "/out")
	graph := args[slices.Index(args, "-filter_complex")+1]
	want := "[0:v:0]scale=1920:1080:flags=lanczos,format=yuv420p,split[o0][n1];[n1]scale=426:240:flags=lanczos[o1]"
	if graph != want {
		t.Errorf("the graph is %s, want %s", graph, want)
	}
	if inputs := count(args, "-i"); inputs != 1 {
		t.Errorf("the source is opened %d times", inputs)
	}
}

func TestAllCompetitorsEncodeAlike(t *testing.T) {
	l := someLadder()
	plain, hand := plainRuns(l, "/out"), handWrittenRun(l, "/out")
	if len(plain) != len(l.renditions) {
		t.Fatalf("%d plain runs for %d rungs", len(plain), len(l.renditions))
	}
	for _, option := range []string{"-crf 23", "-preset veryfast", "-g 96", "-maxrate 6000000", "-bufsize 12000000", "-c:a aac"} {
		if first := strings.Join(plain[0], " "); !strings.Contains(first, option) {
			t.Errorf("the first plain run has no %q: %s", option, first)
		}
		if line := strings.Join(hand, " "); !strings.Contains(line, option) {
			t.Errorf("the hand-written run has no %q: %s", option, line)
		}
	}
	if count(plain[1], "-c:a") != 0 || count(hand, "-c:a") != 1 {
		t.Errorf("the sound is made more than once")
	}
}

func count(args []string, option string) int {
	n := 0
	for _, arg := range args {
		if arg == option {
			n++
		}
	}
	return n
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5}} {
		if got := median(test.values); got != test.want {
			t.Errorf("the median of %v is %v, want %v", test.values, got, test.want)
		}
	}
}
