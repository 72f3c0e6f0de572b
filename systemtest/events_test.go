package systemtest

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"millrace/job"
	"millrace/systemtest/rig"
)

// sse is one Server-Sent Event.
type sse struct {
	id, name string
	job      job.View
}

// events reads an event stream until until says so of an event, which is the
// last one returned.
func (p *peer) events(path, lastID string, until func(sse) bool) []sse {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), rig.Patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url()+"/api/v1/default/"+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Token "+p.key())
	if lastID != "" {
		request.Header.Set("Last-Event-ID", lastID)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if kind := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || kind != "text/event-stream" {
		p.t.Fatalf("%s answers %d, %s", path, response.StatusCode, kind)
	}
	var all []sse
	var now sse
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			now.id = value
		case "event":
			now.name = value
		case "data":
			if err := json.Unmarshal([]byte(value), &now.job); err != nil {
				p.t.Fatalf("an event's data is no job: %v: %s", err, value)
			}
			all = append(all, now)
			if until(now) {
				return all
			}
			now = sse{}
		}
	}
	p.t.Fatalf("the event stream ended before what was waited for: %v, after %+v", lines.Err(), all)
	return nil
}

func TestAJobsEventStreamGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	ffmpeg := rig.NewStandIn(t)
	p := newPeer(t, ffmpeg.Flags()...)
	p.start()
	door := ffmpeg.Hold(lastEncode)
	created := p.submit(request(p, p.put(rig.Numbered(t, longSeconds), "clip.mp4"), "240p", "360p"))
	path := "transcoding_jobs/" + string(created.ID) + "/events/"

	before := p.events(path, "", func(e sse) bool { return e.name == "progress" && e.job.Progress > 1 })
	lastID, transcoding := "", false
	for _, e := range before {
		if e.name == "status" {
			if e.id == "" {
				t.Errorf("a status event has no id: %+v", e)
			}
			lastID = e.id
			transcoding = transcoding || e.job.Status == job.Transcoding
		}
	}
	if !transcoding {
		t.Errorf("the stream did not tell that the job started: %+v", before)
	}
	door.Reached()
	p.kill()
	door.Open()
	p.start()

	after := p.events(path, lastID, func(e sse) bool { return e.job.Status.Terminal() })
	if end := after[len(after)-1]; end.job.Status != job.Completed || end.id == "" || end.id == lastID {
		t.Errorf("the resumed stream ended with %+v, after %s", end, lastID)
	}
	for _, e := range after {
		if e.job.Status == job.Queued || e.id == lastID {
			t.Errorf("the resumed stream repeats %s: %+v", lastID, e)
		}
	}
	// Who comes too late still learns how it ended.
	p.events(path, "", func(e sse) bool { return e.job.Status == job.Completed })
}

func TestTheOrganisationsEventStreamTellsOfAllJobsSinceAnEvent(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.start()
	source := p.put(rig.Numbered(t, 4), "clip.mp4")
	first := p.submit(request(p, source, "240p"))
	p.await(first.ID, job.Completed)
	told := p.events("transcoding_jobs/"+string(first.ID)+"/events/", "", func(e sse) bool { return e.job.Status == job.Completed })
	lastID := told[len(told)-1].id
	p.restart()
	asked := request(p, source, "240p")
	asked.OutputPath = p.output("second")
	second := p.submit(asked)
	all := p.events("events/", lastID, func(e sse) bool { return e.job.ID == second.ID && e.job.Status == job.Completed })
	for _, e := range all {
		if e.job.ID == first.ID {
			t.Errorf("an event from before Last-Event-ID came again: %+v", e)
		}
	}
	if took := time.Time(all[len(all)-1].job.Created); took.IsZero() {
		t.Error("the event's job has no time of creation")
	}
}
