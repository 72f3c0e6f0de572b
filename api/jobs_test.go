package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/cluster"
	"millrace/job"
)

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

func TestEveryPathWorksWithAndWithoutItsSlash(t *testing.T) {
	f := newFixture(t)
	made := f.create("slash")
	for _, path := range []string{jobsPath, jobsPath + string(made.ID) + "/", "/api/v1/default/webhooks/"} {
		with := f.want(http.StatusOK, f.do("default/admin", "GET", path, ""))
		without := f.want(http.StatusOK, f.do("default/admin", "GET", strings.TrimSuffix(path, "/"), ""))
		if with.body != without.body {
			t.Errorf("%s: %s, without its slash %s", path, with.body, without.body)
		}
	}
	f.want(http.StatusNotFound, f.do("default/admin", "GET", "/api/v1//default/webhooks/", ""))
	f.want(http.StatusNotFound, f.do("default/admin", "GET", jobsPath+"/", ""))
}

func TestRunningJobShowsItsProgressAndTasks(t *testing.T) {
	f := newFixture(t)
	made := f.create("running")
	f.clock.advance(time.Minute)
	f.start(made.ID)
	eta := 90 * time.Second
	f.progress.Store(made.ID, job.Progress{Percent: 12.5, ETA: &eta})
	got := f.view(f.want(http.StatusOK, f.do("default/read", "GET", jobsPath+string(made.ID)+"?expand=tasks", "")))
	if got.Status != job.Transcoding || got.Progress != 12.5 || got.ETASeconds == nil || *got.ETASeconds != 90 ||
		len(got.Tasks) != 1 || got.Tasks[0].Attempts[0].Node != "n" || got.StartTime == nil {
		t.Errorf("got %+v", got)
	}
	f.want(http.StatusBadRequest, f.do("default/read", "GET", jobsPath+string(made.ID)+"?expand=everything", ""))
}

func TestCancelIsDoneOnceAndSaysSo(t *testing.T) {
	f := newFixture(t)
	queued, running, failed := f.create("queued"), f.create("running"), f.create("failed")
	f.start(running.ID)
	f.fail(failed.ID)
	for _, c := range []struct {
		id     job.ID
		says   string
		status job.Status
	}{
		{queued.ID, "Job cancelled successfully.", job.Cancelled},
		{queued.ID, "Job is already cancelled.", job.Cancelled},
		{running.ID, "Job cancelled successfully.", job.Cancelled},
		{failed.ID, "Job has already failed.", job.Error},
	} {
		got := f.want(http.StatusOK, f.do("default/submit", "DELETE", jobsPath+string(c.id), ""))
		if got.body != `{"message":"`+c.says+`"}`+"\n" {
			t.Errorf("got %s, want %q", got.body, c.says)
		}
		if now := f.view(f.do("default/read", "GET", jobsPath+string(c.id), "")); now.Status != c.status {
			t.Errorf("%s is %s", c.id, now.Status)
		}
	}
}

func TestCancelledAtOnceByManyIsCancelledForOne(t *testing.T) {
	f := newFixture(t)
	made := f.create("many")
	said := make([]string, 8)
	var all sync.WaitGroup
	for i := range said {
		all.Go(func() { said[i] = f.do("default/submit", "DELETE", jobsPath+string(made.ID), "").body })
	}
	all.Wait()
	done := 0
	for _, text := range said {
		if strings.Contains(text, "cancelled successfully") {
			done++
		} else if !strings.Contains(text, "already cancelled") {
			t.Errorf("got %s", text)
		}
	}
	if done != 1 {
		t.Errorf("%d were told that they cancelled it", done)
	}
}

func TestRetryQueuesWhatFailedAndRefusesWhatDidNot(t *testing.T) {
	f := newFixture(t)
	failed, queued := f.create("failed"), f.create("queued")
	f.fail(failed.ID)
	path := jobsPath + string(failed.ID) + "/retry/"
	shown := f.view(f.do("default/read", "GET", jobsPath+string(failed.ID), ""))
	if shown.ErrorMessage == nil || shown.Error.Code != job.InputNotFound || shown.Error.Hint == "" {
		t.Errorf("the failure isn't told: %+v", shown)
	}
	wrong := f.want(http.StatusBadRequest, f.do("default/submit", "POST", path, `{"resolutions":["240p","1080p"]}`))
	if !strings.Contains(wrong.body, "1080p") {
		t.Errorf("got %s", wrong.body)
	}
	for _, body := range []string{`{"resolutions":[]}`, `{"resolution":["240p"]}`, `[]`, `x`} {
		f.want(http.StatusBadRequest, f.do("default/submit", "POST", path, body))
	}
	again := f.view(f.want(http.StatusAccepted, f.do("default/submit", "POST", path, `{"resolutions":["240p"]}`)))
	if again.Status != job.Queued || len(again.Resolutions) != 1 || again.ErrorMessage != nil {
		t.Errorf("got %+v", again)
	}
	refused := f.want(http.StatusConflict, f.do("default/submit", "POST", jobsPath+string(queued.ID)+"/retry/", ""))
	if refused.members(t)["code"] != "not_retryable" {
		t.Errorf("got %s", refused.body)
	}
}

