package webhook

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"millrace/cluster"
	"millrace/job"
)

// memory is the outbox part of the cluster's state, without a log, so that the
// dispatcher can be tested in a bubble of fake time. peer_test.go has the same
// over a real peer.
type memory struct {
	mutex    sync.Mutex
	events   []*cluster.Event // by number
	webhooks map[string]*cluster.Webhook
	changed  chan struct{}
	// refuse is how many proposals are yet to fail.
	refuse int
}

func newMemory() *memory {
	return &memory{webhooks: make(map[string]*cluster.Webhook), changed: make(chan struct{})}
}

// wake must be called with the mutex held.
func (m *memory) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// put creates or replaces a webhook of organisation org.
func (m *memory) put(org, id, url, secret string) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.webhooks[id] = &cluster.Webhook{ID: id, Org: org, URL: url, Secret: []byte(secret)}
	m.wake()
}

func (m *memory) change(id string, edit func(*cluster.Webhook)) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	changed := *m.webhooks[id]
	edit(&changed)
	m.webhooks[id] = &changed
	m.wake()
}

func (m *memory) webhook(id string) *cluster.Webhook {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.webhooks[id]
}

// add puts a change of a job's status into the outbox of every webhook of its organisation.
func (m *memory) add(j *job.Job) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	ids := make([]string, 0, len(m.webhooks))
	for id, w := range m.webhooks {
		if w.Org == j.Org {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		number := uint64(len(m.events) + 1)
		m.events = append(m.events, &cluster.Event{
			Number: number, ID: fmt.Sprintf("evt_%d", number), Org: j.Org, Webhook: id, Job: j})
	}
	m.wake()
}

func (m *memory) event(number uint64) *cluster.Event {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.events[number-1]
}

// redeliver puts an event back into the outbox.
func (m *memory) redeliver(number uint64) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	again := *m.events[number-1]
	again.Done = false
	m.events[number-1] = &again
	m.wake()
}

// settled waits until no event is left to deliver.
func (m *memory) settled(t *testing.T) {
	t.Helper()
	m.until(t, "every event is done", func(events []*cluster.Event) bool {
		return !slices.ContainsFunc(events, func(e *cluster.Event) bool { return !e.Done })
	})
}

// until waits until a condition on the events holds.
func (m *memory) until(t *testing.T, what string, holds func([]*cluster.Event) bool) {
	t.Helper()
	for {
		m.mutex.Lock()
		events, changed := slices.Clone(m.events), m.changed
		m.mutex.Unlock()
		if holds(events) {
			return
		}
		select {
		case <-changed:
		case <-time.After(30 * 24 * time.Hour): // of a bubble; elsewhere go test's own limit comes first
			t.Fatalf("a month has passed without a change before %s", what)
		}
	}
}

func (m *memory) Stale() cluster.View {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	webhooks := make(map[string]*cluster.Webhook, len(m.webhooks))
	for id, w := range m.webhooks {
		webhooks[id] = w
	}
	return &memoryView{events: slices.Clone(m.events), webhooks: webhooks, changed: m.changed}
}

func (m *memory) Propose(_ context.Context, command cluster.Command) (any, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.refuse > 0 {
		m.refuse--
		return nil, cluster.ErrNoLeader
	}
	record, ok := command.(cluster.RecordDelivery)
	if !ok {
		return nil, errors.New("not a delivery: " + command.Name())
	}
	event := *m.events[record.Event-1]
	event.Deliveries = append(slices.Clone(event.Deliveries), record.Delivery)
	event.Done = record.Done
	m.events[record.Event-1] = &event
	if record.PauseWebhook != "" {
		paused := *m.webhooks[event.Webhook]
		paused.Paused = record.PauseWebhook
		m.webhooks[event.Webhook] = &paused
	}
	m.wake()
	return nil, nil
}

// memoryView has only what a dispatcher reads.
type memoryView struct {
	cluster.View
	events   []*cluster.Event
	webhooks map[string]*cluster.Webhook
	changed  chan struct{}
}

func (v *memoryView) Changed() <-chan struct{} { return v.changed }

func (v *memoryView) Webhook(org, id string) (*cluster.Webhook, bool) {
	w, found := v.webhooks[id]
	return w, found && w.Org == org
}

func (v *memoryView) Outbox() iter.Seq[*cluster.Event] {
	return func(yield func(*cluster.Event) bool) {
		for _, e := range v.events {
			if !e.Done && !yield(e) {
				return
			}
		}
	}
}

// plain seals nothing.
type plain struct{}

func (plain) Open(sealed []byte, _ string) ([]byte, error) { return sealed, nil }

// aJob is a job of an organisation as it is after one change of status.
func aJob(org, id string, status job.Status) *job.Job {
	j := &job.Job{ID: job.ID(id), Org: org, Status: status, Created: time.Now(),
		Spec: job.Spec{Input: job.Location{URL: "https://example.com/in.mp4"}, Output: job.Location{URL: "s3://bucket/out/"},
			Resolutions: []job.Resolution{240, 480}}}
	if status != job.Queued {
		j.Started = j.Created
	}
	if status.Terminal() {
		j.Ended = j.Created
	}
	return j
}
