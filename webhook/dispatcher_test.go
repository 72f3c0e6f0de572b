package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"millrace/cluster"
	"millrace/job"
)

// soon is a schedule for tests that really wait.
var soon = Schedule{Pauses: []time.Duration{time.Millisecond}, GiveUpAfter: time.Hour}

var life = []job.Status{job.Queued, job.Transcoding, job.Completed}

func TestEventsOfEachJobArriveInOrderThoughTriesFail(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, nth int) {
		if nth%3 == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	state := newMemory()
	state.put("default", "w", e.url, "secret")
	for _, status := range life {
		for n := range 5 {
			state.add(aJob("default", fmt.Sprintf("job%d", n), status))
		}
	}
	start(t, Config{State: state, Schedule: soon})
	state.settled(t)

	seen := make(map[job.ID][]job.Status)
	for _, one := range e.all() {
		seen[one.view.ID] = append(seen[one.view.ID], one.view.Status)
	}
	for id, statuses := range seen {
		if got := slices.Compact(statuses); !slices.Equal(got, life) {
			t.Errorf("%s: got the statuses %v, want %v", id, statuses, life)
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d jobs arrived, want 5", len(seen))
	}
}

func TestRequestIsTheJobAsTheAPIShowsItWithTheTokenAndTheClientsHeaders(t *testing.T) {
	e := serve(t, nil)
	state := newMemory()
	state.put("default", "w", e.url, "secret")
	j := aJob("default", "job", job.Completed)
	state.add(j)
	start(t, Config{State: state, Version: "v1.2.3"})
	state.settled(t)

	got := e.all()[0]
	want, err := json.Marshal(job.NewView(j, job.Progress{}))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.body, want) {
		t.Errorf("the body is\n%s\nwant\n%s", got.body, want)
	}
	for name, value := range map[string]string{
		"X-Streams-Token": "secret", "Content-Type": "application/json", "User-Agent": "Millrace/v1.2.3", "Webhook-Id": "evt_1",
	} {
		if got.header.Get(name) != value {
			t.Errorf("header %s is %q, want %q", name, got.header.Get(name), value)
		}
	}
	if tries := state.event(1).Deliveries; len(tries) != 1 || tries[0].StatusCode != http.StatusOK || tries[0].Error != "" || !tries[0].NextAt.IsZero() {
		t.Errorf("the delivery log is %+v", tries)
	}
}

func TestFailedDeliveryIsTriedAgainByTheNextLeader(t *testing.T) {
	var healed atomic.Bool
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		if !healed.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	state := newMemory()
	state.put("default", "w", e.url, "secret")
	state.add(aJob("default", "job", job.Queued))
	config := Config{State: state, Schedule: Schedule{Pauses: []time.Duration{time.Second}, GiveUpAfter: time.Hour}}
	stop := start(t, config)
	state.until(t, "the first try is recorded", func(events []*cluster.Event) bool { return len(events[0].Deliveries) == 1 })
	stop()
	healed.Store(true)
	start(t, config)
	state.settled(t)

	tries := state.event(1).Deliveries
	if len(tries) != 2 || tries[1].At.Before(tries[0].NextAt) {
		t.Errorf("the second try came before its time: %+v", tries)
	}
	if got := e.all(); got[0].header.Get("webhook-id") != got[1].header.Get("webhook-id") {
		t.Error("the event has another webhook-id at its second try")
	}
}

func TestGoneEndpointIsPausedAtOnceAndItsNextEventsWait(t *testing.T) {
	e := serve(t, answerWith(http.StatusGone))
	state := newMemory()
	state.put("default", "w", e.url, "secret")
	state.add(aJob("default", "job", job.Queued))
	state.add(aJob("default", "job", job.Transcoding))
	start(t, Config{State: state, Schedule: soon})
	state.until(t, "the webhook is paused", func([]*cluster.Event) bool { return state.Stale().(*memoryView).webhooks["w"].Paused != "" })

	if reason := state.webhook("w").Paused; !strings.Contains(reason, "410") {
		t.Errorf("the reason is %q", reason)
	}
	if !state.event(1).Done || state.event(2).Done {
		t.Error("want the first event given up and the second waiting")
	}
	if n := len(e.all()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestRedirectIsAFailureAndIsNotFollowed(t *testing.T) {
	elsewhere := serve(t, nil)
	e := serve(t, func(w http.ResponseWriter, r *http.Request, nth int) {
		if nth == 1 {
			http.Redirect(w, r, elsewhere.url, http.StatusTemporaryRedirect)
		}
	})
	state := newMemory()
	state.put("default", "w", e.url, "secret")
	state.add(aJob("default", "job", job.Queued))
	start(t, Config{State: state, Schedule: soon})
	state.settled(t)

	if n := len(elsewhere.all()); n != 0 {
		t.Errorf("the redirect was followed %d times", n)
	}
	if first := state.event(1).Deliveries[0]; first.StatusCode != http.StatusTemporaryRedirect || !strings.Contains(first.Error, "redirects are not followed") {
		t.Errorf("the first try is recorded as %+v", first)
	}
}

func TestEndlessAnswerIsCutOff(t *testing.T) {
	written := make(chan int64, 1)
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		block := make([]byte, 1<<20)
		var n int64
		for n < 10<<30 {
			wrote, err := w.Write(block)
			n += int64(wrote)
			if err != nil {
				break
			}
		}
		written <- n
	})
	state := newMemory()
	state.put("default", "w", e.url, "secret")
	state.add(aJob("default", "job", job.Queued))
	start(t, Config{State: state})
	state.settled(t)

	// What the sockets' buffers took was written too.
	if n := <-written; n > 64<<20 {
		t.Errorf("the endpoint could send %d bytes", n)
	}
	if tries := state.event(1).Deliveries; len(tries) != 1 || tries[0].Error != "" {
		t.Errorf("the delivery log is %+v", tries)
	}
}

