package rig

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"millrace/api/client"
	"millrace/job"
)

// Hook is a receiver of webhooks. Deliveries come at least once, so it
// remembers each event by its id, in the order in which they first came.
type Hook struct {
	t      testing.TB
	server *httptest.Server

	mu     sync.Mutex
	events []hookEvent
	seen   map[string]string // event id to body
}

type hookEvent struct {
	id  string
	job job.View
}

// HookSecret is the token that comes with each delivery.
const HookSecret = "a secret of the test"

// NewHook listens at address (host:port, port 0 for a free one) until the test ends.
func NewHook(t testing.TB, address string) *Hook {
	t.Helper()
	h := &Hook{t: t, seen: make(map[string]string)}
	h.server = Listen(t, address, http.HandlerFunc(h.take))
	return h
}

// Subscribe adds the receiver to an organisation's webhooks.
func (h *Hook) Subscribe(api *client.Client) {
	h.t.Helper()
	if _, err := api.CreateWebhook(h.t.Context(), h.server.URL, HookSecret); err != nil {
		h.t.Fatal(err)
	}
}

func (h *Hook) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	id := r.Header.Get("webhook-id")
	event := hookEvent{id: id}
	if err := json.Unmarshal(body, &event.job); err != nil {
		h.t.Errorf("the webhook's body is no job: %v: %s", err, body)
	}
	if id == "" || r.Header.Get("webhook-signature") == "" || r.Header.Get("webhook-timestamp") == "" || r.Header.Get("x-streams-token") != HookSecret {
		h.t.Errorf("a header is missing or wrong: %v", r.Header)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	before, again := h.seen[id]
	if again && before != string(body) {
		h.t.Errorf("event %s came with two bodies:\n%s\n%s", id, before, body)
	}
	if !again {
		h.seen[id] = string(body)
		h.events = append(h.events, event)
	}
}

// Statuses are what the receiver was told of a job, in order.
func (h *Hook) Statuses(id job.ID) []job.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	var told []job.Status
	for _, event := range h.events {
		if event.job.ID == id {
			told = append(told, event.job.Status)
		}
	}
	return told
}

// Expect waits until the receiver was told exactly this of a job.
func (h *Hook) Expect(id job.ID, want ...job.Status) {
	h.t.Helper()
	Eventually(h.t, "the last status of job "+string(id)+" is delivered", func() bool {
		told := h.Statuses(id)
		return len(told) > 0 && told[len(told)-1] == want[len(want)-1]
	})
	if told := h.Statuses(id); !slices.Equal(told, want) {
		h.t.Errorf("the webhook was told %v of job %s, want %v, each once", told, id, want)
	}
}
