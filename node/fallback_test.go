package node

import (
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/hwaccel"
	"millrace/job"
)

// withGPU adds a GPU to a worker's devices, whose encoder works or has a reason
// why it doesn't.
func withGPU(reason string) func(*Report) {
	return func(report *Report) {
		report.Profiles = append(report.Profiles, hwaccel.Profile{
			Device: hwaccel.Device{ID: "GPU-1", Kind: hwaccel.NVIDIA, Name: "Tesla T4", MemoryBytes: 16 << 30},
			Encoders: []hwaccel.EncoderProfile{{
				Encoder: "h264_nvenc", Works: reason == "", Reason: reason, Sessions: 8, FramesPerSecond: map[string]float64{"1080p": 900},
			}},
			Room: hwaccel.Room{Sessions: 8, MemoryBytes: 16 << 30},
		})
	}
}

func both(changes ...func(*Report)) func(*Report) {
	return func(report *Report) {
		for _, change := range changes {
			change(report)
		}
	}
}

// onGPU brings a job to where its chunks are encoded on the GPU.
func onGPU(t *testing.T) (*rig, []Order) {
	t.Helper()
	r := newRig(t)
	inspect := r.poll("s1", withGPU("")).Start
	if len(inspect) != 1 || inspect[0].Encoder != "h264_nvenc" {
		t.Fatalf("the inspection is %+v", inspect)
	}
	orders := r.poll("s1", both(withGPU(""), ends(inspect, func(order Order) Ended {
		planned := succeed(order)
		plan := planned.Result.Plan
		plan.Renditions[0].Encoder, plan.Renditions[0].CRF = "h264_nvenc", 27
		plan.Timeline.Frames = 20_000 // more chunks than the GPU has sessions
		return planned
	})))
	chunks := orders.Start
	if len(chunks) == 0 {
		chunks = r.poll("s1", withGPU("")).Start
	}
	chunks = slices.DeleteFunc(chunks, func(o Order) bool { return o.Task.Kind != job.EncodeTask })
	if len(chunks) == 0 || chunks[0].Device != "GPU-1" {
		t.Fatalf("the encodes are %+v", chunks)
	}
	return r, chunks
}

func (r *rig) fellBackTo(encoder, reason string) {
	r.t.Helper()
	record := r.record()
	rendition := record.Job.Plan.Renditions[0]
	if rendition.Encoder != encoder || rendition.CRF != 23 {
		r.t.Errorf("the rendition is made by %s at %g", rendition.Encoder, rendition.CRF)
	}
	if warnings := strings.Join(record.Job.Plan.Warnings, "; "); !strings.Contains(warnings, reason) {
		r.t.Errorf("the job's warnings are %q, want %q in them", warnings, reason)
	}
	for _, task := range record.Tasks {
		if task.Kind == job.EncodeTask && task.Failures > 0 {
			r.t.Errorf("%s still has %d failures", task.ID, task.Failures)
		}
	}
}

func TestAnEncoderThatWillNeverDoIsReplacedAtItsFirstFailure(t *testing.T) {
	r, chunks := onGPU(t)
	r.poll("s1", both(withGPU(""), ends(chunks[:1], func(Order) Ended {
		return Ended{Failure: job.Fail(job.HardwareDriver, "the driver is too old")}
	})))
	r.time = r.time.Add(time.Minute)
	again := r.poll("s1", withGPU("")).Start
	r.fellBackTo("libx264", "the driver is too old")
	again = slices.DeleteFunc(again, func(o Order) bool { return o.Task.Kind != job.EncodeTask })
	if len(again) == 0 || again[0].Encoder != "libx264" || again[0].Device != "cpu" {
		t.Errorf("now these start: %+v", again)
	}
}

func TestADeviceThatFailsTwiceLosesTheJob(t *testing.T) {
	for _, failure := range []*job.Failure{
		job.Fail(job.HardwareMemory, "the GPU's memory is full"), job.Fail(job.HardwareLost, "the GPU has had a fault"),
	} {
		t.Run(string(failure.Code), func(t *testing.T) { losesAfterTwo(t, failure) })
	}
}

