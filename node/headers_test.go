package node

import (
	"slices"
	"strings"
	"testing"

	"millrace/hwaccel"
	"millrace/job"
)

// card makes a poll one of a node whose GPU writes such headers.
func card(node, name, headers string) func(*Report) {
	return func(report *Report) {
		report.Node = node
		withGPU("")(report)
		gpu := &report.Profiles[len(report.Profiles)-1]
		gpu.Device.Name, gpu.Encoders[0].Signature, gpu.Encoders[0].Sessions = name, headers, 1
		gpu.Room.Sessions = 1
	}
}

// planned is an inspection whose plan is for the GPU's encoder.
func planned(order Order) Ended {
	ended := succeed(order)
	if ended.Result.Plan != nil {
		ended.Result.Plan.Renditions[0].Encoder, ended.Result.Plan.Renditions[0].CRF = "h264_nvenc", 27
		ended.Result.Plan.Timeline.Frames = 5000 // many chunks
	}
	return ended
}

// generations brings a job to where node a, with an L4, encodes its first chunk.
func generations(t *testing.T) (r *rig, first []Order) {
	t.Helper()
	r = newRig(t)
	inspect := r.poll("s1", card("a", "NVIDIA L4", "ada")).Start
	first = r.poll("s1", both(card("a", "NVIDIA L4", "ada"), ends(inspect, planned))).Start
	if len(first) == 0 {
		first = r.poll("s1", card("a", "NVIDIA L4", "ada")).Start
	}
	first = slices.DeleteFunc(first, func(o Order) bool { return o.Task.Kind != job.EncodeTask })
	if len(first) != 1 || r.record().Headers([]string{"240p"}) != "ada" {
		t.Fatalf("the first encodes are %+v, the headers %q", first, r.record().Headers([]string{"240p"}))
	}
	return r, first
}

func encodes(orders Orders) []Order {
	return slices.DeleteFunc(orders.Start, func(o Order) bool { return o.Task.Kind != job.EncodeTask })
}

func TestChunksOfARenditionKeepToTheHeadersOfTheFirstUnderEveryLeader(t *testing.T) {
	r, first := generations(t)
	same, other := card("b", "NVIDIA L4", "ada"), card("c", "Tesla T4", "turing")
	a := both(card("a", "NVIDIA L4", "ada"), runs(first))
	for _, term := range []string{"the first term", "the next"} {
		r.poll("s1", a)
		if started := encodes(r.poll("s1", other)); len(started) > 0 {
			t.Errorf("in %s the T4 is given %s", term, started[0].Ref)
		}
		told, err := r.explain(jobID)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(told, func(p job.Placement) bool {
			return !p.Running && strings.Contains(p.Reason, "Tesla T4 writes other headers")
		}) {
			t.Errorf("in %s it is explained by %+v", term, told)
		}
		r.begin() // as a new leader, that knows the state only
	}
	r.poll("s1", a)
	if started := encodes(r.poll("s1", same)); len(started) != 1 {
		t.Errorf("the other L4 is given %+v", started)
	}
}

func TestARenditionWhoseHeadersNoDeviceWritesAnyMoreIsMadeAnew(t *testing.T) {
	r, first := generations(t)
	other := card("c", "Tesla T4", "turing")
	r.poll("s1", both(card("a", "NVIDIA L4", "ada"), ends(first, succeed)))
	draining := both(card("a", "NVIDIA L4", "ada"), func(report *Report) { report.Draining = true })
	r.poll("s1", both(draining, ends(encodes(r.poll("s1", card("a", "NVIDIA L4", "ada"))), func(Order) Ended { return Ended{Stopped: true} })))
	if started := encodes(r.poll("s1", other)); len(started) > 0 {
		t.Fatalf("at once the T4 is given %s", started[0].Ref)
	}
	var started []Order
	for range 6 {
		r.time = r.time.Add(encoderGrace / 4)
		r.poll("s1", draining)
		if started = encodes(r.poll("s1", other)); len(started) > 0 {
			break
		}
	}
	if len(started) == 0 || started[0].Encoder != "h264_nvenc" || r.record().Headers([]string{"240p"}) != "turing" {
		t.Fatalf("after a while the T4 is given %+v, the headers are %q", started, r.record().Headers([]string{"240p"}))
	}
	record := r.record()
	if again := record.Task(first[0].Ref.Task); again.State == job.TaskFinished {
		t.Error("the chunk with the other headers is kept")
	}
	if warnings := strings.Join(record.Job.Plan.Warnings, "; "); !strings.Contains(warnings, "writes the headers of the chunks that were made") {
		t.Errorf("the warnings are %q", warnings)
	}
}

func TestDevicesWithoutASignatureAreAlikeOnlyIfModelDriverAndProgramAre(t *testing.T) {
	of := func(kind hwaccel.DeviceKind, name, driver, build, signature string) string {
		return hwaccel.Profile{
			Device: hwaccel.Device{Kind: kind, Name: name, Driver: driver}, FFmpegBuild: build,
			Encoders: []hwaccel.EncoderProfile{{Encoder: "x", Works: true, Signature: signature}},
		}.Headers("x")
	}
	known := of(hwaccel.NVIDIA, "T4", "550", "b1", "")
	for name, test := range map[string]struct {
		headers string
		alike   bool
	}{
		"the same":                {of(hwaccel.NVIDIA, "T4", "550", "b1", ""), true},
		"another model":           {of(hwaccel.NVIDIA, "L4", "550", "b1", ""), false},
		"another driver":          {of(hwaccel.NVIDIA, "T4", "560", "b1", ""), false},
		"another ffmpeg":          {of(hwaccel.NVIDIA, "T4", "550", "b2", ""), false},
		"one that has been tried": {of(hwaccel.NVIDIA, "T4", "550", "b1", "ada"), false},
	} {
		if (test.headers == known) != test.alike {
			t.Errorf("%s: %q and %q", name, test.headers, known)
		}
	}
	if a, b := of(hwaccel.CPU, "EPYC", "", "b1", ""), of(hwaccel.CPU, "Xeon", "", "b1", ""); a != b {
		t.Errorf("one program on two CPUs makes %q and %q", a, b)
	}
}
