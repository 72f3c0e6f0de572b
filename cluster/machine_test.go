package cluster

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"millrace/job"
)

// bench is a state machine on its own, fed with log entries.
type bench struct {
	t     interface{ Fatalf(string, ...any) }
	m     *machine
	index uint64
}

func newBench(t interface{ Fatalf(string, ...any) }) *bench { return &bench{t: t, m: newMachine()} }

func (b *bench) try(command Command) (any, error) {
	entry, err := encodeCommand(command)
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	b.index++
	entry.Index, entry.Type = b.index, raft.LogCommand
	got := b.m.Apply(&entry).(answer)
	return got.value, got.err
}

func (b *bench) do(command Command) any {
	value, err := b.try(command)
	if err != nil {
		b.t.Fatalf("%s: %v", command.Name(), err)
	}
	return value
}

func (b *bench) view() *view { return b.m.current.Load() }

func (b *bench) bytes() []byte {
	var out bytes.Buffer
	if err := writeSnapshot(&out, b.view()); err != nil {
		b.t.Fatalf("%v", err)
	}
	return out.Bytes()
}

func assignment(id job.ID, task job.TaskID, attempt int) JobAssignment {
	return JobAssignment{id, job.Assignment{Task: task, Attempt: attempt, Node: "n1", Session: "s1", Device: "cpu"}}
}

func start(id job.ID, task job.TaskID, attempt int) StartAttempts {
	return StartAttempts{Assignments: []JobAssignment{assignment(id, task, attempt)}, At: noon.Add(time.Second)}
}

func planOf(frames, perSegment int64, counts ...int) job.Plan {
	timeline := job.Timeline{Rate: job.Rational{Num: 25, Den: 1}, Frames: frames, SegmentFrames: perSegment}
	chunks, err := timeline.Cut(counts)
	if err != nil {
		panic(err)
	}
	return job.Plan{
		Source: job.Source{Identity: "etag"}, Timeline: timeline, Chunks: chunks,
		Renditions: []job.Rendition{{Name: "720p", Width: 1280, Height: 720, Codec: job.H264, Encoder: "libx264"}},
	}
}

const jobA, jobB job.ID = "AAAAAAAAAAA", "BBBBBBBBBBB"

// planned brings a job to where its tasks wait.
func (b *bench) planned(org string, id job.ID) {
	create := createJob(org, id)
	b.do(create)
	b.do(start(id, "inspect", 1))
	plan := planOf(400, 100, 2, 2)
	b.do(PlanJob{Ref: job.Ref{Job: id, Task: "inspect", Attempt: 1}, Plan: plan, Tasks: job.PlanTasks(id, create.Spec, plan), At: noon.Add(2 * time.Second)})
}

func (b *bench) completed(org string, id job.ID, at time.Time) {
	b.planned(org, id)
	for _, task := range []job.TaskID{"encode-00000", "encode-00001", "package"} {
		b.do(start(id, task, 1))
		b.do(FinishTask{Ref: job.Ref{Job: id, Task: task, Attempt: 1}, Result: job.Result{
			Published: []job.Published{{Kind: job.HLS, Name: "video.m3u8"}},
		}, At: at})
	}
}

func TestAJobGoesItsWay(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	b.do(PutWebhook{Webhook{ID: "hook", Org: "default", Created: noon}})
	b.completed("default", jobA, noon.Add(time.Minute))

	done, ok := b.view().Job("default", jobA)
	if !ok || done.Status != job.Completed || len(done.Published) != 1 || done.Revision != b.index {
		t.Fatalf("job %+v", done)
	}
	var told []job.Status
	for event := range b.view().Outbox() {
		told = append(told, event.Job.Status)
		if event.Job.Plan != nil && event.Job.Plan.Chunks != nil {
			t.Error("an event carries the job's chunks")
		}
	}
	if !slices.Equal(told, []job.Status{job.Transcoding, job.Completed}) {
		t.Errorf("told: %v", told)
	}
	for record := range b.view().Unsettled() {
		t.Errorf("job %s is still looked at", record.Job.ID)
	}
}

func TestLateReportFromFencedAttemptIsRefused(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	b.planned("default", jobA)
	b.do(start(jobA, "encode-00000", 1))
	late := job.Ref{Job: jobA, Task: "encode-00000", Attempt: 1}
	b.do(LoseAttempts{Refs: []job.Ref{late}, Outcome: job.OutcomeLost, Reason: "n1 is gone", At: noon})
	b.do(start(jobA, "encode-00000", 2))
	before := b.bytes()
	for _, report := range []Command{
		FinishTask{Ref: late}, FailTask{Ref: late, Failure: job.Failure{Code: job.EncoderFailed}},
		PlanJob{Ref: late, Plan: planOf(100, 100, 1)},
		FinishTask{Ref: job.Ref{Job: jobB, Task: "inspect", Attempt: 1}},
	} {
		if _, err := b.try(report); !errors.Is(err, job.ErrFenced) {
			t.Errorf("%s: %v", report.Name(), err)
		}
	}
	if value := b.do(start(jobA, "encode-00000", 2)); len(value.([]job.Ref)) != 0 {
		t.Errorf("an old decision started %v", value)
	}
	if after := b.bytes(); !sameRows(before, after) {
		t.Error("refused reports changed the state")
	}
}