func TestListIsPagedFilteredAndOrdered(t *testing.T) {
	f := newFixture(t)
	var ids []job.ID
	for i := range 5 {
		ids = append(ids, f.create(fmt.Sprint("list", i)).ID)
		f.clock.advance(24 * time.Hour)
	}
	f.start(ids[1])
	f.fail(ids[2])
	newest := slices.Clone(ids)
	slices.Reverse(newest)
	for _, c := range []struct {
		query string
		want  []job.ID
	}{
		{"", newest},
		{"ordering=-created", newest},
		{"ordering=created", ids},
		{"page_size=2", newest[:2]},
		{"page_size=2&page=3", newest[4:]},
		{"page_size=1000", newest},
		{"status=queued", []job.ID{ids[4], ids[3], ids[0]}},
		{"status=TRANSCODING&status=Error", []job.ID{ids[2], ids[1]}},
		{"status=transcoding,error", []job.ID{ids[2], ids[1]}},
		{"status=", newest},
		{"status=Completed", nil},
		{"enable_drm=true", nil},
		{"enable_drm=False", newest},
		{"created_from=2026-11-26", []job.ID{ids[4], ids[3], ids[2]}},
		{"created_to=2026-11-25", []job.ID{ids[1], ids[0]}},
		{"created_from=2026-11-25T12:00:00.034924Z&created_to=2026-11-25T12:00:00.034924Z", []job.ID{ids[1]}},
		{"created_from=2026-11-25T13:00:00.034924+01:00&created_to=2026-11-25T13:00:01%2B01:00", []job.ID{ids[1]}},
		{"created_to=2026-11-24T12:00:00", nil},
		{"created_to=2026-11-24+12:01", []job.ID{ids[0]}},
		{"unknown=1", newest},
	} {
		got := f.want(http.StatusOK, f.do("default/read", "GET", jobsPath+"?"+c.query, ""))
		var listed page[job.View]
		if err := json.Unmarshal([]byte(got.body), &listed); err != nil {
			t.Fatal(err)
		}
		var found []job.ID
		for _, view := range listed.Results {
			found = append(found, view.ID)
		}
		if !slices.Equal(found, c.want) {
			t.Errorf("%s: got %v, want %v", c.query, found, c.want)
		}
	}
}

func TestPagesLinkToEachOtherAndKeepTheFilters(t *testing.T) {
	f := newFixture(t)
	for i := range 5 {
		f.create(fmt.Sprint("page", i))
	}
	address := jobsPath + "?page_size=2&status=Queued&status=Error&ordering=created"
	seen := map[job.ID]bool{}
	pages := 0
	for address != "" {
		got := f.want(http.StatusOK, f.do("default/read", "GET", address, "", "Host: x"))
		var listed page[job.View]
		if err := json.Unmarshal([]byte(got.body), &listed); err != nil {
			t.Fatal(err)
		}
		if listed.Count != 5 || (listed.Previous == nil) != (pages == 0) {
			t.Errorf("page %d: %s", pages+1, got.body)
		}
		for _, view := range listed.Results {
			seen[view.ID] = true
		}
		pages++
		address = ""
		if listed.Next != nil {
			next, err := url.Parse(*listed.Next)
			if err != nil || next.Host != "example.com" || next.Scheme != "http" || len(next.Query()["status"]) != 2 {
				t.Fatalf("next is %q", *listed.Next)
			}
			address = next.RequestURI()
		}
	}
	if len(seen) != 5 || pages != 3 {
		t.Errorf("%d jobs on %d pages", len(seen), pages)
	}
	beyond := f.want(http.StatusNotFound, f.do("default/read", "GET", jobsPath+"?page=2", ""))
	if beyond.members(t)["detail"] != "Invalid page." {
		t.Errorf("got %s", beyond.body)
	}
}

