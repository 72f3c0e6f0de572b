package api

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestARepeatAfterTheDeadlineGetsTheAnswerOfThen(t *testing.T) {
	f := newFixture(t)
	post := func(body string) answer { return f.do("default/submit", "POST", jobsPath, body) }
	soon := `"deadline":"2026-11-24T13:00:00Z"`
	first := f.want(http.StatusCreated, post(with(soon+`,"idempotency_key":"k"`)))
	f.clock.advance(3 * time.Hour)
	if again := f.want(http.StatusCreated, post(with(soon+`,"idempotency_key":"k"`))); again.body != first.body {
		t.Errorf("got %s, first %s", again.body, first.body)
	}
	f.want(http.StatusConflict, post(with(`"deadline":"2026-11-24T13:00:01Z","idempotency_key":"k"`)))
	for _, late := range []string{soon, soon + `,"idempotency_key":"another"`} {
		if refused := f.want(http.StatusBadRequest, post(with(late))); !strings.Contains(refused.body, "is over") {
			t.Errorf("%s: %s", late, refused.body)
		}
	}
}

func TestSameIdempotencyKeyAtOnceMakesOneJob(t *testing.T) {
	f := newFixture(t)
	answers := make([]answer, 8)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			answers[i] = f.do("default/submit", "POST", jobsPath, request("same"), "Idempotency-Key: once")
		})
	}
	all.Wait()
	for _, got := range answers {
		if got.status != http.StatusCreated || got.body != answers[0].body {
			t.Errorf("got %d %s, the first %s", got.status, got.body, answers[0].body)
		}
	}
	if jobs := slices.Collect(f.peer.Stale().Jobs("default")); len(jobs) != 1 {
		t.Errorf("%d jobs were made", len(jobs))
	}
}

func TestRepeatedRequestGetsTheAnswerOfTheFirst(t *testing.T) {
	f := newFixture(t)
	body := strings.TrimSuffix(request("same"), "}") + `, "idempotency_key": "k"}`
	first := f.want(http.StatusCreated, f.do("default/submit", "POST", jobsPath, body))
	f.start(f.view(first).ID)
	f.clock.advance(time.Hour)
	spelled := strings.Replace(strings.ReplaceAll(body, ": ", ":"), "{", `{"codec":"h264","priority":0,`, 1)
	again := f.want(http.StatusCreated, f.do("default/submit", "POST", jobsPath, spelled, "Idempotency-Key: k"))
	if again.body != first.body {
		t.Errorf("got %s, first %s", again.body, first.body)
	}
	other := f.want(http.StatusConflict, f.do("default/submit", "POST", jobsPath, strings.Replace(body, "240p", "720p", 1)))
	if other.members(t)["code"] != "idempotency_conflict" || other.members(t)["idempotency_key"] == nil {
		t.Errorf("got %s", other.body)
	}
	f.want(http.StatusBadRequest, f.do("default/submit", "POST", jobsPath, body, "Idempotency-Key: another"))
}

func TestOutputPathOfAnUnfinishedJobIsTaken(t *testing.T) {
	f := newFixture(t)
	f.create("taken")
	got := f.want(http.StatusConflict, f.do("default/submit", "POST", jobsPath, request("taken")))
	if got.members(t)["output_path"] == nil || got.members(t)["code"] != "output_in_use" {
		t.Errorf("got %s", got.body)
	}
}

func TestJobsBeyondTheRateAreRefusedAndOnlyThatOrganisations(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.CreateRate, c.CreateBurst = 0.5, 2 })
	f.create("1")
	f.create("2")
	got := f.want(http.StatusTooManyRequests, f.do("default/submit", "POST", jobsPath, request("3")))
	if got.header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
	}
	f.want(http.StatusCreated, f.do("other/submit", "POST", "/api/v1/other/transcoding_jobs/", request("4")))
	f.clock.advance(2 * time.Second)
	f.create("5")
}
