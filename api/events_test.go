package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/cluster"
	"millrace/job"
)

// testStream is one open event stream.
type testStream struct {
	t     testing.TB
	lines *bufio.Scanner
	close func()
}

// open connects to an event stream; it is closed with the test.
func (f *fixture) open(base, path, lastID string) *testStream {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Token "+f.keys["default/read"])
	if lastID != "" {
		request.Header.Set("Last-Event-ID", lastID)
	}
	transport := &http.Transport{}
	response, err := transport.RoundTrip(request)
	if err != nil {
		f.t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		f.t.Fatalf("got %s %s", response.Status, response.Header.Get("Content-Type"))
	}
	stream := &testStream{t: f.t, lines: bufio.NewScanner(response.Body), close: func() {
		cancel()
		_ = response.Body.Close()
		transport.CloseIdleConnections()
	}}
	f.t.Cleanup(stream.close)
	return stream
}

type testEvent struct {
	id, name string
	job      job.View
}

// next reads the next event that has data.
func (s *testStream) next() testEvent {
	s.t.Helper()
	var event testEvent
	for s.lines.Scan() {
		field, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch field {
		case "id":
			event.id = value
		case "event":
			event.name = value
		case "data":
			if err := json.Unmarshal([]byte(value), &event.job); err != nil {
				s.t.Fatal(err)
			}
			return event
		case "":
			event = testEvent{id: event.id}
		}
	}
	s.t.Fatalf("the stream ended: %v", s.lines.Err())
	return event
}

// nextStatus reads on to the next change of status.
func (s *testStream) nextStatus() testEvent {
	s.t.Helper()
	for {
		if event := s.next(); event.name == "status" {
			return event
		}
	}
}

// until reads on to a line, and says whether it came.
func (s *testStream) until(line string) bool {
	for s.lines.Scan() {
		if s.lines.Text() == line {
			return true
		}
	}
	return false
}

func TestStreamOfAJobTellsItsWholeLife(t *testing.T) {
	f := newFixture(t)
	made := f.create("life")
	stream := f.open(f.serve(), jobsPath+string(made.ID)+"/events/", "")
	if first := stream.next(); first.name != "status" || first.job.Status != job.Queued || first.job.ID != made.ID {
		t.Fatalf("first %+v", first)
	}
	ref := f.start(made.ID)
	if second := stream.nextStatus(); second.job.Status != job.Transcoding {
		t.Fatalf("then %+v", second)
	}
	f.progress.Store(made.ID, job.Progress{Percent: 50})
	event := stream.next()
	for event.job.Progress != 50 {
		event = stream.next()
	}
	if event.name != "progress" || event.job.Status != job.Transcoding {
		t.Errorf("progress came as %+v", event)
	}
	f.propose(cluster.FailTask{Ref: ref, Failure: *job.Fail(job.InputEmpty, "empty"), At: noon})
	if last := stream.nextStatus(); last.job.Status != job.Error || last.job.Error.Code != job.InputEmpty {
		t.Errorf("last %+v", last)
	}
}

func TestStreamIsResumedWithWhatWasMissed(t *testing.T) {
	f := newFixture(t)
	base := f.serve()
	first := f.create("first")
	stream := f.open(base, "/api/v1/default/events/", "")
	if !stream.until(": open") {
		t.Fatal("the stream didn't open")
	}
	second := f.create("second")
	seen := stream.next()
	if seen.job.ID != second.ID {
		t.Fatalf("a job from before the stream came: %+v", seen)
	}
	stream.close()

	third := f.create("third")
	f.start(first.ID)
	f.fail(third.ID)
	f.propose(cluster.CreateOrganisation{Organisation: cluster.Organisation{ID: "noise", Created: noon}})
	again := f.open(base, "/api/v1/default/events/", seen.id)
	missed := []testEvent{again.next(), again.next()}
	if missed[0].job.ID != first.ID || missed[0].job.Status != job.Transcoding || missed[1].job.ID != third.ID || missed[1].job.Status != job.Error {
		t.Errorf("missed %+v", missed)
	}
	again.close()

	uptodate := f.open(base, "/api/v1/default/events/", missed[1].id)
	f.fail(second.ID)
	if next := uptodate.next(); next.job.ID != second.ID {
		t.Errorf("what was known came again: %+v", next)
	}
}

func TestStreamThatBreaksBetweenJobsOfOneChangeIsToldOfBothAgain(t *testing.T) {
	f := newFixture(t)
	base := f.serve()
	var assignments []cluster.JobAssignment
	for _, name := range []string{"first", "second"} {
		assignments = append(assignments, cluster.JobAssignment{Job: f.create(name).ID, Assignment: job.Assignment{
			Task: job.TaskID(job.InspectTask), Attempt: 1, Node: "n1", Session: "s1", Device: "cpu"}})
	}
	before := strconv.FormatUint(f.peer.Stale().Index(), 10)
	stream := f.open(base, "/api/v1/default/events/", before)
	f.propose(cluster.StartAttempts{At: noon, Assignments: assignments})
	one := stream.nextStatus()
	if one.id != before {
		t.Errorf("with the first came the id %s, not yet passed is %s", one.id, before)
	}
	stream.close() // before the other one came
	again := f.open(base, "/api/v1/default/events/", one.id)
	if a, b := again.nextStatus(), again.nextStatus(); a.job.ID == b.job.ID || a.id == b.id {
		t.Errorf("of the two it is told %+v and %+v", a, b)
	}
}

