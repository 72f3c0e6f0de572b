package cluster

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"millrace/job"
)

func TestCommandsNeedTheVersionThatTheirUseCameWith(t *testing.T) {
	for name, test := range map[string]struct {
		command Command
		want    int
	}{
		"another encoder":                      {ChangeEncoder{Change: job.EncoderChange{From: "h264_nvenc", To: "libx264"}}, 1},
		"the same encoder, with other headers": {ChangeEncoder{Change: job.EncoderChange{From: "libx264", To: "libx264"}}, 3},
		"a job":                                {CreateJob{}, 1},
		"a job that requires something":        {CreateJob{Spec: job.Spec{Requires: []string{"ssd"}}}, 5},
		"a job that prefers something":         {CreateJob{Spec: job.Spec{Prefer: job.PreferEnergy}}, 5},
		"a job with a deadline":                {CreateJob{Spec: job.Spec{Deadline: noon}}, 5},
		"a plan":                               {PlanJob{Plan: job.Plan{Renditions: []job.Rendition{{Encoder: "libx264"}, {Encoder: "libx264"}}}}, 1},
		"a plan with two encoders":             {PlanJob{Plan: job.Plan{Renditions: []job.Rendition{{Encoder: "h264_nvenc"}, {Encoder: "libx264"}}}}, 6},
		"an attempt":                           {StartAttempts{Assignments: []JobAssignment{{}}}, 1},
		"a backup attempt":                     {StartAttempts{Assignments: []JobAssignment{{}, {Assignment: job.Assignment{BackupOf: 1}}}}, 3},
	} {
		if got := versionOf(test.command); got != test.want {
			t.Errorf("%s needs version %d, want %d", name, got, test.want)
		}
	}
}

func TestSnapshotsWithAJobThatRequiresSomethingAreForPeersThatKnowThat(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	header := func() string { line, _, _ := strings.Cut(string(b.bytes()), "\n"); return line }
	if strings.Contains(header(), `"version":5`) {
		t.Errorf("without such a job the header is %s", header())
	}
	placed := createJob("default", jobA)
	placed.Spec.Requires, placed.Spec.Prefer, placed.Spec.Deadline = []string{"ssd"}, job.PreferEnergy, noon.AddDate(0, 0, 1)
	b.do(placed)
	if !strings.Contains(header(), `"version":5`) {
		t.Errorf("the header is %s", header())
	}
	restored := newBench(t)
	if err := restored.m.Restore(io.NopCloser(bytes.NewReader(b.bytes()))); err != nil {
		t.Fatal(err)
	}
	record, _ := restored.view().Record(jobA)
	if spec := record.Job.Spec; len(spec.Requires) != 1 || spec.Prefer != job.PreferEnergy || !spec.Deadline.Equal(placed.Spec.Deadline) {
		t.Errorf("restored it is %+v", spec)
	}
	b.do(CancelJob{Org: "default", ID: jobA, At: noon})
	if !strings.Contains(header(), `"version":5`) {
		t.Errorf("ended, when it can be retried, the header is %s", header())
	}
}

func TestSnapshotsWithAJobOfTwoEncodersAreForPeersThatKnowThat(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	create := createJob("default", jobA)
	b.do(create)
	b.do(start(jobA, "inspect", 1))
	plan := planOf(200, 100, 2)
	plan.Renditions = append(plan.Renditions, job.Rendition{Name: "360p", Width: 640, Height: 360, Codec: job.H264, Encoder: "h264_nvenc"})
	plan.Groups = [][]string{{"720p"}, {"360p"}}
	b.do(PlanJob{Ref: job.Ref{Job: jobA, Task: "inspect", Attempt: 1}, Plan: plan, Tasks: job.PlanTasks(jobA, create.Spec, plan), At: noon})
	version := func() string { line, _, _ := strings.Cut(string(b.bytes()), "\n"); return line }
	if got := version(); !strings.Contains(got, `"version":6`) {
		t.Errorf("the header is %s", got)
	}
	b.do(CancelJob{Org: "default", ID: jobA, At: noon})
	b.do(start(jobA, "cleanup", 1))
	b.do(FinishTask{Ref: job.Ref{Job: jobA, Task: "cleanup", Attempt: 1}, At: noon})
	if got := version(); strings.Contains(got, `"version":6`) { // retried it is planned anew, or its groups are all made by one
		t.Errorf("once it has ended the header is %s", got)
	}
}

func TestASubmissionRepeatsAnEarlierOneForADay(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	b.do(createOrg("other"))
	first := createJob("default", jobA)
	first.IdempotencyKey, first.At = "k", noon
	b.do(first)
	for _, test := range []struct {
		org, key string
		at       time.Time
		want     bool
	}{
		{"default", "k", noon.Add(time.Minute), true},
		{"default", "k", noon.Add(IdempotencyWindow), false},
		{"default", "l", noon, false}, {"other", "k", noon, false}, {"default", "", noon, false},
	} {
		if got := b.view().Repeats(test.org, test.key, test.at); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

func TestSnapshotsWithABackupAreForPeersThatKnowThem(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	b.planned("default", jobA)
	b.do(start(jobA, "encode-00000", 1))
	backup := assignment(jobA, "encode-00000", 2)
	backup.BackupOf, backup.Node = 1, "n2"
	b.do(StartAttempts{Assignments: []JobAssignment{backup}, At: noon})
	format := func() string { header, _, _ := strings.Cut(string(b.bytes()), "\n"); return header }
	if !strings.Contains(format(), `"version":4`) {
		t.Errorf("while it runs the header is %s", format())
	}
	restored := newBench(t)
	if err := restored.m.Restore(io.NopCloser(bytes.NewReader(b.bytes()))); err != nil {
		t.Fatal(err)
	}
	restored.do(FinishTask{Ref: job.Ref{Job: jobA, Task: "encode-00000", Attempt: 1}, At: noon})
	record, _ := restored.view().Record(jobA)
	if task := record.Task("encode-00000"); task.State != job.TaskFinished || task.Attempts[1].Outcome != job.OutcomeStopped || task.Attempts[1].BackupOf != 1 {
		t.Errorf("restored and finished it is %+v", task)
	}
	b.do(LoseAttempts{Refs: []job.Ref{{Job: jobA, Task: "encode-00000", Attempt: 2}}, Outcome: job.OutcomeLost, At: noon})
	if strings.Contains(format(), `"version":4`) {
		t.Errorf("without it the header is %s", format())
	}
}
