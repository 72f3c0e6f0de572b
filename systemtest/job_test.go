package systemtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"millrace/api/client"
	"millrace/job"
	"millrace/systemtest/rig"
)

// output is the URL of a folder under the peer's output root.
func (p *peer) output(name string) string { return "file://" + p.outputs + "/" + name + "/" }

// submit creates a job that must be accepted.
func (p *peer) submit(request client.CreateRequest) job.View {
	p.t.Helper()
	created, err := p.api.CreateJob(p.t.Context(), request)
	if err != nil {
		p.t.Fatal(err)
	}
	return created
}

// request asks for rungs of a source, for the folder "out", in segments of 2 s.
func request(p *peer, input string, resolutions ...string) client.CreateRequest {
	return client.CreateRequest{InputURL: input, OutputPath: p.output("out"), Resolutions: resolutions, SegmentSeconds: 2}
}

// read reads a job with its tasks.
func (p *peer) read(id job.ID) job.View {
	p.t.Helper()
	found, err := p.api.JobWithTasks(p.t.Context(), id)
	if err != nil {
		p.t.Fatal(err)
	}
	return found
}

// await waits until the job is in status. That it ends otherwise fails the test.
func (p *peer) await(id job.ID, status job.Status) job.View {
	p.t.Helper()
	var found job.View
	rig.Eventually(p.t, "job "+string(id)+" is "+string(status), func() bool {
		found = p.read(id)
		if found.Status.Terminal() && found.Status != status {
			p.t.Fatalf("job %s ended as %s, want %s: %v", id, found.Status, status, found.Error)
		}
		return found.Status == status
	})
	return found
}

// awaitFailure waits until the job has ended in an error with the given code,
// which is told everywhere.
func (p *peer) awaitFailure(id job.ID, code job.Code) job.View {
	p.t.Helper()
	found := p.await(id, job.Error)
	switch {
	case found.Error == nil:
		p.t.Fatalf("job %s has no error, want %s", id, code)
	case found.Error.Code != code:
		p.t.Errorf("job %s failed as %s (%s), want %s", id, found.Error.Code, found.Error.Message, code)
	case found.Error.Message == "" || found.Error.Hint == "":
		p.t.Errorf("job %s fails without words: %+v", id, found.Error)
	case found.ErrorMessage == nil || *found.ErrorMessage != found.Error.Message:
		p.t.Errorf("job %s: error_message is %v, want %q", id, found.ErrorMessage, found.Error.Message)
	}
	return found
}

// task is one of a job's tasks.
func task(t testing.TB, j job.View, id job.TaskID) job.Task {
	t.Helper()
	at := slices.IndexFunc(j.Tasks, func(k job.Task) bool { return k.ID == id })
	if at < 0 {
		t.Fatalf("job %s has no task %s", j.ID, id)
	}
	return j.Tasks[at]
}

// finished are the ids of a job's finished encode tasks.
func finished(j job.View) []job.TaskID {
	var ids []job.TaskID
	for _, k := range j.Tasks {
		if k.Kind == job.EncodeTask && k.State == job.TaskFinished {
			ids = append(ids, k.ID)
		}
	}
	return ids
}

// awaitAllBut waits until all encode tasks are finished but one, which is held.
func (p *peer) awaitAllBut(id job.ID) (before job.View, held job.Task) {
	p.t.Helper()
	rig.Eventually(p.t, "all encodes but one are finished", func() bool {
		before = p.read(id)
		left := 0
		for _, k := range before.Tasks {
			if k.Kind == job.EncodeTask && k.State != job.TaskFinished {
				left++
				held = k
			}
		}
		return left == 1 && len(finished(before)) > 0
	})
	return before, held
}

// call sends a request to the API as any client would, and returns the status
// and the answer's members.
func (p *peer) call(method, path string, body any) (int, map[string]any) {
	p.t.Helper()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			p.t.Fatal(err)
		}
	}
	request, err := http.NewRequestWithContext(p.t.Context(), method, p.url()+"/api/v1/default/"+path, bytes.NewReader(text))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Token "+p.key())
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(answer, &members); err != nil {
		p.t.Fatalf("%s %s answers %d with %q: %v", method, path, response.StatusCode, answer, err)
	}
	return response.StatusCode, members
}

// text is all that a JSON value says, for searching.
func text(value any) string {
	var out strings.Builder
	_ = json.NewEncoder(&out).Encode(value)
	return out.String()
}