// sameRows compares snapshots but for the index that they stand at.
func sameRows(a, b []byte) bool {
	rows := func(data []byte) []string {
		lines := strings.Split(string(data), "\n")
		return lines[1 : len(lines)-2] // header; trailer and the end
	}
	return slices.Equal(rows(a), rows(b))
}

func TestOneIdempotencyKeyMakesOneJob(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	b.do(createOrg("other"))
	command := createJob("default", jobA)
	command.IdempotencyKey, command.RequestHash = "key", "hash"
	b.do(command)

	again := createJob("default", jobB)
	again.Spec.Output = command.Spec.Output
	again.IdempotencyKey, again.RequestHash = "key", "hash"
	if got := b.do(again).(*job.Job); got.ID != jobA {
		t.Errorf("made a second job %s", got.ID)
	}
	again.RequestHash = "another"
	if _, err := b.try(again); !errors.Is(err, ErrIdempotencyConflict) {
		t.Errorf("another request under the same key: %v", err)
	}
	again.Spec.Output.URL = "s3://bucket/elsewhere/"
	again.At = noon.Add(IdempotencyWindow)
	if got := b.do(again).(*job.Job); got.ID != jobB {
		t.Errorf("a day later the key still stands for %s", got.ID)
	}
	foreign := createJob("other", "CCCCCCCCCCC")
	foreign.IdempotencyKey, foreign.RequestHash = "key", "hash"
	if got := b.do(foreign).(*job.Job); got.ID != "CCCCCCCCCCC" {
		t.Errorf("another organisation's key stands for %s", got.ID)
	}
}

func TestTheSameProposalTwiceMakesOneJob(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	b.do(createJob("default", jobA))
	if got := b.do(createJob("default", jobA)).(*job.Job); got.ID != jobA || got.Revision == b.index {
		t.Errorf("the job was made anew: %+v", got)
	}
	b.do(createOrg("other"))
	if _, err := b.try(createJob("other", jobA)); !errors.Is(err, ErrExists) {
		t.Errorf("another organisation took a job's ID: %v", err)
	}
}

func TestOneUnfinishedJobPerOutput(t *testing.T) {
	same := []string{"s3://bucket/" + string(jobA), "S3://Bucket//" + string(jobA) + "/./", "s3://bucket/" + string(jobA) + "/?access_key=***"}
	for _, output := range same {
		b := newBench(t)
		b.do(createOrg("default"))
		b.do(createOrg("other"))
		b.do(createJob("default", jobA))
		second := createJob("other", jobB)
		second.Spec.Output.URL = output
		if _, err := b.try(second); !errors.Is(err, ErrOutputInUse) {
			t.Errorf("%s: %v", output, err)
		}
		b.do(CancelJob{Org: "default", ID: jobA, At: noon})
		b.do(second)
		if _, err := b.try(RetryJob{Org: "default", ID: jobA, At: noon}); !errors.Is(err, ErrOutputInUse) {
			t.Errorf("retried into another job's output: %v", err)
		}
	}
	b := newBench(t)
	b.do(createOrg("default"))
	b.do(createJob("default", jobA))
	for i, output := range []string{"s3://bucket/" + string(jobA) + "/deeper/", "file:///bucket/" + string(jobA), "s3://bucket/" + string(jobA) + "/?endpoint=https://minio"} {
		other := createJob("default", job.ID(strings.Repeat("x", i+1)))
		other.Spec.Output.URL = output
		b.do(other)
	}
}

func TestACancelledJobKeepsItsOutputUntilItIsCleaned(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	b.planned("default", jobA)
	b.do(start(jobA, "encode-00000", 1))
	b.do(CancelJob{Org: "default", ID: jobA, At: noon})
	second := createJob("default", jobB)
	second.Spec.Output = createJob("default", jobA).Spec.Output
	refused := func(when string) {
		t.Helper()
		if _, err := b.try(second); !errors.Is(err, ErrOutputInUse) {
			t.Errorf("%s: %v", when, err)
		}
	}
	refused("while an attempt may still write")
	b.do(LoseAttempts{Refs: []job.Ref{{Job: jobA, Task: "encode-00000", Attempt: 1}}, Outcome: job.OutcomeStopped, At: noon})
	refused("before the cleanup")
	b.do(start(jobA, "cleanup", 1))
	refused("during the cleanup")
	b.do(FinishTask{Ref: job.Ref{Job: jobA, Task: "cleanup", Attempt: 1}, At: noon})
	b.do(second)
}

