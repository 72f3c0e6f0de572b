package webhook

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/cluster"
	"millrace/job"
)

func fixed() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func TestEndpointThatFailsForThreeDaysIsPausedWithTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network pipes
		e := network.serve(t, "bad.example.com", answerWith(http.StatusInternalServerError))
		state := newMemory()
		state.put("default", "w", e.url, "secret")
		state.add(aJob("default", "job", job.Queued))
		state.add(aJob("default", "job", job.Transcoding))
		stop := start(t, Config{State: state, Client: network.client(t), Jitter: fixed()})
		state.until(t, "the event is given up", func(events []*cluster.Event) bool { return events[0].Done })
		time.Sleep(24 * time.Hour) // of the bubble: nothing more may come
		stop()

		tries := state.event(1).Deliveries
		first, last := tries[0], tries[len(tries)-1]
		if span := last.At.Sub(first.At); span < 72*time.Hour || span > 72*time.Hour+time.Minute {
			t.Errorf("the tries span %s, want 72 h", span)
		}
		if len(tries) < 14 || len(tries) > 24 {
			t.Errorf("%d tries, want about 18", len(tries))
		}
		for i, try := range tries[:len(tries)-1] {
			mean := DefaultSchedule.Pauses[min(i, len(DefaultSchedule.Pauses)-1)]
			pause := try.NextAt.Sub(try.At)
			if next := tries[i+1].At; next.Before(try.NextAt) || next.After(try.NextAt.Add(time.Second)) {
				t.Errorf("try %d came at %s, it was due at %s", i+2, next, try.NextAt)
			}
			if isLast := i == len(tries)-2; pause > mean*3/2+time.Second || (pause < mean/2 && !isLast) {
				t.Errorf("pause %d is %s, want %s give or take half", i+1, pause, mean)
			}
		}
		if n := len(e.all()); n != len(tries) {
			t.Errorf("%d requests for %d tries", n, len(tries))
		}
		if reason := state.webhook("w").Paused; !strings.Contains(reason, "500 Internal Server Error") || !strings.Contains(reason, "72h0m") {
			t.Errorf("the reason is %q", reason)
		}
		if len(state.event(2).Deliveries) != 0 {
			t.Error("the second event overtook the first")
		}
	})
}

func TestHangingEndpointTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network pipes
		e := network.serve(t, "slow.example.com", func(_ http.ResponseWriter, r *http.Request, nth int) {
			if nth == 1 {
				<-r.Context().Done()
			}
		})
		state := newMemory()
		state.put("default", "w", e.url, "secret")
		state.add(aJob("default", "job", job.Queued))
		start(t, Config{State: state, Client: network.client(t), Timeout: 7 * time.Second, Jitter: fixed()})
		state.settled(t)
		first := state.event(1).Deliveries[0]
		if first.Elapsed != 7*time.Second || !strings.Contains(first.Error, "did not answer within 7s") {
			t.Errorf("the first try is recorded as %+v", first)
		}
	})
}

func TestEndpointMayAskForALongerPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network pipes
		e := network.serve(t, "busy.example.com", func(w http.ResponseWriter, _ *http.Request, nth int) {
			if nth == 1 {
				w.Header().Set("Retry-After", "3600")
				w.WriteHeader(http.StatusTooManyRequests)
			}
		})
		state := newMemory()
		state.put("default", "w", e.url, "secret")
		state.add(aJob("default", "job", job.Queued))
		start(t, Config{State: state, Client: network.client(t), Jitter: fixed()})
		state.settled(t)
		if got := e.all(); got[1].at.Sub(got[0].at) < time.Hour {
			t.Errorf("tried again after %s", got[1].at.Sub(got[0].at))
		}
	})
}

