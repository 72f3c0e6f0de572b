package scheduler

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"millrace/job"
)

func TestPartsOfALadder(t *testing.T) {
	const film = 54_000 // frames: half an hour
	from4K := func(w *Work) { w.SourcePixels, w.Ladder = 3840*2160, "640x360,426x240" }
	for name, test := range map[string]struct {
		nodes  []Node
		change func(*Work)
		frames int64
		want   string // the encoders of the five rungs
	}{
		"a GPU and threads":                      {[]Node{gpuNode("a", 16, 1, nil)}, nil, film, "[h264_nvenc libx264 libx264 libx264 libx264]"},
		"fewer threads":                          {[]Node{gpuNode("a", 6, 1, nil)}, nil, film, "[h264_nvenc h264_nvenc libx264 libx264 libx264]"},
		"on two nodes":                           {[]Node{gpuNode("a", 1, 1, nil), cpuNode("b", 16, nil)}, nil, film, "[h264_nvenc libx264 libx264 libx264 libx264]"},
		"one thread":                             {[]Node{gpuNode("a", 1, 1, nil)}, nil, film, "[]"},
		"GPUs that are much faster":              {[]Node{gpuNode("a", 8, 4, nil)}, nil, film, "[]"},
		"threads that are much faster":           {[]Node{gpuNode("a", 128, 1, nil)}, nil, film, "[]"},
		"only threads":                           {[]Node{cpuNode("a", 16, nil)}, nil, film, "[]"},
		"one encoder is asked for":               {[]Node{gpuNode("a", 16, 1, nil)}, func(w *Work) { w.Encoders = "h264_nvenc" }, film, "[]"},
		"one kind is required":                   {[]Node{gpuNode("a", 16, 1, nil)}, func(w *Work) { w.Requires = "nvenc" }, film, "[]"},
		"one rung":                               {[]Node{gpuNode("a", 16, 1, nil)}, func(w *Work) { w.Ladder = "1920x1080" }, film, "[]"},
		"decoding again is as much as it saves":  {[]Node{gpuNode("a", 16, 1, nil)}, from4K, film, "[]"},
		"a clip that is over before a chunk is":  {[]Node{gpuNode("a", 16, 1, nil)}, nil, 100, "[]"},
		"a closed node's GPU":                    {[]Node{gpuNode("a", 16, 1, nil), cpuNode("b", 16, nil)}, nil, film, "[]"},
		"sound that takes longer than the video": {[]Node{gpuNode("a", 320, 80, nil), cpuNode("b", 1280, nil)}, nil, film, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			e := engineWith(test.nodes...)
			if name == "a closed node's GPU" {
				closed := test.nodes[0]
				closed.Closed = "it is draining"
				e.SetNode(closed)
			}
			work := ladderWork(test.change)
			outlook := e.Outlook("", work, test.frames)
			var got []string
			if len(outlook.Parts) > 0 {
				got = outlook.encodersOf(5)
			}
			if fmt.Sprint(got) != test.want {
				t.Errorf("the rungs are made by %v (%+v), want %s", got, outlook, test.want)
			}
		})
	}
}

// TestABusyRackMakesWholeLadders: there it would only be more to do.
func TestABusyRackMakesWholeLadders(t *testing.T) {
	e := engineWith(gpuNode("a", 16, 1, nil))
	queue(e, Job{ID: "film"}, ladderWork(func(w *Work) { w.Encoders = "libx264" }), slices.Repeat([]int64{5000}, 40)...)
	if outlook := e.Outlook("next", ladderWork(nil), 54_000); outlook.Parts != nil {
		t.Errorf("while a film waits, the next is made in %+v", outlook.Parts)
	}
}

// TestPartsGoToTheirDevices, whose headers are each their own.
func TestPartsGoToTheirDevices(t *testing.T) {
	e := engineWith(gpuNode("a", 16, 1, func(d *Device) { d.Encoders[0].Headers = "ada" }))
	outlook := e.Outlook("film", ladderWork(nil), 54_000)
	arranged, err := Arrange(clip(1800, 1080, 720, 480, 360, 240), outlook)
	plan, whole := arranged.Plan, arranged.Whole
	if err != nil || len(whole) > 0 {
		t.Fatal(err, whole)
	}
	encoders := outlook.encodersOf(5)
	e.SetJob(Job{ID: "film", Org: "o", Queued: noon, Frames: 54_000})
	for _, task := range job.PlanTasks("film", job.Spec{}, plan) {
		if task.Kind != job.EncodeTask {
			continue
		}
		var made []job.Rendition
		encoder := ""
		for i, r := range plan.Renditions {
			if slices.Contains(task.Renditions, r.Name) {
				made, encoder = append(made, r), encoders[i]
			}
		}
		e.Queue(Task{Job: "film", Task: task.ID, Attempt: 1, Frames: task.Chunk.Frames.Len(), Work: ladderWork(func(w *Work) {
			w.Ladder, w.Encoders = Ladder(made), encoder
		})})
	}
	by := make(map[string]int)
	for _, a := range e.Decide() {
		by[a.Encoder+" "+a.Headers]++
	}
	if by["h264_nvenc ada"] != 2 || by["libx264 "] < 8 || len(by) != 2 {
		t.Errorf("at once run %v", by)
	}
}

