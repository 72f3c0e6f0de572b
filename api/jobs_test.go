package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/job"
)

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

func TestProgressIsAskedForBeforeRunningJobsAreShown(t *testing.T) {
	for name, show := range map[string]func(*fixture, job.ID) job.View{
		"one": func(f *fixture, id job.ID) job.View {
			return f.view(f.want(http.StatusOK, f.do("default/read", "GET", jobsPath+string(id), "")))
		},
		"the list": func(f *fixture, _ job.ID) job.View {
			var listed page[job.View]
			body := f.want(http.StatusOK, f.do("default/read", "GET", jobsPath, "")).body
			if err := json.Unmarshal([]byte(body), &listed); err != nil || len(listed.Results) != 1 {
				f.t.Fatalf("%v: %s", err, body)
			}
			return listed.Results[0]
		},
		"its stream": func(f *fixture, id job.ID) job.View {
			return f.open(f.serve(), jobsPath+string(id)+"/events/", "").next().job
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			made := f.create("running")
			f.start(made.ID)
			f.progress.refresh = func() { f.progress.Store(made.ID, job.Progress{Percent: 50}) }
			if got := show(f, made.ID); got.Progress != 50 {
				t.Errorf("the job is shown with progress %v, want 50", got.Progress)
			}
		})
	}
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