func losesAfterTwo(t *testing.T, failure *job.Failure) {
	t.Helper()
	r, chunks := onGPU(t)
	for try := 1; try <= deviceFailures; try++ {
		if len(chunks) == 0 {
			t.Fatalf("no try %d", try)
		}
		if got := r.record().Job.Plan.Renditions[0].Encoder; got != "h264_nvenc" {
			t.Fatalf("before try %d the encoder is %s", try, got)
		}
		failed := chunks[0].Task.ID
		for range 20 { // until the same chunk has its turn again
			r.poll("s1", both(withGPU(""), ends(chunks, func(o Order) Ended {
				if o.Task.ID != failed {
					return Ended{Stopped: true}
				}
				return Ended{Failure: failure}
			})))
			r.time = r.time.Add(5 * time.Second)
			chunks = slices.DeleteFunc(r.poll("s1", withGPU("")).Start, func(o Order) bool { return o.Task.Kind != job.EncodeTask })
			if len(chunks) > 0 && chunks[0].Task.ID == failed || (failure.Code != job.HardwareLost && r.record().Task(failed).Failures != try) {
				break
			}
		}
	}
	r.fellBackTo("libx264", failure.Message)
}

func TestAnEncoderThatNoNodeOffersIsReplacedAfterAWhile(t *testing.T) {
	r, chunks := onGPU(t)
	gone := withGPU("the device is lost: it fell off the bus")
	r.poll("s1", both(gone, runs(chunks)))
	if got := r.record().Job.Plan.Renditions[0].Encoder; got != "h264_nvenc" {
		t.Fatalf("at once it is %s", got)
	}
	for range 5 {
		r.time = r.time.Add(encoderGrace / 4)
		r.poll("s1", both(gone, runs(chunks)))
	}
	r.fellBackTo("libx264", "fell off the bus")
}

func TestAnEncoderThatComesBackInTimeIsKept(t *testing.T) {
	r, chunks := onGPU(t)
	for range 5 {
		r.poll("s1", both(withGPU("it is tried again"), runs(chunks)))
		r.time = r.time.Add(encoderGrace / 4)
		r.poll("s1", both(withGPU(""), runs(chunks)))
		r.time = r.time.Add(encoderGrace / 4)
	}
	if got := r.record().Job.Plan.Renditions[0].Encoder; got != "h264_nvenc" {
		t.Errorf("it is %s", got)
	}
}

func TestASourcesFaultChangesNoEncoder(t *testing.T) {
	r, chunks := onGPU(t)
	r.poll("s1", both(withGPU(""), ends(chunks[:1], func(Order) Ended {
		return Ended{Failure: job.Fail(job.OutputUnreachable, "the store is down")}
	})))
	r.time = r.time.Add(5 * time.Second)
	r.poll("s1", withGPU(""))
	if got := r.record().Job.Plan.Renditions[0].Encoder; got != "h264_nvenc" {
		t.Errorf("it is %s", got)
	}
}

func TestTheGraceOfAnEncoderIsThatOfAJobsOwnLabels(t *testing.T) {
	r := newRig(t)
	r.planOne("jlabelled", 1, func(spec *job.Spec) { spec.Requires = []string{"site=gone"} })
	r.planOne("jother", 1, nil)
	r.worker("n", 1)
	r.encoderChanges(r.peer.Stale()) // no node has the label
	r.time = r.time.Add(encoderGrace)
	if _, err := r.note(Report{Node: "n", Session: "s"}); err != nil { // and now none has the encoder
		t.Fatal(err)
	}
	changes, again := r.encoderChanges(r.peer.Stale())
	if len(changes) > 0 || again > encoderGrace {
		t.Errorf("the changes are %v, the next look in %s", changes, again)
	}
	if since := r.encoderMissing[made{encoder: "libx264"}]; !since.Equal(r.time) || len(r.encoderMissing) != 2 {
		t.Errorf("these are missing: %v", r.encoderMissing)
	}
}