func TestAnOrganisationNeverReachesAnothers(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	b.do(createOrg("other"))
	b.do(createJob("default", jobA))
	b.do(PutWebhook{Webhook{ID: "hook", Org: "default"}})
	b.do(CreateKey{Key{ID: "key", Org: "default", Role: RoleAdmin, SHA256: []byte("hash")}})
	b.do(start(jobA, "inspect", 1)) // writes an event
	for _, command := range []Command{
		CancelJob{Org: "other", ID: jobA}, RetryJob{Org: "other", ID: jobA},
		DeleteWebhook{Org: "other", ID: "hook"}, Redeliver{Org: "other", Webhook: "hook", Event: 1},
		RevokeKey{Org: "other", ID: "key"},
		createJob("nobody", jobB), PutWebhook{Webhook{ID: "hook", Org: "nobody"}},
		CreateKey{Key{ID: "new", Org: "nobody", SHA256: []byte("new")}},
	} {
		if _, err := b.try(command); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", command.Name(), err)
		}
	}
	v := b.view()
	if _, ok := v.Job("other", jobA); ok {
		t.Error("saw another's job")
	}
	if _, ok := v.Webhook("other", "hook"); ok || len(v.Webhooks("other")) != 0 {
		t.Error("saw another's webhook")
	}
	for range v.Deliveries("other", "hook") {
		t.Error("saw another's deliveries")
	}
	for range v.Jobs("other") {
		t.Error("listed another's job")
	}
	if len(v.Keys("other")) != 0 {
		t.Error("saw another's key")
	}
}

func TestARevokedKeyIsNotFound(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	b.do(CreateKey{Key{ID: "key", Org: "default", Role: RoleRead, SHA256: []byte("hash"), Created: noon}})
	if key, ok := b.view().KeyByHash([]byte("hash")); !ok || key.ID != "key" {
		t.Fatalf("key %+v, %v", key, ok)
	}
	if _, ok := b.view().KeyByHash([]byte("has")); ok {
		t.Error("found a key by the beginning of its hash")
	}
	if _, err := b.try(CreateKey{Key{ID: "twin", Org: "default", SHA256: []byte("hash")}}); !errors.Is(err, ErrExists) {
		t.Errorf("a second key with the same text: %v", err)
	}
	b.do(RevokeKey{Org: "default", ID: "key", At: noon})
	if _, ok := b.view().KeyByHash([]byte("hash")); ok {
		t.Error("a revoked key still opens")
	}
	if keys := b.view().Keys("default"); len(keys) != 1 || keys[0].Revoked.IsZero() {
		t.Errorf("keys: %+v", keys)
	}
}

func TestAnUnknownOrDamagedEntryStopsTheMachine(t *testing.T) {
	whole, err := encodeCommand(createOrg("default"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Replace(whole.Data, []byte("default"), []byte("defaulu"), 1)
	for name, entry := range map[string]raft.Log{
		"unknown command": {Data: []byte(`{"v":1,"c":"make_coffee","d":{}}`)},
		"newer version":   {Data: []byte(`{"v":9,"c":"create_organisation","d":{}}`)},
		"not JSON":        {Data: []byte("\x00\x01")},
		"wrong type":      {Data: []byte(`{"v":1,"c":"create_organisation","d":[1]}`)},
		"flipped bit":     {Data: flipped, Extensions: whole.Extensions},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.do(createOrg("before"))
			before := b.bytes()
			good, bad := whole, entry
			good.Index, good.Type = 3, raft.LogCommand
			bad.Index, bad.Type = 2, raft.LogCommand
			for i, got := range b.m.ApplyBatch([]*raft.Log{&bad, &good}) {
				if !errors.Is(got.(answer).err, ErrHalted) {
					t.Errorf("entry %d: %v", i, got)
				}
			}
			if !bytes.Equal(before, b.bytes()) {
				t.Error("the state changed")
			}
			if _, err := b.m.Snapshot(); !errors.Is(err, ErrHalted) {
				t.Errorf("took a snapshot: %v", err)
			}
		})
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	b := newBench(t)
	entry := raft.Log{Index: 1, Type: raft.LogCommand, Data: []byte(`{"v":1,"c":"create_organisation","x":1,"d":{"organisation":{"id":"default","colour":"blue"}}}`)}
	if got := b.m.Apply(&entry).(answer); got.err != nil {
		t.Fatal(got.err)
	}
	if _, ok := b.view().Organisation("default"); !ok {
		t.Error("no organisation")
	}
}

func TestAPeerThatMeetsAnUnknownCommandLeaves(t *testing.T) {
	folder := t.TempDir()
	fatal := make(chan error, 2)
	config := quick(folder)
	config.Fatal = func(err error) { fatal <- err }
	p := open(t, config)
	if err := p.raft.Apply([]byte(`{"v":9,"c":"x"}`), 0).Error(); err != nil {
		t.Fatal(err)
	}
	if err := <-fatal; !errors.Is(err, ErrHalted) || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("fatal: %v", err)
	}
	if _, err := p.Propose(t.Context(), createOrg("default")); !errors.Is(err, ErrHalted) {
		t.Errorf("propose: %v", err)
	}
	if _, err := p.View(t.Context()); !errors.Is(err, ErrHalted) {
		t.Errorf("view: %v", err)
	}
	closePeer(t, p)

	p, err := Open(t.Context(), config) // as stubborn after a restart
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Ready(t.Context()); !errors.Is(err, ErrHalted) {
		t.Errorf("ready: %v", err)
	}
	closePeer(t, p)
}
