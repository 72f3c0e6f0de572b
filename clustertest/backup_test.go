package clustertest

import (
	"slices"
	"testing"

	"millrace/job"
	"millrace/systemtest/rig"
)

func TestAChunkWhoseEncodeStandsStillIsDoneByAnotherNode(t *testing.T) {
	t.Parallel()
	c, ffmpeg := steered(t)
	id, _ := c.holdEncode(ffmpeg, c.request("", 6, "240p"))
	ffmpeg.Do("") // the run at the door stays there; those that come are let through
	completed := c.completes(id, c.output(""), 6, "240p")
	attempts := task(t, completed, job.EncodeTaskID(0)).Attempts
	if len(attempts) != 2 {
		t.Fatalf("the chunk's attempts are %s", text(attempts))
	}
	slow, backup := attempts[0], attempts[1]
	if slow.Outcome != job.OutcomeStopped || backup.Outcome != job.OutcomeFinished || backup.BackupOf != slow.Number || backup.Node == slow.Node {
		t.Errorf("the chunk's attempts are %s", text(attempts))
	}
	rig.Eventually(t, "the slow node has nothing left to do", c.named(slow.Node).idle)
	if left := slices.DeleteFunc(completed.Tasks, func(k job.Task) bool { return k.Failures == 0 }); len(left) > 0 {
		t.Errorf("failures count against %s", text(left))
	}
}
