package node

import (
	"slices"
	"testing"

	"millrace/cluster"
	"millrace/hwaccel"
	"millrace/job"
)

// gpuAndThreads makes a poll one of a node with a GPU and 16 threads, each of which is
// best for some of a ladder. The reason is why its encoder doesn't work, if there is one.
func gpuAndThreads(reason string) func(*Report) {
	return both(withGPU(reason), func(report *Report) {
		report.Profiles[0].Encoders[0].FramesPerSecond = map[string]float64{"1080p": 200}
		report.Profiles[0].Room = hwaccel.Room{Threads: 16, MemoryBytes: 64 << 30}
		report.Profiles[1].Encoders[0].FramesPerSecond = map[string]float64{"1080p": 600}
		report.Profiles[1].Encoders[0].Signature = "turing"
		report.Profiles[1].Decoders = []hwaccel.DecoderProfile{{
			Codec: "h264", API: hwaccel.CUDA, Works: true, FramesPerSecond: map[string]float64{"1080p": 1500},
		}}
	})
}

// fiveRungs is an inspection's plan for a minute of 1080p, with the GPU's encoder.
func fiveRungs(order Order) Ended {
	ended := succeed(order)
	plan := ended.Result.Plan
	if plan == nil {
		return ended
	}
	row, _ := hwaccel.Encoder("h264_nvenc")
	plan.Source.Width, plan.Source.Height, plan.Source.VideoCodec = 1920, 1080, "h264"
	plan.Timeline.Frames, plan.DelayFrames, plan.Renditions = 1800, row.DelayFrames, nil
	for _, rung := range []job.Rendition{
		{Name: "1080p", Width: 1920, Height: 1080}, {Name: "720p", Width: 1280, Height: 720}, {Name: "480p", Width: 854, Height: 480},
		{Name: "360p", Width: 640, Height: 360}, {Name: "240p", Width: 426, Height: 240},
	} {
		rung.Codec, rung.Encoder, rung.CRF = job.H264, row.Encoder, row.CRF[job.Standard]
		plan.Renditions = append(plan.Renditions, rung)
	}
	return ended
}

// inParts brings a job, alone on such a node, to where its first chunks are encoded.
func inParts(t *testing.T) (*rig, []Order) {
	t.Helper()
	r := newRigOf(t, func(spec *job.Spec) { spec.Quality = job.Standard })
	inspect := r.poll("s1", gpuAndThreads("")).Start
	orders := r.poll("s1", both(gpuAndThreads(""), ends(inspect, fiveRungs)))
	if len(encodes(orders)) == 0 {
		orders = r.poll("s1", gpuAndThreads(""))
	}
	return r, encodes(orders)
}

// madeWith are the encoders of a job's renditions.
func (r *rig) madeWith() (encoders []string) {
	for _, rendition := range r.record().Job.Plan.Renditions {
		encoders = append(encoders, rendition.Encoder)
	}
	return encoders
}

var large, small = []string{"1080p", "720p"}, []string{"480p", "360p", "240p"}

func TestALoneJobsLadderIsMadeByTheGPUAndByTheCPU(t *testing.T) {
	r, started := inParts(t)
	nvenc, x264 := "h264_nvenc", "libx264"
	if got := r.madeWith(); !slices.Equal(got, []string{nvenc, nvenc, x264, x264, x264}) {
		t.Fatalf("the renditions are made by %v", got)
	}
	plan := r.record().Job.Plan
	for _, rendition := range plan.Renditions {
		if row, _ := hwaccel.Encoder(rendition.Encoder); rendition.CRF != row.CRF[job.Standard] || plan.DelayFrames < row.DelayFrames {
			t.Errorf("%s by %s has CRF %g, and the plan a delay of %d frames", rendition.Name, rendition.Encoder, rendition.CRF, plan.DelayFrames)
		}
	}
	by := make(map[string][]string) // encoder to renditions
	for _, order := range started {
		by[order.Encoder] = order.Task.Renditions
	}
	if !slices.Equal(by[nvenc], large) || !slices.Equal(by[x264], small) {
		t.Errorf("these started: %v", by)
	}
	for _, term := range []string{"this leader", "the next"} {
		if a, b := r.record().Headers(large), r.record().Headers(small); a != "turing" || b == a {
			t.Errorf("for %s the headers are %q and %q", term, a, b)
		}
		r.poll("s1", both(gpuAndThreads(""), runs(started)))
		r.begin() // as a new leader, that knows the state only
	}
	for range 400 {
		if r.record().Job.Status.Terminal() {
			break
		}
		started = r.poll("s1", both(gpuAndThreads(""), ends(started, succeed))).Start
		started = append(started, r.poll("s1", gpuAndThreads("")).Start...)
	}
	if record := r.record(); record.Job.Status != job.Completed {
		t.Errorf("the job is %s", record.Job.Status)
	}
}

