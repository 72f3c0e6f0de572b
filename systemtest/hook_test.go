package systemtest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"millrace/job"
)

// hook is a receiver of webhooks. Deliveries come at least once, so it
// remembers each event by its id, in the order in which they first came.
type hook struct {
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

// allowHooks lets a peer deliver to receivers of this machine.
var allowHooks = []string{"--allow-webhook-network", "127.0.0.0/8"}

const hookSecret = "a secret of the test"

func newHook(t testing.TB) *hook {
	h := &hook{t: t, seen: make(map[string]string)}
	h.server = httptest.NewServer(http.HandlerFunc(h.take))
	t.Cleanup(h.server.Close)
	return h
}

// subscribe adds the receiver to the peer's webhooks.
func (h *hook) subscribe(p *peer) {
	p.t.Helper()
	if _, err := p.api.CreateWebhook(p.t.Context(), h.server.URL, hookSecret); err != nil {
		p.t.Fatal(err)
	}
}

func (h *hook) take(w http.ResponseWriter, r *http.Request) {
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
	if id == "" || r.Header.Get("webhook-signature") == "" || r.Header.Get("webhook-timestamp") == "" || r.Header.Get("x-streams-token") != hookSecret {
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

// statuses are what the receiver was told of a job, in order.
func (h *hook) statuses(id job.ID) []job.Status {
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

// expect waits until the receiver was told exactly this of a job.
func (h *hook) expect(id job.ID, want ...job.Status) {
	h.t.Helper()
	eventually(h.t, "the last status of job "+string(id)+" is delivered", func() bool {
		told := h.statuses(id)
		return len(told) > 0 && told[len(told)-1] == want[len(want)-1]
	})
	if told := h.statuses(id); !slices.Equal(told, want) {
		h.t.Errorf("the webhook was told %v of job %s, want %v, each once", told, id, want)
	}
}