func TestBadParametersAreNamed(t *testing.T) {
	f := newFixture(t)
	for query, field := range map[string]string{
		"page=0": "page", "page=-1": "page", "page=x": "page", "page=1.5": "page", "page=99999999999": "page",
		"page_size=0": "page_size", "page_size=ten": "page_size",
		"status=done": "status_", "status=Queued,done": "status_", "enable_drm=maybe": "enable_drm",
		"created_from=yesterday": "created_from", "created_to=2026-13-01": "created_to", "created_from=1700000000": "created_from",
		"ordering=id": "ordering", "consistency=some": "consistency",
		"status=" + strings.Repeat("x", 5000): "status_",
	} {
		got := f.want(http.StatusBadRequest, f.do("default/read", "GET", jobsPath+"?"+query, ""))
		if got.members(t)[field] == nil || len(got.body) > 1000 {
			t.Errorf("%s: %s isn't named: %s", query, field, got.body)
		}
	}
}

func TestMetadataComesBackAsItWasSent(t *testing.T) {
	f := newFixture(t)
	sent := `{"z":1.10,"a":{"big":12345678901234567890,"e":1e3,"nested":[[],{},null,true]},"html":"<b>&amp;</b>","line":"a\u2028b"}`
	made := f.view(f.want(http.StatusCreated, f.do("default/submit", "POST", jobsPath, with(`"client_metadata":`+sent))))
	decode := func(text []byte) (value any) {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
		return value
	}
	if got, want := fmt.Sprint(decode(made.ClientMetadata)), fmt.Sprint(decode([]byte(sent))); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if string(made.ClientMetadata[:9]) != `{"z":1.10` {
		t.Errorf("its order or numbers were changed: %s", made.ClientMetadata)
	}
}

// unreachable is a state whose cluster can't be reached.
type unreachable struct {
	State
	err error
}

func (u unreachable) View(context.Context) (cluster.View, error) { return nil, u.err }

func (u unreachable) Propose(context.Context, cluster.Command) (any, error) { return nil, u.err }

func TestWithoutALeaderNothingIsPromised(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{cluster.ErrNoLeader, 503, "no_leader"},
		{cluster.ErrNotLeader, 503, "no_leader"},
		{cluster.ErrClosed, 503, "shutting_down"},
		{cluster.ErrHalted, 503, "peer_halted"},
		{context.DeadlineExceeded, 504, "timeout"},
	} {
		f := newFixture(t, func(config *Config) {
			config.State = unreachable{config.State, fmt.Errorf("propose: %w", c.err)}
		})
		for _, path := range []string{jobsPath, jobsPath + "?consistency=stale"} {
			got := f.want(c.status, f.do("default/submit", "POST", path, request("x")))
			if got.header.Get("Retry-After") == "" || got.members(t)["code"] != c.code {
				t.Errorf("%v: got %v", c.err, got)
			}
		}
		f.want(http.StatusOK, f.do("default/read", "GET", jobsPath+"?consistency=stale", ""))
	}
}

func TestClosedPeerSaysSo(t *testing.T) {
	f := newFixture(t)
	if err := f.peer.Close(); err != nil {
		t.Fatal(err)
	}
	f.want(http.StatusServiceUnavailable, f.do("default/submit", "POST", jobsPath, request("x")))
	f.want(http.StatusServiceUnavailable, f.do("", "GET", "/readyz", ""))
	f.want(http.StatusOK, f.do("", "GET", "/healthz", ""))
}

func FuzzRequestForAJob(f *testing.F) {
	for _, seed := range []string{
		request("x"), with(`"priority":1e1`), with(`"client_metadata":{"a":{"a":1,"a":2}}`), `{"a":`, `[[[`, `{"":"","":""}`,
		with(`"idempotency_key":"k"`), with(`"segment_duration":2.5`), with(`"input_url":"s3://b/k?secret_key=x&access_key=y"`),
	} {
		f.Add([]byte(seed))
	}
	rules, err := loadSchema(openAPI, "CreateJob")
	if err != nil {
		f.Fatal(err)
	}
	server := &Server{config: Config{Locations: anywhere{}}, createRules: rules}
	f.Fuzz(func(t *testing.T, body []byte) {
		request, err := server.readCreateRequest(body, http.Header{})
		if err != nil {
			recorded := httptest.NewRecorder()
			server.writeProblem(recorded, server.asProblem(httptest.NewRequestWithContext(t.Context(), "POST", "/", nil), err))
			if recorded.Code/100 != 4 || !json.Valid(recorded.Body.Bytes()) || recorded.Body.Len() > 64<<10 {
				t.Fatalf("answered %d %.300s", recorded.Code, recorded.Body)
			}
			return
		}
		if !json.Valid(body) || len(request.Resolutions) == 0 || request.Input == "" || request.Output == "" ||
			request.Priority < -10 || request.Priority > 10 || request.SegmentDuration < 2*time.Second || request.SegmentDuration > 10*time.Second {
			t.Fatalf("%q was taken as %+v", body, request)
		}
		if again, err := server.readCreateRequest(body, http.Header{}); err != nil || again.hash() != request.hash() {
			t.Fatalf("%q is read differently each time", body)
		}
	})
}