func TestHangingEndpointsHoldUpNoOther(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request, _ int) { <-r.Context().Done() }
	state := newMemory()
	good := serve(t, nil)
	state.put("good", "good", good.url, "secret")
	hanging := serve(t, hang)
	state.put("good", "slow", hanging.url, "secret")
	for n := range 30 {
		id := fmt.Sprintf("w%d", n)
		state.put("bad", id, hanging.url+"/"+id, "secret")
	}
	for n := range 10 {
		state.add(aJob("bad", fmt.Sprintf("bad%d", n), job.Queued))
		state.add(aJob("good", fmt.Sprintf("good%d", n), job.Queued))
	}
	stop := start(t, Config{State: state, Schedule: soon})
	state.until(t, "the good endpoint has its events", func(events []*cluster.Event) bool {
		return !slices.ContainsFunc(events, func(e *cluster.Event) bool { return e.Webhook == "good" && !e.Done })
	})
	stop()
	if n := len(hanging.all()); n > triesPerOrganisation+triesPerWebhook {
		t.Errorf("%d tries hung at once", n)
	}
}

func TestTryThatTheEndOfLeadershipInterruptsIsNotRecorded(t *testing.T) {
	arrived := make(chan struct{})
	e := serve(t, func(_ http.ResponseWriter, r *http.Request, _ int) { close(arrived); <-r.Context().Done() })
	state := newMemory()
	state.put("default", "w", e.url, "secret")
	state.add(aJob("default", "job", job.Queued))
	stop := start(t, Config{State: state})
	<-arrived
	stop()
	if event := state.event(1); event.Done || len(event.Deliveries) != 0 {
		t.Errorf("the event is %+v", event)
	}
}

func TestDeletedWebhookGetsNothing(t *testing.T) {
	e := serve(t, nil)
	state := newMemory()
	state.put("default", "kept", e.url, "secret")
	state.put("default", "deleted", e.url+"/deleted", "secret")
	state.add(aJob("default", "job", job.Queued))
	delete(state.webhooks, "deleted")
	start(t, Config{State: state})
	state.until(t, "the kept webhook has its event", func(events []*cluster.Event) bool { return events[1].Done })
	if n := len(e.all()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestErrorsOfTheNetworkDoNotShowTheURL(t *testing.T) {
	state := newMemory()
	state.put("default", "w", "http://127.0.0.1:1/hook?token=hidden", "secret")
	state.add(aJob("default", "job", job.Queued))
	stop := start(t, Config{State: state, Schedule: Schedule{Pauses: []time.Duration{time.Hour}, GiveUpAfter: 2 * time.Hour}})
	state.until(t, "the try is recorded", func(events []*cluster.Event) bool { return len(events[0].Deliveries) == 1 })
	stop()
	if text := state.event(1).Deliveries[0].Error; strings.Contains(text, "hidden") || text == "" {
		t.Errorf("the error is %q", text)
	}
}

func TestSecretThatCannotBeOpenedIsAFailedTry(t *testing.T) {
	e := serve(t, nil)
	state := newMemory()
	state.put("default", "w", e.url, "secret")
	state.add(aJob("default", "job", job.Queued))
	stop := start(t, Config{State: state, Sealer: locked{}, Schedule: Schedule{Pauses: []time.Duration{time.Hour}, GiveUpAfter: 2 * time.Hour}})
	state.until(t, "the try is recorded", func(events []*cluster.Event) bool { return len(events[0].Deliveries) == 1 })
	stop()
	if len(e.all()) != 0 {
		t.Error("an unsigned request was sent")
	}
}

type locked struct{}

func (locked) Open([]byte, string) ([]byte, error) { return nil, io.ErrUnexpectedEOF }
