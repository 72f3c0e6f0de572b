package scheduler

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/job"
)

func TestArrange(t *testing.T) {
	halves := [][]string{{"1080p"}, {"720p", "480p", "360p", "240p"}}
	ladder := []int{1080, 720, 480, 360, 240}
	for name, test := range map[string]struct {
		plan    job.Plan
		outlook Outlook
		groups  [][]string
		whole   []int
		chunks  int
	}{
		"three segments for two machines: the first is divided": {
			clip(12, ladder...), Outlook{Slots: 2, Places: 2, SecondsPerFrame: 0.06}, halves, []int{1, 2}, 3},
		"two segments for two machines": {clip(8, ladder...), Outlook{Slots: 2, Places: 2, SecondsPerFrame: 0.06}, nil, []int{0, 1}, 2},
		"fewer segments than threads of one machine, which one task can use": {
			clip(12, ladder...), Outlook{Slots: 4, Places: 1, SecondsPerFrame: 0.06}, nil, []int{0, 1, 2}, 3},
		"devices with headers of their own":      {clip(12, ladder...), Outlook{Slots: 2, SecondsPerFrame: 0.06}, nil, []int{0, 1, 2}, 3},
		"one rendition":                          {clip(12, 1080), Outlook{Slots: 2, Places: 2, SecondsPerFrame: 0.03}, nil, []int{0, 1}, 2},
		"one slot":                               {clip(60, ladder...), Outlook{Slots: 1, Places: 1, SecondsPerFrame: 0.06}, nil, []int{0, 1}, 2},
		"more machines than segments":            {clip(4, ladder...), Outlook{Slots: 2, Places: 2, SecondsPerFrame: 0.06}, halves, nil, 1},
		"where a start costs more than it gains": {clip(12, ladder...), Outlook{Slots: 2, Places: 2, SecondsPerFrame: 0.0005}, nil, []int{0, 1}, 2},
		"others wait":                            {clip(12, ladder...), Outlook{Slots: 2, Places: 2, SecondsPerFrame: 0.06, Run: 30 * time.Second, After: time.Minute}, nil, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			arranged, err := Arrange(test.plan, test.outlook)
			if err != nil {
				t.Fatal(err)
			}
			plan, whole := arranged.Plan, arranged.Whole
			if !reflect.DeepEqual(plan.Groups, test.groups) || !slices.Equal(whole, test.whole) || len(plan.Chunks) != test.chunks {
				t.Errorf("%d chunks in groups %v, whole %v; want %d in %v, whole %v", len(plan.Chunks), plan.Groups, whole, test.chunks, test.groups, test.whole)
			}
		})
	}
}

// TestArrangedTasksMakeEachFrameOnce, whatever the rack, and the same rack gives the
// same tasks.
func TestArrangedTasksMakeEachFrameOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plan := clip(rapid.Int64Range(1, 400).Draw(t, "seconds"), []int{1080, 720, 480, 360, 240}[:rapid.IntRange(1, 5).Draw(t, "rungs")]...)
		plan.Timeline.Frames += rapid.Int64Range(0, 119).Draw(t, "rest")
		for range plan.Timeline.Segments() {
			plan.Source.Leads = append(plan.Source.Leads, time.Duration(rapid.IntRange(0, 10_000).Draw(t, "lead"))*time.Millisecond)
		}
		outlook := Outlook{
			Slots: rapid.IntRange(0, 70).Draw(t, "slots"), Places: rapid.IntRange(0, 70).Draw(t, "places"),
			SecondsPerFrame: rapid.SampledFrom([]float64{0, 0.001, 0.05, 1}).Draw(t, "seconds per frame"),
			Run:             rapid.SampledFrom([]time.Duration{0, 0, 30 * time.Second}).Draw(t, "run"),
		}
		arranged, err := Arrange(plan, outlook)
		if err != nil {
			t.Fatal(err)
		}
		made := make(map[string]int64) // by rendition
		for _, task := range job.PlanTasks("j", job.Spec{}, arranged.Plan, arranged.Whole...) {
			for _, name := range task.Renditions {
				made[name] += task.Chunk.Frames.Len()
			}
		}
		for _, r := range plan.Renditions {
			if made[r.Name] != plan.Timeline.Frames {
				t.Fatalf("%d of %d frames of %s are made", made[r.Name], plan.Timeline.Frames, r.Name)
			}
		}
		if again, _ := Arrange(plan, outlook); !reflect.DeepEqual(again, arranged) {
			t.Fatalf("arranged as %v, then as %v", arranged, again)
		}
	})
}

