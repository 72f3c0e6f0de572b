package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// front is a client's way to a peer that passes its requests on.
func front(t *testing.T, p *Peer) string {
	t.Helper()
	server := httptest.NewServer(p.ForwardHTTP())
	t.Cleanup(server.Close)
	return server.URL
}

// handle gives all peers one handler, which is told which of them was asked.
func handle(peers map[string]*Peer, handler func(p *Peer, w http.ResponseWriter, r *http.Request)) {
	for _, p := range peers {
		p.HandleHTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler(p, w, r) }))
	}
}

// fetch makes one request on a connection of its own.
func fetch(t *testing.T, request *http.Request) (*http.Response, string) {
	t.Helper()
	request.Close = true
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Error(err) // not Fatal: some fetch in a goroutine
		return &http.Response{}, ""
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		t.Error(err)
	}
	return response, string(body)
}

func requestOf(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return request
}

func TestAWorkersRequestsComeToTheLeaderAsTheyWere(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := grow(t, 3, "a", "b", "c", "w")
	leader := leaderOf(t, peers)
	type seen struct {
		peer, method, uri, host, body, remote string
		header                                http.Header
	}
	var got seen
	handle(peers, func(p *Peer, w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = seen{p.ID(), r.Method, r.RequestURI, r.Host, string(body), r.RemoteAddr, r.Header.Clone()}
		w.Header().Set("Location", "/api/v1/jobs/1/")
		w.Header().Set("Connection", "X-Of-This-Hop")
		w.Header().Set("X-Of-This-Hop", "1")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "made")
	})
	request := requestOf(t, http.MethodPost, front(t, peers["w"])+"/api/v1/jobs/%2F?x=1;y&z=%zz", "a job")
	request.Host = "millrace.example.com"
	request.Header = http.Header{
		"Authorization": {"Bearer key"}, "Idempotency-Key": {"k"}, "X-Forwarded-For": {"10.9.8.7"},
		"Connection": {"X-Hop"}, "X-Hop": {"1"}, "Te": {"trailers"}, headerClient: {"10.9.8.7:1"}, headerTimeout: {"1"},
	}
	response, body := fetch(t, request)
	if response.StatusCode != http.StatusCreated || body != "made" || response.Header.Get("Location") != "/api/v1/jobs/1/" || response.Header.Get("X-Of-This-Hop") != "" {
		t.Errorf("%s %v %q", response.Status, response.Header, body)
	}
	if got.peer != leader.ID() || got.method != http.MethodPost || got.uri != "/api/v1/jobs/%2F?x=1;y&z=%zz" || got.host != "millrace.example.com" || got.body != "a job" {
		t.Errorf("the leader got %+v", got)
	}
	if !strings.HasPrefix(got.remote, "127.0.0.1:") || got.header.Get("X-Forwarded-For") != "127.0.0.1" || got.header.Get("X-Forwarded-Host") != "millrace.example.com" {
		t.Errorf("the client is %s: %v", got.remote, got.header)
	}
	if got.header.Get("Authorization") != "Bearer key" || got.header.Get("Idempotency-Key") != "k" {
		t.Errorf("what the client said is lost: %v", got.header)
	}
	for name := range got.header {
		if name == "X-Hop" || strings.HasPrefix(name, "Millrace-") {
			t.Errorf("header %s came along", name)
		}
	}
}

