package cluster

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"millrace/job"
)

func filled(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.do(createOrg("default"))
	b.do(PutWebhook{Webhook{ID: "hook", Org: "default", Created: noon}})
	b.completed("default", jobA, noon.Add(time.Minute))
	create := createJob("default", jobB)
	create.IdempotencyKey = "key"
	b.do(create)
	return b
}

func TestATornOrChangedSnapshotIsRefused(t *testing.T) {
	b := filled(t)
	whole := b.bytes()
	bad := map[string][]byte{
		"a row is missing": []byte(strings.Replace(string(whole), "\n{\"t\":\"organisations\"", "\n{\"x\":1}\n{\"t\":\"orgs\"", 1)),
		"another file":     []byte("{\"format\":\"tar\"}\n"),
		"a newer format":   bytes.Replace(whole, []byte(`"version":2`), []byte(`"version":9`), 1),
		"a flipped letter": bytes.Replace(whole, []byte("libx264"), []byte("libx265"), 1),
		"an unknown table": bytes.Replace(whole, []byte(`"t":"jobs"`), []byte(`"t":"bobs"`), 1),
	}
	for cut := 0; cut < len(whole); cut += max(1, len(whole)/97) {
		bad[fmt.Sprintf("cut to %d bytes", cut)] = whole[:cut]
	}
	for name, data := range bad {
		restored := newBench(t)
		restored.do(createOrg("kept"))
		if err := restored.m.Restore(io.NopCloser(bytes.NewReader(data))); err == nil {
			t.Errorf("%s: restored", name)
		}
		if _, ok := restored.view().Organisation("kept"); !ok {
			t.Errorf("%s: the state that was there is gone", name)
		}
	}
}

func TestASnapshotIsOfTheMomentItWasTaken(t *testing.T) {
	b := filled(t)
	want := b.bytes()
	taken, err := b.m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	b.do(createOrg("later"))
	sink := &memorySink{}
	if err := taken.Persist(sink); err != nil {
		t.Fatal(err)
	}
	taken.Release()
	if !bytes.Equal(sink.Bytes(), want) || !sink.closed {
		t.Error("the snapshot has changed since it was taken")
	}
}

// memorySink is a raft.SnapshotSink in memory.
type memorySink struct {
	bytes.Buffer
	closed bool
}

func (s *memorySink) Close() error  { s.closed = true; return nil }
func (s *memorySink) ID() string    { return "memory" }
func (s *memorySink) Cancel() error { return nil }

func FuzzReadSnapshot(f *testing.F) {
	b := newBench(f)
	b.do(createOrg("default"))
	b.completed("default", jobA, noon)
	f.Add(b.bytes())
	f.Add([]byte("{}\n"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _, _ = readSnapshot(bytes.NewReader(data), newDB()) // must not panic
	})
}

func FuzzDecodeCommand(f *testing.F) {
	for _, command := range []Command{createOrg("default"), createJob("default", jobA), start(jobA, "inspect", 1)} {
		entry, err := encodeCommand(command)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(entry.Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newBench(t)
		b.do(createOrg("default"))
		b.do(createJob("default", jobA))
		b.m.Apply(&raft.Log{Index: 3, Type: raft.LogCommand, Data: data}) // must not panic
	})
}

