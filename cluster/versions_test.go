package cluster

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"millrace/job"
)

func TestCommandsNeedTheVersionThatTheirUseCameWith(t *testing.T) {
	for name, test := range map[string]struct {
		command Command
		want    int
	}{
		"another encoder":                      {ChangeEncoder{Change: job.EncoderChange{From: "h264_nvenc", To: "libx264"}}, 1},
		"the same encoder, with other headers": {ChangeEncoder{Change: job.EncoderChange{From: "libx264", To: "libx264"}}, 3},
		"an attempt":                           {StartAttempts{Assignments: []JobAssignment{{}}}, 1},
		"a backup attempt":                     {StartAttempts{Assignments: []JobAssignment{{}, {Assignment: job.Assignment{BackupOf: 1}}}}, 3},
	} {
		if got := versionOf(test.command); got != test.want {
			t.Errorf("%s needs version %d, want %d", name, got, test.want)
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