// TestPartsAreWeighedChunkByChunk: what looks sooner by the frames may not be so by the
// chunks, which both parts have in common.
func TestPartsAreWeighedChunkByChunk(t *testing.T) {
	gpu := Part{Encoder: "h264_nvenc", Rungs: 1, Slots: 2, SecondsPerFrame: 0.004}
	threads := func(slots int) Part {
		return Part{Encoder: "libx264", Rungs: 4, Slots: slots, SecondsPerFrame: 0.04}
	}
	for name, test := range map[string]struct {
		seconds int64
		outlook Outlook
		parts   bool
	}{
		"a film":                          {1800, Outlook{Encoder: "h264_nvenc", Slots: 2, SecondsPerFrame: 0.006, Parts: []Part{gpu, threads(20)}}, true},
		"a film, and little to be gained": {1800, Outlook{Encoder: "h264_nvenc", Slots: 2, SecondsPerFrame: 0.0043, Parts: []Part{gpu, threads(20)}}, false},
		"of one segment a thread makes a part as long as the GPU all": {
			4, Outlook{Encoder: "h264_nvenc", Slots: 2, SecondsPerFrame: 0.006, Parts: []Part{gpu, threads(20)}}, false},
		"so many threads that each start costs the GPU more than the pictures": {
			1800, Outlook{Encoder: "libx264", Slots: 400, SecondsPerFrame: 0.05, Parts: []Part{threads(400), gpu}}, false},
		"none": {1800, Outlook{Encoder: "libx264", Slots: 8, SecondsPerFrame: 0.05}, false},
	} {
		t.Run(name, func(t *testing.T) {
			plan := clip(test.seconds, 1080, 720, 480, 360, 240)
			if name == "so many threads that each start costs the GPU more than the pictures" {
				test.outlook.Parts[0].Rungs, test.outlook.Parts[1].Rungs = 1, 4
			}
			arranged, err := Arrange(plan, test.outlook)
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Repeat([]string{test.outlook.Encoder}, 5)
			if test.parts {
				want = test.outlook.encodersOf(5)
			}
			if !slices.Equal(arranged.Encoders, want) {
				t.Errorf("it is made by %v, want %v", arranged.Encoders, want)
			}
		})
	}
}

// TestALoneJobsThreadsLeaveItsGPUWhatItNeeds: else the GPU's part would begin when the
// first of the CPU's has ended.
func TestALoneJobsThreadsLeaveItsGPUWhatItNeeds(t *testing.T) {
	e := engineWith(gpuNode("a", 4, 1, nil))
	e.SetJob(Job{ID: "film", Org: "o", Queued: noon})
	for i := range 12 {
		for n, encoder := range []string{"libx264", "h264_nvenc"} {
			e.Queue(Task{Job: "film", Task: job.TaskID(fmt.Sprint("encode-", i, "-", n)), Attempt: 1, Frames: 200, Work: ladderWork(func(w *Work) {
				w.Encoders, w.Ladder = encoder, []string{"1920x1080", "640x360"}[n] // the CPU's take longer, and are first
			})})
		}
	}
	by := make(map[string]int)
	for _, a := range e.Decide() {
		by[a.Encoder]++
	}
	if by["h264_nvenc"] != 2 || by["libx264"] < 3 {
		t.Errorf("at once run %v", by)
	}
}

// TestArrangedPartsMakeEachFrameOnce, each rung in a task with those of its part.
func TestArrangedPartsMakeEachFrameOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rungs := rapid.IntRange(2, 5).Draw(t, "rungs")
		plan := clip(rapid.Int64Range(1, 200).Draw(t, "seconds"), []int{1080, 720, 480, 360, 240}[:rungs]...)
		upper := rapid.IntRange(1, rungs-1).Draw(t, "upper")
		part := func(encoder string, rungs int) Part {
			return Part{encoder, rungs, rapid.IntRange(1, 70).Draw(t, "slots"), rapid.SampledFrom([]float64{0.001, 0.05, 1}).Draw(t, "seconds per frame")}
		}
		outlook := Outlook{Encoder: "h264_nvenc", Parts: []Part{part("h264_nvenc", upper), part("libx264", rungs-upper)}}
		arranged, err := Arrange(plan, outlook)
		if err != nil || len(arranged.Whole) > 0 {
			t.Fatal(err, arranged.Whole)
		}
		made, encoders := make(map[string]int64), outlook.encodersOf(rungs)
		if !slices.Equal(arranged.Encoders, encoders) {
			t.Fatalf("it is made by %v, want %v", arranged.Encoders, encoders)
		}
		for _, task := range job.PlanTasks("j", job.Spec{}, arranged.Plan) {
			if task.Kind != job.EncodeTask {
				continue
			}
			by := make(map[string]bool)
			for i, r := range plan.Renditions {
				if slices.Contains(task.Renditions, r.Name) {
					made[r.Name] += task.Chunk.Frames.Len()
					by[encoders[i]] = true
				}
			}
			if len(by) != 1 {
				t.Fatalf("%s is made by %v", task.ID, by)
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