// TestALadderIsMadeWholeUntilAllPeersAreUpgraded: an earlier leader takes it that one
// encoder makes all renditions.
func TestALadderIsMadeWholeUntilAllPeersAreUpgraded(t *testing.T) {
	r := newRigOf(t, func(spec *job.Spec) { spec.Quality = job.Standard })
	r.leader.state = upgrading{r.leader.state}
	inspect := r.poll("s1", gpuAndThreads("")).Start
	r.poll("s1", both(gpuAndThreads(""), ends(inspect, fiveRungs)))
	plan := r.record().Job.Plan
	if got := r.madeWith(); plan.InParts() || len(plan.Groups) > 0 || plan.DelayFrames == 0 {
		t.Errorf("while peers are upgraded the renditions are made by %v in %v", got, plan.Groups)
	}
}

// TestOnlyThePartOfAGPUThatIsLostIsMadeAnew: what the CPU made of the ladder stays.
func TestOnlyThePartOfAGPUThatIsLostIsMadeAnew(t *testing.T) {
	r, started := inParts(t)
	lost := gpuAndThreads("the device is lost")
	onCPU := slices.DeleteFunc(slices.Clone(started), func(o Order) bool { return o.Encoder != "libx264" })
	onGPU := slices.DeleteFunc(slices.Clone(started), func(o Order) bool { return o.Encoder == "libx264" })
	if len(onCPU) == 0 || len(onGPU) == 0 {
		t.Fatalf("on the CPU runs %v, on the GPU %v", onCPU, onGPU)
	}
	r.poll("s1", both(lost, ends(onCPU, succeed), ends(onGPU, func(Order) Ended {
		return Ended{Failure: job.Fail(job.HardwareDriver, "the driver is gone")}
	})))
	r.poll("s1", lost)
	if got, want := r.madeWith(), slices.Repeat([]string{"libx264"}, 5); !slices.Equal(got, want) {
		t.Fatalf("the renditions are made by %v", got)
	}
	for _, order := range onCPU {
		if task := r.record().Task(order.Ref.Task); task.State != job.TaskFinished {
			t.Errorf("%s of %v is %s", task.ID, task.Renditions, task.State)
		}
	}
	for _, order := range onGPU {
		if task := r.record().Task(order.Ref.Task); task.State == job.TaskFinished {
			t.Errorf("%s of %v is %s", task.ID, task.Renditions, task.State)
		}
	}
}

// TestAPlanInPartsThatIsMadeAgainKeepsThem, so that what is finished is kept.
func TestAPlanInPartsThatIsMadeAgainKeepsThem(t *testing.T) {
	for name, test := range map[string]struct {
		renditions []string // of the new plan
		node       func(*Report)
		want       []string
		groups     int
	}{
		"all":           {nil, gpuAndThreads(""), []string{"h264_nvenc", "h264_nvenc", "libx264", "libx264", "libx264"}, 2},
		"some":          {[]string{"720p", "240p"}, gpuAndThreads(""), []string{"h264_nvenc", "libx264"}, 2},
		"one more rung": {[]string{"720p", "144p"}, gpuAndThreads(""), []string{"h264_nvenc", "h264_nvenc"}, 0},
		"the CPU's, without the GPU": {[]string{"480p", "240p"}, gpuAndThreads("the device is lost"),
			[]string{"libx264", "libx264"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r, started := inParts(t)
			r.poll("s1", both(test.node, ends(started, func(Order) Ended { return Ended{Stopped: true} })))
			record := r.record()
			plan := *record.Job.Plan
			plan.Renditions, plan.Chunks, plan.Groups = nil, nil, nil
			for _, rendition := range record.Job.Plan.Renditions {
				if test.renditions == nil || slices.Contains(test.renditions, rendition.Name) {
					plan.Renditions = append(plan.Renditions, rendition)
				}
			}
			if slices.Contains(test.renditions, "144p") {
				plan.Renditions = append(plan.Renditions, job.Rendition{Name: "144p", Width: 256, Height: 144, Codec: job.H264})
			}
			for i := range plan.Renditions {
				plan.Renditions[i].Encoder = "h264_nvenc"
			}
			command := r.planCommand(job.Ref{Job: jobID, Task: job.TaskID(job.InspectTask), Attempt: 2}, plan, r.time)
			again := command.(cluster.PlanJob).Plan
			var got []string
			for _, rendition := range again.Renditions {
				got = append(got, rendition.Encoder)
			}
			if !slices.Equal(got, test.want) || len(again.Groups) != test.groups {
				t.Errorf("planned again they are made by %v in %v, want %v", got, again.Groups, test.want)
			}
			if !slices.Equal(again.Chunks, record.Job.Plan.Chunks) {
				t.Errorf("the chunks are %v, %v before", again.Chunks, record.Job.Plan.Chunks)
			}
		})
	}
}
