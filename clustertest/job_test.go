package clustertest

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"millrace/api/client"
	"millrace/job"
	"millrace/systemtest/rig"
)

// request asks for rungs of a numbered clip of so many seconds.
func (c *team) request(output string, seconds int, rungs ...string) client.CreateRequest {
	c.t.Helper()
	source := filepath.Join(c.sources, strconv.Itoa(seconds)+".mp4")
	if _, err := os.Stat(source); err != nil {
		rig.CopyFile(c.t, rig.Numbered(c.t, seconds), source)
	}
	return client.CreateRequest{
		InputURL: "file://" + source, OutputPath: "file://" + filepath.Join(c.outputs, output) + "/",
		Resolutions: rungs, SegmentSeconds: 2,
	}
}

// keys makes idempotency keys.
var keys atomic.Int64

// submit creates a job through whichever peer takes it. A try whose outcome
// isn't known is safe to repeat, by the idempotency key.
func (c *team) submit(request client.CreateRequest) job.ID {
	c.t.Helper()
	if request.IdempotencyKey == "" {
		request.IdempotencyKey = "key-" + strconv.FormatInt(keys.Add(1), 10)
	}
	var id job.ID
	c.ask("a job is taken", func(ctx context.Context, api *client.Client) error {
		created, err := api.CreateJob(ctx, request)
		id = created.ID
		return err
	})
	return id
}

// read reads a job with its tasks through any peer.
func (c *team) read(id job.ID) job.View {
	c.t.Helper()
	var found job.View
	c.ask("job "+string(id)+" is read", func(ctx context.Context, api *client.Client) (err error) {
		found, err = api.JobWithTasks(ctx, id)
		return err
	})
	return found
}

// await waits until the job is in status. That it ends otherwise fails the test.
func (c *team) await(id job.ID, status job.Status) job.View {
	c.t.Helper()
	var found job.View
	rig.Eventually(c.t, "job "+string(id)+" is "+string(status), func() bool {
		found = c.read(id)
		if found.Status.Terminal() && found.Status != status {
			c.t.Fatalf("job %s ended as %s, want %s: %s", id, found.Status, status, text(found))
		}
		return found.Status == status
	})
	return found
}

// subscribe lets a receiver hear of every change of a job's status.
func (c *team) subscribe() {
	c.t.Helper()
	c.hook = rig.NewHook(c.t, c.lab.Hub()+":0")
	c.hook.Subscribe(c.leader().client())
}

// completes waits until the job, of a clip of so many seconds, is completed, and
// checks that it is so once and wholly.
func (c *team) completes(id job.ID, dir string, seconds int, rungs ...string) job.View {
	c.t.Helper()
	completed := c.await(id, job.Completed)
	rig.CheckLadder(c.t, dir, rig.NumberedLadder(seconds, rungs...))
	if c.hook != nil {
		c.hook.Expect(id, job.Transcoding, job.Completed)
	}
	for _, task := range completed.Tasks {
		finished := 0
		for _, attempt := range task.Attempts {
			if attempt.Outcome == job.OutcomeFinished {
				finished++
			}
		}
		if finished != 1 {
			c.t.Errorf("%s of job %s was finished %d times: %s", task.ID, id, finished, text(task))
		}
	}
	return completed
}

// output is the folder of an output.
func (c *team) output(name string) string { return filepath.Join(c.outputs, name) }

// task is one of a job's tasks.
func task(t testing.TB, j job.View, id job.TaskID) job.Task {
	t.Helper()
	at := slices.IndexFunc(j.Tasks, func(k job.Task) bool { return k.ID == id })
	if at < 0 {
		t.Fatalf("job %s has no task %s", j.ID, id)
	}
	return j.Tasks[at]
}

// holder is the peer that works on a task of a job.
func (c *team) holder(id job.ID, kind job.TaskKind) *peer {
	c.t.Helper()
	var found *peer
	rig.Eventually(c.t, "a peer works on the "+string(kind)+" task", func() bool {
		for _, k := range c.read(id).Tasks {
			if k.Kind == kind && k.Held() {
				found = c.named(k.Last().Node)
				return true
			}
		}
		return false
	})
	return found
}

// text is all that a JSON value says.
func text(value any) string {
	var out strings.Builder
	_ = json.NewEncoder(&out).Encode(value)
	return out.String()
}

// TestOneChunkOfALoneJobIsMadeByTwo: three segments on two machines of one thread are
// three chunks, of which one's ladder is divided, and all of it is right.
func TestOneChunkOfALoneJobIsMadeByTwo(t *testing.T) {
	t.Parallel()
	c := newTeam(t, 2)
	c.form()
	rungs := map[string]string{"1080p": "1920x1080", "720p": "1280x720", "480p": "854x480"}
	request := c.request("out", 6, slices.Sorted(maps.Keys(rungs))...)
	source := rig.Clip(t, "large.mp4", "-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=25:d=6", "-f", "lavfi", "-i", "sine=sample_rate=48000:d=6",
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac")
	rig.CopyFile(t, source, filepath.Join(c.sources, "6.mp4"))
	completed := c.await(c.submit(request), job.Completed)
	rig.CheckLadder(t, c.output("out"), rig.Ladder{Rungs: rungs, Frames: 150, Foreign: true})
	whole, parts := 0, 0
	for _, task := range completed.Tasks {
		switch {
		case task.Kind != job.EncodeTask:
		case len(task.Renditions) == len(rungs):
			whole++
		default:
			parts++
		}
	}
	if whole != 2 || parts != 2 {
		t.Errorf("%d chunks have their whole ladder made at once, and there are %d parts of one; want 2 and 2", whole, parts)
	}
}
