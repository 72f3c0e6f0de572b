package scheduler

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"millrace/job"
)

// clip is the plan of a video of 1080p with segments of four seconds.
func clip(seconds int64, sides ...int) job.Plan {
	plan := job.Plan{
		Source:   job.Source{Width: 1920, Height: 1080, VideoCodec: "h264"},
		Timeline: job.Timeline{Rate: job.Rational{Num: 30, Den: 1}, Frames: 30 * seconds, SegmentFrames: 120},
	}
	for _, side := range sides {
		plan.Renditions = append(plan.Renditions, job.Rendition{Name: fmt.Sprintf("%dp", side), Width: (side*16/9 + 1) / 2 * 2, Height: side})
	}
	return plan
}

func TestSplit(t *testing.T) {
	halves := [][]string{{"1080p"}, {"720p", "480p", "360p", "240p"}}
	for name, test := range map[string]struct {
		plan    job.Plan
		outlook Outlook
		want    [][]string
	}{
		"one segment for two places":              {clip(4, 1080, 720, 480, 360, 240), Outlook{Places: 2}, halves},
		"three segments for six":                  {clip(12, 1080, 720, 480, 360, 240), Outlook{Places: 6}, halves},
		"no more groups than make it faster":      {clip(4, 1080, 720, 480, 360, 240), Outlook{Places: 100}, halves},
		"a segment for each place":                {clip(8, 1080, 720, 480, 360, 240), Outlook{Places: 2}, nil},
		"too few places for all segments' halves": {clip(12, 1080, 720, 480, 360, 240), Outlook{Places: 5}, nil},
		"others wait":                             {clip(4, 1080, 720, 480, 360, 240), Outlook{Places: 2, Run: time.Second}, nil},
		"one rendition":                           {clip(4, 1080), Outlook{Places: 2}, nil},
		"it would take nearly as long":            {clip(4, 1080, 240), Outlook{Places: 2}, nil},
		"devices with headers of their own":       {clip(4, 1080, 720), Outlook{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Split(test.plan, test.outlook); !reflect.DeepEqual(got, test.want) {
				t.Errorf("the groups are %v, want %v", got, test.want)
			}
		})
	}
}

// TestALoneClipEndsSoonerSplit places a clip of one segment on two idle nodes, as a
// whole and as the engine's own outlook splits it.
func TestALoneClipEndsSoonerSplit(t *testing.T) {
	plan := clip(4, 1080, 720, 480, 360, 240)
	nodes := []Node{cpuNode("a", 4, nil), cpuNode("b", 4, nil)}
	work := func(renditions []job.Rendition) Work {
		return ladderWork(func(w *Work) { w.Encoders, w.Ladder = "libx264", Ladder(renditions) })
	}
	ends := func(groups [][]string) (last time.Duration, used map[string]bool) {
		e := engineWith(nodes...)
		e.SetJob(Job{ID: "j", Org: "o", Queued: noon, Frames: 120})
		for i, group := range groups {
			var renditions []job.Rendition
			for _, r := range plan.Renditions {
				for _, name := range group {
					if r.Name == name {
						renditions = append(renditions, r)
					}
				}
			}
			e.Queue(Task{Job: "j", Task: job.TaskID(fmt.Sprint("encode-", i)), Attempt: 1, Work: work(renditions), Frames: 120})
		}
		used = make(map[string]bool)
		for _, a := range e.Decide() {
			last, used[a.Node] = max(last, a.Expected), true
		}
		return last, used
	}
	var all []string
	for _, r := range plan.Renditions {
		all = append(all, r.Name)
	}
	outlook := engineWith(nodes...).Outlook("", work(plan.Renditions), 120)
	groups := Split(plan, outlook)
	whole, _ := ends([][]string{all})
	split, used := ends(groups)
	if len(used) != 2 || split > whole*8/10 {
		t.Errorf("split into %v it takes %s on %d nodes, %s as a whole", groups, split, len(used), whole)
	}
}