// TestALoneJobEndsSoonerThanByItsLengthAlone compares what is foreseen for the cuts
// that don't know where decoding begins nor of groups.
func TestALoneJobEndsSoonerThanByItsLengthAlone(t *testing.T) {
	for _, seconds := range []int64{20, 60, 240} {
		for _, slots := range []int{2, 3, 8} {
			t.Run(fmt.Sprintf("%d s on %d", seconds, slots), func(t *testing.T) {
				plan := clip(seconds, 1080, 720, 480, 360, 240)
				for i := range plan.Timeline.Segments() { // a keyframe every ten seconds
					plan.Source.Leads = append(plan.Source.Leads, time.Duration(4*i%10)*time.Second)
				}
				l := newLone(plan, slots, 0.06, halves(plan))
				cut := l.end(piecesOf(Cut(plan.Timeline, slots, 0.06, nil)))
				pieces, soonest := alone(plan, Outlook{Slots: slots, Places: slots, SecondsPerFrame: 0.06}, Cut(plan.Timeline, slots, 0.06, nil))
				best := l.end(pieces)
				if best != soonest {
					t.Errorf("it would end after %.2f s, and %.2f s is said", best, soonest)
				}
				if best >= cut {
					t.Errorf("it would end after %.2f s, by its length alone after %.2f s", best, cut)
				}
			})
		}
	}
}

// TestTheEnginesTasksEndAsForeseen plays an arranged job on two machines of one core
// that take just what is expected: it ends in little more than half of one's time.
func TestTheEnginesTasksEndAsForeseen(t *testing.T) {
	for _, seconds := range []int64{12, 32, 60} {
		t.Run(fmt.Sprintf("%d s", seconds), func(t *testing.T) {
			one := playAlone(t, clip(seconds, 1080, 720, 480, 360, 240), cpuNode("a", 1, nil))
			two := playAlone(t, clip(seconds, 1080, 720, 480, 360, 240), cpuNode("a", 1, nil), cpuNode("b", 1, nil))
			if two > one*0.57 {
				t.Errorf("two machines take %.1f s, %.2f of the %.1f s that one takes", two, two/one, one)
			}
		})
	}
}

// playAlone is when a job's encodes end on a rack, in seconds.
func playAlone(t *testing.T, plan job.Plan, nodes ...Node) float64 {
	t.Helper()
	e := engineWith(nodes...)
	work := func(renditions []job.Rendition) Work {
		return ladderWork(func(w *Work) { w.Encoders, w.Ladder = "libx264", Ladder(renditions) })
	}
	arranged, err := Arrange(plan, e.Outlook("", work(plan.Renditions), plan.Timeline.Frames))
	if err != nil {
		t.Fatal(err)
	}
	plan, whole := arranged.Plan, arranged.Whole
	e.SetJob(Job{ID: "j", Org: "o", Queued: noon, Frames: plan.Timeline.Frames})
	left := 0
	for _, task := range job.PlanTasks("j", job.Spec{}, plan, whole...) {
		if task.Kind != job.EncodeTask {
			continue
		}
		var renditions []job.Rendition
		for _, r := range plan.Renditions {
			if slices.Contains(task.Renditions, r.Name) {
				renditions = append(renditions, r)
			}
		}
		left++
		e.Queue(Task{Job: "j", Task: task.ID, Attempt: 1, Work: work(renditions), Frames: task.Chunk.Frames.Len()})
	}
	type end struct {
		at  time.Duration
		run Assignment
	}
	var now time.Duration
	var running []end
	for left > 0 {
		for _, a := range e.Decide() {
			running = append(running, end{now + a.Expected, a})
		}
		if len(running) == 0 {
			t.Fatalf("%d tasks wait on an idle rack", left)
		}
		slices.SortFunc(running, func(a, b end) int { return int(a.at - b.at) })
		first := running[0]
		running, now = running[1:], first.at
		e.Advance(noon.Add(now))
		e.End(job.Ref{Job: "j", Task: first.run.Task, Attempt: 1}, first.run.Expected)
		left--
	}
	return now.Seconds()
}

// TestAJobsLongestTaskGoesFirst, whichever of its renditions it makes.
func TestAJobsLongestTaskGoesFirst(t *testing.T) {
	e := engineWith(cpuNode("a", 1, nil))
	e.SetJob(Job{ID: "j", Org: "o", Queued: noon, Frames: 700})
	add := func(id job.TaskID, ladder string, frames int64) {
		e.Queue(Task{Job: "j", Task: id, Attempt: 1, Frames: frames, Work: ladderWork(func(w *Work) { w.Encoders, w.Ladder = "libx264", ladder })})
	}
	add("small", "640x360", 300)
	add("large", "1920x1080", 200)
	add("whole", ladder5, 200)
	var order []job.TaskID
	for range 3 {
		for _, a := range e.Decide() {
			order = append(order, a.Task)
			e.End(job.Ref{Job: "j", Task: a.Task, Attempt: 1}, a.Expected)
		}
	}
	if want := []job.TaskID{"whole", "large", "small"}; !slices.Equal(order, want) {
		t.Errorf("they went in the order %v, want %v", order, want)
	}
}