func TestStreamsPassUnbufferedAndEndWithTheClient(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := grow(t, 1, "a", "w")
	next, gone := make(chan struct{}), make(chan struct{})
	handle(peers, func(_ *Peer, w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost { // the answer to each line before the next is sent
			limits := http.NewResponseController(w)
			if err := limits.EnableFullDuplex(); err != nil {
				t.Error(err)
			}
			lines := bufio.NewScanner(r.Body)
			for lines.Scan() {
				_, _ = io.WriteString(w, lines.Text()+"!\n")
				_ = limits.Flush()
			}
			return
		}
		defer close(gone)
		w.Header().Set("Content-Type", "text/event-stream")
		for n := 0; ; n++ {
			_, _ = fmt.Fprintf(w, "data: %d\n", n)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-t.Context().Done():
				return
			case <-r.Context().Done():
				return
			}
		}
	})
	url := front(t, peers["w"])
	ctx, hangUp := context.WithCancel(t.Context())
	response, err := http.DefaultTransport.RoundTrip(requestOf(t, http.MethodGet, url, "").WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	events := bufio.NewScanner(response.Body)
	for n := range 3 {
		if !events.Scan() || events.Text() != fmt.Sprint("data: ", n) {
			t.Fatalf("event %d: %q, %v", n, events.Text(), events.Err())
		}
		if n < 2 {
			next <- struct{}{}
		}
	}
	hangUp()
	<-gone
	_ = response.Body.Close()

	in, out := io.Pipe()
	request := requestOf(t, http.MethodPost, url, "")
	request.Body, request.ContentLength, request.Close = in, -1, true
	go func() { _, _ = io.WriteString(out, "one\n") }()
	if response, err = http.DefaultTransport.RoundTrip(request); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewScanner(response.Body)
	for _, line := range []string{"one", "two"} {
		if !answers.Scan() || answers.Text() != line+"!" {
			t.Fatalf("%q, %v", answers.Text(), answers.Err())
		}
		if line == "one" {
			_, _ = io.WriteString(out, "two\n")
		}
	}
	_ = out.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}