func TestEventsOfAPausedWebhookWaitForItAndAreGivenUpInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network pipes
		e := network.serve(t, "example.com", nil)
		state := newMemory()
		state.put("default", "w", e.url, "secret")
		state.change("w", func(w *cluster.Webhook) { w.Paused = "for a test" })
		state.add(aJob("default", "old", job.Queued))
		start(t, Config{State: state, Client: network.client(t)})
		time.Sleep(4 * 24 * time.Hour)
		state.add(aJob("default", "new", job.Queued))
		time.Sleep(4 * 24 * time.Hour)
		if old, fresh := state.event(1), state.event(2); !old.Done || old.Deliveries[0].Error == "" || fresh.Done {
			t.Errorf("after eight and four days: old %+v, new %+v", old, fresh)
		}
		state.put("default", "w", e.url, "secret")
		state.settled(t)
		if got := e.all(); len(got) != 1 || got[0].view.ID != "new" {
			t.Errorf("%d requests, want one, of the new job", len(got))
		}
	})
}

func TestRedeliveryBeginsANewRoundOfTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network pipes
		e := network.serve(t, "example.com", func(w http.ResponseWriter, _ *http.Request, nth int) {
			if nth == 2 {
				w.WriteHeader(http.StatusBadGateway)
			}
		})
		state := newMemory()
		state.put("default", "w", e.url, "secret")
		state.add(aJob("default", "job", job.Queued))
		start(t, Config{State: state, Client: network.client(t)})
		state.settled(t)
		time.Sleep(100 * time.Hour)
		state.redeliver(1)
		state.settled(t)
		if tries := state.event(1).Deliveries; len(tries) != 3 || tries[2].Error != "" {
			t.Errorf("the delivery log is %+v", tries)
		}
		if state.webhook("w").Paused != "" {
			t.Error("one failure of a redelivery paused the webhook")
		}
	})
}

func TestOutcomeIsProposedUntilTheClusterTakesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network pipes
		e := network.serve(t, "example.com", nil)
		state := newMemory()
		state.refuse = 5
		state.put("default", "w", e.url, "secret")
		state.add(aJob("default", "job", job.Queued))
		start(t, Config{State: state, Client: network.client(t)})
		state.settled(t)
		if n := len(e.all()); n != 1 {
			t.Errorf("%d requests, want 1: only the record was refused", n)
		}
	})
}

func TestNextRetry(t *testing.T) {
	schedule := Schedule{Pauses: []time.Duration{time.Minute, time.Hour}, GiveUpAfter: 10 * time.Hour}
	first := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, test := range []struct {
		name     string
		after    time.Duration // since the first try
		tries    int
		asked    time.Duration
		from, to time.Duration // since now; both 0: given up
	}{
		{"after the first try", 0, 1, 0, 30 * time.Second, 90 * time.Second},
		{"after the second try", time.Minute, 2, 0, 30 * time.Minute, 90 * time.Minute},
		{"the last pause repeats", 5 * time.Hour, 9, 0, 30 * time.Minute, 90 * time.Minute},
		{"the endpoint asks for more", 0, 1, 3 * time.Hour, 3 * time.Hour, 3 * time.Hour},
		{"the endpoint asks for less", 0, 1, time.Second, 30 * time.Second, 90 * time.Second},
		{"the last try comes at the end", 9*time.Hour + 55*time.Minute, 9, 0, 5 * time.Minute, 5 * time.Minute},
		{"the endpoint asks for too much", 0, 1, 1000 * time.Hour, 10 * time.Hour, 10 * time.Hour},
		{"given up at the end", 10 * time.Hour, 9, 0, 0, 0},
		{"given up after a long stop", 500 * time.Hour, 2, 0, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			random := fixed()
			for range 100 {
				now := first.Add(test.after)
				next, again := schedule.next(first, now, test.tries, test.asked, random)
				if again != (test.to > 0) {
					t.Fatalf("again is %v", again)
				}
				if pause := next.Sub(now); again && (pause < test.from || pause > test.to) {
					t.Fatalf("the pause is %s, want %s to %s", pause, test.from, test.to)
				}
			}
		})
	}
}