func TestPruneForgetsWhatEndedLongAgo(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	b.do(PutWebhook{Webhook{ID: "hook", Org: "default", Created: noon}})
	create := createJob("default", jobA)
	b.completed("default", jobA, noon.Add(time.Hour))
	b.completed("default", jobB, noon.Add(2*time.Hour))
	b.do(createJob("default", "CCCCCCCCCCC"))
	again := create
	again.ID, again.IdempotencyKey, again.Spec.Output.URL = "DDDDDDDDDDD", "key", "s3://bucket/d/"
	b.do(again)
	b.do(CancelJob{Org: "default", ID: "DDDDDDDDDDD", At: noon.Add(3 * time.Hour)})
	for event := range b.view().Outbox() {
		b.do(RecordDelivery{Event: event.Number, Delivery: Delivery{At: noon.Add(time.Hour), StatusCode: 200}, Done: event.Number != 2})
	}

	if got := *b.do(Prune{}).(*Pruned); got != (Pruned{}) {
		t.Errorf("a prune of nothing forgot %+v", got)
	}
	got := *b.do(Prune{JobsBefore: noon.Add(90 * time.Minute), IdempotencyBefore: noon, DeliveriesBefore: noon.Add(2 * time.Hour)}).(*Pruned)
	if want := (Pruned{Jobs: 1, Deliveries: 2}); got != want {
		t.Errorf("forgot %+v, want %+v", got, want)
	}
	if got := *b.do(Prune{KeepJobs: 1}).(*Pruned); got.Jobs != 1 {
		t.Errorf("of two ended jobs, one to keep: forgot %+v", got)
	}
	var left []job.ID
	for j := range b.view().Jobs("default") {
		left = append(left, j.ID)
	}
	if fmt.Sprint(left) != "[CCCCCCCCCCC DDDDDDDDDDD]" {
		t.Errorf("left are %v", left)
	}
	if got := *b.do(Prune{IdempotencyBefore: noon.Add(time.Second)}).(*Pruned); got.IdempotencyKeys != 1 {
		t.Errorf("forgot %+v", got)
	}
}

func TestAPausedWebhooksEventsWaitUntilItIsPutAgain(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	hook := Webhook{ID: "hook", Org: "default", Created: noon}
	b.do(PutWebhook{hook})
	b.planned("default", jobA)
	b.do(RecordDelivery{Event: 1, Delivery: Delivery{At: noon}, PauseWebhook: "it answers 410"})
	b.do(CancelJob{Org: "default", ID: jobA, At: noon})
	if paused, _ := b.view().Webhook("default", "hook"); paused.Paused != "it answers 410" {
		t.Errorf("paused: %q", paused.Paused)
	}
	b.do(PutWebhook{hook})
	waiting := 0
	for range b.view().Outbox() {
		waiting++
	}
	if again, _ := b.view().Webhook("default", "hook"); again.Paused != "" || waiting != 2 {
		t.Errorf("paused %q, %d events wait", again.Paused, waiting)
	}
	b.do(DeleteWebhook{Org: "default", ID: "hook"})
	for event := range b.view().Outbox() {
		t.Errorf("event %d of a deleted webhook", event.Number)
	}
}

func TestWritesGoOnWhileASnapshotIsWritten(t *testing.T) {
	b := filled(t)
	taken, err := b.m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	sink := &slowSink{written: make(chan struct{}), goOn: make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- taken.Persist(sink) }()
	<-sink.written // and held there
	for n := range 10 {
		b.do(createJob("default", job.ID(fmt.Sprintf("%011d", n))))
	}
	close(sink.goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if strings.Contains(sink.String(), "00000000009") {
		t.Error("the snapshot has what came after it")
	}
}

// slowSink holds up its first write.
type slowSink struct {
	memorySink
	once          sync.Once
	written, goOn chan struct{}
}

func (s *slowSink) Write(data []byte) (int, error) {
	s.once.Do(func() { close(s.written); <-s.goOn })
	return s.memorySink.Write(data)
}

func TestALongHistoryIsForgottenInBoundedSteps(t *testing.T) {
	b := newBench(t)
	v := historyOf(t, maxPruned+10)
	b.m.load(v.db, newProposals(nil), v.index)
	b.index = v.index
	var steps []int
	for {
		pruned := b.do(Prune{KeepJobs: 7}).(*Pruned)
		steps = append(steps, pruned.Jobs)
		if !pruned.More() {
			break
		}
	}
	if fmt.Sprint(steps) != "[5000 3]" {
		t.Errorf("forgotten: %v", steps)
	}
}