func TestADeadlineGoesAlong(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := grow(t, 1, "a", "w")
	handle(peers, func(_ *Peer, _ http.ResponseWriter, r *http.Request) {
		if _, limited := r.Context().Deadline(); !limited {
			t.Error("the leader isn't told of the deadline")
		}
		<-r.Context().Done()
	})
	forward := peers["w"].ForwardHTTP()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	answer := httptest.NewRecorder()
	forward.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x")).WithContext(ctx))
	if answer.Code != http.StatusGatewayTimeout && answer.Code != http.StatusOK { // a race between the two ends
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}

func TestAnotherVoterIsAskedOnlyForWhatCantHaveBeenDone(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := grow(t, 3, "a", "b", "c", "w")
	url := front(t, peers["w"])
	leader := leaderOf(t, peers)
	asked := make(chan string, 16)
	whoWasAsked := func() (ids []string) {
		for len(asked) > 0 {
			ids = append(ids, <-asked)
		}
		return ids
	}
	var broken atomic.Bool
	handle(peers, func(p *Peer, w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		asked <- p.ID()
		if broken.Load() && p == leader { // whether it leads or not
			panic(http.ErrAbortHandler) // as when it is killed in the middle
		}
		_, _ = io.WriteString(w, p.ID())
	})
	broken.Store(true)
	// On a busy machine the leader may lose its office, so that it isn't asked.
	answerOf := func(method, body string) (*http.Response, string, []string) {
		for {
			leads, _ := peers["w"].leader.now()
			response, said := fetch(t, requestOf(t, method, url, body))
			ids := whoWasAsked()
			if leads == leader.ID() && slices.Contains(ids, leads) {
				return response, said, ids
			}
			eventually(t, "it leads again", func() string {
				if now, _ := peers["w"].leader.now(); now == leader.ID() {
					return ""
				}
				if now := leaderOf(t, peers); now != leader {
					_ = now.handOver(t.Context())
				}
				return "it doesn't"
			})
		}
	}
	if response, body, ids := answerOf(http.MethodGet, ""); response.StatusCode != http.StatusOK || body == leader.ID() || len(ids) != 2 {
		t.Errorf("GET: %s %q of %v", response.Status, body, ids)
	}
	if response, body, ids := answerOf(http.MethodPost, "x"); response.StatusCode != http.StatusGatewayTimeout || len(ids) != 1 || !strings.Contains(body, `"code":"timeout"`) {
		t.Errorf("POST: %s %q of %v", response.Status, body, ids)
	}
	broken.Store(false)

	// A leader that is gone can't have got it.
	cutOff(t, leader)
	peers["w"].forwarder.http.CloseIdleConnections()
	response, body := fetch(t, requestOf(t, http.MethodPost, url, "x"))
	if ids := whoWasAsked(); response.StatusCode != http.StatusOK || body == leader.ID() || len(ids) != 1 {
		t.Errorf("POST: %s %q of %v", response.Status, body, ids)
	}
}

func TestARequestLeavesAFrozenLeaderWhenThereIsAnother(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := grow(t, 3, "a", "b", "c", "w")
	url := front(t, peers["w"])
	leader := leaderOf(t, peers)
	arrived := make(chan string, 8)
	handle(peers, func(p *Peer, w http.ResponseWriter, r *http.Request) {
		arrived <- p.ID()
		if p == leader { // whether it leads or not: it is frozen
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, p.ID())
	})
	answered := make(chan string)
	go func() {
		_, body := fetch(t, requestOf(t, http.MethodGet, url, ""))
		answered <- body
	}()
	if first := <-arrived; first != leader.ID() {
		t.Errorf("%s was asked first", first)
	}
	eventually(t, "another leader", func() string {
		if err := leader.handOver(t.Context()); err != nil && leader.Leads() {
			return err.Error()
		}
		return ""
	})
	if by := <-answered; by == leader.ID() || by == "" {
		t.Errorf("%q answered", by)
	}
}

func TestWhenNobodyCanBeReachedTheClientIsToldToTryAgain(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := grow(t, 1, "a", "w")
	url := front(t, peers["w"])
	check := func(response *http.Response, body string) {
		t.Helper()
		var told problem
		if err := json.Unmarshal([]byte(body), &told); err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" ||
			response.Header.Get("Content-Type") != "application/problem+json" || told.Code != "no_leader" || told.Status != 503 ||
			told.Type != "urn:millrace:problem:no_leader" || told.Title == "" || told.Detail == "" {
			t.Errorf("%s %v %s", response.Status, response.Header, body)
		}
	}
	check(fetch(t, requestOf(t, http.MethodPost, url, "x"))) // a has no handler
	check(fetch(t, requestOf(t, http.MethodPost, url, strings.Repeat("x", 10*maxResent))))
	cutOff(t, peers["a"])
	peers["w"].forwarder.http.CloseIdleConnections()
	check(fetch(t, requestOf(t, http.MethodPost, url, "x")))
	check(fetch(t, requestOf(t, http.MethodGet, url, "")))
}

func TestAStoppingPeerFinishesRequestsAndEndsStreams(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := grow(t, 3, "a", "b", "c", "w")
	url := front(t, peers["w"])
	leader := leaderOf(t, peers)
	// What is under way when the leadership moves has as long as it takes here.
	peers["w"].forwarder.grace, leader.forwarded.drains = patient, patient
	arrived, finish := make(chan struct{}, 2), make(chan struct{})
	handle(peers, func(p *Peer, w http.ResponseWriter, r *http.Request) {
		if p != leader {
			_, _ = io.WriteString(w, p.ID())
			return
		}
		if r.URL.Path == "/events" {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: 1\n")
			_ = http.NewResponseController(w).Flush()
			arrived <- struct{}{}
			<-r.Context().Done()
			return
		}
		arrived <- struct{}{}
		select {
		case <-finish:
		case <-t.Context().Done():
		}
		_, _ = io.WriteString(w, "finished")
	})
	stream, err := http.DefaultTransport.RoundTrip(requestOf(t, http.MethodGet, url+"/events", ""))
	if err != nil {
		t.Fatal(err)
	}
	<-arrived
	finished := make(chan string)
	go func() {
		_, body := fetch(t, requestOf(t, http.MethodPost, url+"/jobs", "x"))
		finished <- body
	}()
	<-arrived
	closed := make(chan error)
	go func() { closed <- leader.Close() }()
	_, _ = io.Copy(io.Discard, stream.Body) // ends
	_ = stream.Body.Close()
	close(finish)
	if body := <-finished; body != "finished" {
		t.Errorf("a request that was under way got %q", body)
	}
	eventually(t, "another answers", func() string {
		_, body := fetch(t, requestOf(t, http.MethodPost, url+"/jobs", "x"))
		return map[bool]string{false: body}[body == "a" || body == "b" || body == "c"]
	})
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
