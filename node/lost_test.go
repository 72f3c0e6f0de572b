package node

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"millrace/cluster"
	"millrace/hwaccel"
	"millrace/job"
)

// cards makes a report one of a node with so many GPUs that write such headers.
func cards(node, headers string, count int) func(*Report) {
	return func(report *Report) {
		for i := range count {
			card(node, "NVIDIA L4", headers)(report)
			report.Profiles[len(report.Profiles)-1].Device.ID = fmt.Sprintf("GPU-%d", i+1)
		}
	}
}

// on runs a chunk of a job on a device, "NODE/DEVICE", until it ends so.
func (r *rig) on(device string, task job.TaskID, headers string, ended Ended) {
	r.t.Helper()
	node, device, _ := strings.Cut(device, "/")
	ref := job.Ref{Job: jobID, Task: task, Attempt: r.record().Task(task).NextAttempt()}
	r.propose(cluster.StartAttempts{At: r.time, Assignments: []cluster.JobAssignment{{Job: jobID, Assignment: job.Assignment{
		Task: task, Attempt: ref.Attempt, Node: node, Session: "s1", Device: device, Encoder: "h264_nvenc", Headers: headers, Threads: 1,
	}}}})
	r.time = r.time.Add(time.Second)
	ended.Ref = ref
	r.propose(r.commandFor(ended))
}

// TestAChunkThatItsDeviceLosesAgainAndAgain goes to another device if there is one, and
// else to another encoder, at the second time.
func TestAChunkThatItsDeviceLosesAgainAndAgain(t *testing.T) {
	gone := Ended{Failure: job.Fail(job.HardwareLost, "the GPU has had a fault")}
	for name, test := range map[string]struct {
		there []func(*Report)
		lost  []string // where
		to    string   // empty if the job's encoder isn't changed
		fresh bool     // no chunk is made yet
	}{
		"once":                     {[]func(*Report){cards("a", "ada", 1)}, []string{"a/GPU-1"}, "", false},
		"twice":                    {[]func(*Report){cards("a", "ada", 1)}, []string{"a/GPU-1", "a/GPU-1"}, "libx264", false},
		"another node has one":     {[]func(*Report){cards("a", "ada", 1), cards("b", "ada", 1)}, []string{"a/GPU-1", "a/GPU-1", "a/GPU-1"}, "", false},
		"which lost it too":        {[]func(*Report){cards("a", "ada", 1), cards("b", "ada", 1)}, []string{"a/GPU-1", "b/GPU-1"}, "libx264", false},
		"the node has another":     {[]func(*Report){cards("a", "ada", 2)}, []string{"a/GPU-1", "a/GPU-1"}, "", false},
		"and that lost it too":     {[]func(*Report){cards("a", "ada", 2)}, []string{"a/GPU-1", "a/GPU-2"}, "libx264", false},
		"another is closed":        {[]func(*Report){cards("a", "ada", 1), both(cards("b", "ada", 1), func(r *Report) { r.Draining = true })}, []string{"a/GPU-1", "a/GPU-1"}, "libx264", false},
		"another writes otherwise": {[]func(*Report){cards("a", "ada", 1), cards("b", "turing", 1)}, []string{"a/GPU-1", "a/GPU-1"}, "libx264", false},
		"which may, as the first":  {[]func(*Report){cards("a", "ada", 1), cards("b", "turing", 1)}, []string{"a/GPU-1", "a/GPU-1"}, "", true},
		"three lost it":            {[]func(*Report){cards("a", "ada", 4)}, []string{"a/GPU-1", "a/GPU-2", "a/GPU-3"}, "libx264", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.planned(jobID, 30_000)
			for _, change := range test.there {
				report := Report{Session: "s1", Profiles: []hwaccel.Profile{{
					Device: hwaccel.Device{ID: "cpu", Kind: hwaccel.CPU}, Encoders: []hwaccel.EncoderProfile{{Encoder: "libx264", Works: true}}, Room: hwaccel.Room{Threads: 2},
				}}}
				change(&report)
				if _, err := r.note(report); err != nil {
					t.Fatal(err)
				}
			}
			if !test.fresh {
				r.on("a/GPU-1", "encode-00001", "ada", Ended{Result: &job.Result{}})
			}
			for _, device := range test.lost {
				r.on(device, "encode-00000", "ada", gone)
			}
			changes, _ := r.encoderChanges(r.peer.Stale())
			change, changed := changes[jobID]
			if change.To != test.to || changed && !strings.Contains(change.Reason, "encode-00000 was lost with its device") {
				t.Fatalf("the changes are %+v, want to %q", changes, test.to)
			}
			r.schedule()
			kept := r.record().Task("encode-00001").State == job.TaskFinished
			if kept == changed && !test.fresh {
				t.Errorf("the finished chunk is kept: %t", kept)
			}
			if changes, _ := r.encoderChanges(r.peer.Stale()); len(changes) > 0 {
				t.Errorf("and then it is changed again: %+v", changes)
			}
		})
	}
}

// TestOnlyWhatThisRunLostByThisEncoderCounts.
func TestOnlyWhatThisRunLostByThisEncoderCounts(t *testing.T) {
	began := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	attempt := func(minute int, encoder string, code job.Code) job.Attempt {
		return job.Attempt{
			Node: "a", Device: "GPU-1", Encoder: encoder, Started: began.Add(time.Duration(minute) * time.Minute),
			Outcome: job.OutcomeFailed, Failure: job.Fail(code, "it failed"),
		}
	}
	for name, test := range map[string]struct {
		attempts []job.Attempt
		tries    int // 0: nothing is found
	}{
		"one":                      {[]job.Attempt{attempt(1, "h264_nvenc", job.HardwareLost)}, 0},
		"two":                      {[]job.Attempt{attempt(1, "h264_nvenc", job.HardwareLost), attempt(2, "h264_nvenc", job.HardwareLost)}, 2},
		"one of a run before":      {[]job.Attempt{attempt(-1, "h264_nvenc", job.HardwareLost), attempt(2, "h264_nvenc", job.HardwareLost)}, 0},
		"one of an encoder before": {[]job.Attempt{attempt(1, "h264_qsv", job.HardwareLost), attempt(2, "h264_nvenc", job.HardwareLost)}, 0},
		"one for lack of sessions": {[]job.Attempt{attempt(1, "h264_nvenc", job.HardwareLost), attempt(2, "h264_nvenc", job.HardwareSessions)}, 0},
		"another failure between":  {[]job.Attempt{attempt(1, "h264_nvenc", job.HardwareLost), attempt(2, "h264_nvenc", job.OutputUnreachable), attempt(3, "h264_nvenc", job.HardwareLost)}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			record := job.Record{Job: &job.Job{ID: jobID, Started: began}, Tasks: []*job.Task{
				{ID: "encode-00000", Kind: job.EncodeTask, State: job.TaskWaiting, Attempts: test.attempts},
				{ID: "encode-00001", Kind: job.EncodeTask, State: job.TaskFinished, Attempts: test.attempts},
				{ID: "encode-00000-1", Kind: job.EncodeTask, State: job.TaskWaiting, Attempts: test.attempts, Renditions: []string{"240p"}},
			}}
			found, tries := lostOf(record, "h264_nvenc", nil), 0
			if len(found) > 0 {
				tries = found[0].tries
			}
			if tries != test.tries || len(found) > 1 {
				t.Errorf("found %+v, want %d tries", found, test.tries)
			}
		})
	}
}