func TestKnownStateOfAJobIsNotSentAgain(t *testing.T) {
	f := newFixture(t)
	base := f.serve()
	made := f.create("known")
	path := jobsPath + string(made.ID) + "/events/"
	first := f.open(base, path, "").next()
	stream := f.open(base, path, first.id)
	f.start(made.ID)
	if next := stream.next(); next.job.Status != job.Transcoding {
		t.Errorf("got %+v", next)
	}
	// An id of another history is as good as none.
	future := strconv.FormatUint(f.peer.Stale().Index()+1000, 10)
	if next := f.open(base, path, future).next(); next.job.Status != job.Transcoding {
		t.Errorf("got %+v", next)
	}
}

func TestStreamTellsNothingOfOtherOrganisations(t *testing.T) {
	f := newFixture(t)
	stream := f.open(f.serve(), "/api/v1/default/events/", "")
	if !stream.until(": open") {
		t.Fatal("the stream didn't open")
	}
	f.want(http.StatusCreated, f.do("other/submit", "POST", "/api/v1/other/transcoding_jobs/", request("theirs")))
	mine := f.create("mine")
	if next := stream.next(); next.job.ID != mine.ID {
		t.Errorf("got %+v", next)
	}
}

func TestSilentStreamBeatsAndEndsWithItsKey(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Heartbeat = 10 * time.Millisecond })
	stream := f.open(f.serve(), "/api/v1/default/events/", "")
	if !stream.until(": heartbeat") {
		t.Fatal("no heartbeat came")
	}
	key, _ := f.peer.Stale().KeyByHash(HashKey(f.keys["default/read"]))
	f.propose(cluster.RevokeKey{Org: "default", ID: key.ID, At: noon})
	if stream.until("never") {
		t.Error("the stream went on")
	}
	if err := stream.lines.Err(); err != nil {
		t.Errorf("the stream ended in %v", err)
	}
}

func TestStreamsBeyondTheLimitAreRefused(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.MaxStreams = 1 })
	stream := f.open(f.serve(), "/api/v1/default/events/", "")
	if !stream.until(": open") {
		t.Fatal("the stream didn't open")
	}
	f.want(http.StatusTooManyRequests, f.do("default/read", "GET", "/api/v1/default/events/", ""))
	if got := f.do("", "GET", "/metrics", ""); !strings.Contains(got.body, "millrace_event_streams 1") {
		t.Error("the metrics don't count the stream")
	}
}

func TestManyIdleStreamsHearOfOneJob(t *testing.T) {
	const streams = 200
	f := newFixture(t)
	base := f.serve()
	made := f.create("watched")
	var open []*testStream
	for range streams {
		stream := f.open(base, jobsPath+string(made.ID)+"/events/", "")
		stream.next()
		open = append(open, stream)
	}
	f.start(made.ID)
	for _, stream := range open {
		if event := stream.nextStatus(); event.job.Status != job.Transcoding {
			t.Fatalf("got %+v", event)
		}
	}
}

func TestClientThatFallsBehindLosesOnlyStatesInBetween(t *testing.T) {
	sub := &subscriber{wake: make(chan struct{}, 1), pending: map[job.ID]news{}}
	for revision := uint64(1); revision <= 1000; revision++ {
		sub.put([]news{{job: &job.Job{ID: "a", Revision: revision}, status: revision%2 == 1}})
	}
	sub.put([]news{{job: &job.Job{ID: "a", Revision: 7}, progress: job.Progress{Percent: 1}}})
	pending, keepsUp := sub.take()
	if len(pending) != 1 || pending[0].job.Revision != 1000 || !pending[0].status || !keepsUp {
		t.Errorf("got %+v", pending)
	}
	var all []news
	for i := range maxPending + 1 {
		all = append(all, news{job: &job.Job{ID: job.ID(fmt.Sprint(i)), Revision: uint64(i)}, status: true})
	}
	all = append(all, news{job: &job.Job{ID: "0", Revision: maxPending + 1}, status: true})
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	sub.put(all)
	pending, keepsUp = sub.take()
	if len(pending) != maxPending || keepsUp {
		t.Errorf("%d are pending, and it keeps up: %v", len(pending), keepsUp)
	}
	// It comes back with the last id that it saw: what it wasn't told must lie after that.
	if last := pending[len(pending)-1].job.Revision; last != maxPending-1 {
		t.Errorf("it is told up to revision %d, and not of %d", last, maxPending)
	}
}
