package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace/cluster"
	"millrace/job"
)

var update = flag.Bool("update", false, "write golden files and docs/errors.md")

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Memberlist doesn't wait for a probe that is under way when it is shut down; the probe ends by its own timeout.
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probe"))
}

// noon is when everything happens, until a test says otherwise.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 34924000, time.UTC)

// clock is a time that tests set.
type clock struct {
	mutex sync.Mutex
	time  time.Time
}

func (c *clock) now() time.Time {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.time
}

func (c *clock) advance(d time.Duration) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.time = c.time.Add(d)
}

// progressTable is what the leader knows of running jobs.
type progressTable struct {
	sync.Map
	refresh func() // what asking the leader brings, if set before a request
}

func (p *progressTable) Progress(id job.ID) (job.Progress, bool) {
	progress, known := p.Load(id)
	if !known {
		return job.Progress{}, false
	}
	return progress.(job.Progress), true
}

func (p *progressTable) Refresh(context.Context) {
	if p.refresh != nil {
		p.refresh()
	}
}

// Moved says that all may have moved.
func (p *progressTable) Moved(since ProgressMark) (jobs []job.ID, now ProgressMark) {
	p.Range(func(id, _ any) bool {
		jobs = append(jobs, id.(job.ID))
		return true
	})
	return jobs, since
}

// fixture is a server over a real peer, with two organisations and a key of
// each role.
type fixture struct {
	t        testing.TB
	peer     *cluster.Peer
	server   *Server
	clock    *clock
	progress *progressTable
	keys     map[string]string // "default/admin" to the key's text
}

func newFixture(t testing.TB, change ...func(*Config)) *fixture {
	t.Helper()
	discard := slog.New(slog.DiscardHandler)
	peer, err := cluster.Open(t.Context(), cluster.Config{
		DataDir: t.TempDir(), RaftAddr: "127.0.0.1:0", Logger: discard,
		HeartbeatTimeout: 20 * time.Millisecond, ElectionTimeout: 20 * time.Millisecond, LeaderLease: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := peer.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := peer.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, peer: peer, clock: &clock{time: noon}, progress: &progressTable{}, keys: map[string]string{}}
	config := Config{
		State: peer, Sealer: peer.Keyring(), Progress: f.progress, Now: f.clock.now, Logger: discard, Version: "test",
		EventInterval: time.Millisecond, ProgressInterval: 10 * time.Millisecond,
	}
	for _, c := range change {
		c(&config)
	}
	if f.server, err = New(config); err != nil {
		t.Fatal(err)
	}
	for _, org := range []string{"default", "other"} {
		f.propose(cluster.CreateOrganisation{Organisation: cluster.Organisation{ID: org, Created: noon}})
		for _, role := range []cluster.Role{cluster.RoleAdmin, cluster.RoleSubmit, cluster.RoleRead} {
			text, key, err := NewKey(rand.Reader, org, role, "", noon)
			if err != nil {
				t.Fatal(err)
			}
			f.propose(cluster.CreateKey{Key: key})
			f.keys[org+"/"+string(role)] = text
		}
	}
	return f
}

func (f *fixture) propose(command cluster.Command) any {
	f.t.Helper()
	answer, err := f.peer.Propose(f.t.Context(), command)
	if err != nil {
		f.t.Fatalf("%s: %v", command.Name(), err)
	}
	return answer
}

// answer is a whole answer.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends one request with a key by its name; "" sends none. More headers are
// given as "Name: value".
func (f *fixture) do(key, method, path, body string, headers ...string) answer {
	f.t.Helper()
	request := httptest.NewRequestWithContext(f.t.Context(), method, path, strings.NewReader(body))
	if text, known := f.keys[key]; known {
		request.Header.Set("Authorization", "Token "+text)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
	}
	recorded := httptest.NewRecorder()
	f.server.ServeHTTP(recorded, request)
	return answer{recorded.Code, recorded.Header(), recorded.Body.String()}
}

// want fails the test unless the answer has that status.
func (f *fixture) want(status int, a answer) answer {
	f.t.Helper()
	if a.status != status {
		f.t.Fatalf("got %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

// members reads an answer's body.
func (a answer) members(t testing.TB) map[string]any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(a.body), &members); err != nil {
		t.Fatalf("%v in %q", err, a.body)
	}
	return members
}

const jobsPath = "/api/v1/default/transcoding_jobs/"

// request is the body of a good request that writes to the named prefix.
func request(prefix string) string {
	return `{"input_url": "https://example.com/input-video.mp4", "output_path": "s3://example-bucket/` + prefix + `/", "resolutions": ["240p", "480p"]}`
}

// create makes a job.
func (f *fixture) create(prefix string) job.View {
	f.t.Helper()
	return f.view(f.want(http.StatusCreated, f.do("default/submit", "POST", jobsPath, request(prefix))))
}

func (f *fixture) view(a answer) job.View {
	f.t.Helper()
	var view job.View
	if err := json.Unmarshal([]byte(a.body), &view); err != nil {
		f.t.Fatalf("%v in %q", err, a.body)
	}
	return view
}

// start gives the job's inspect task to a node: it is transcoding then.
func (f *fixture) start(id job.ID) job.Ref {
	f.t.Helper()
	ref := job.Ref{Job: id, Task: job.TaskID(job.InspectTask), Attempt: 1}
	held := f.propose(cluster.StartAttempts{At: f.clock.now(), Assignments: []cluster.JobAssignment{{
		Job: id, Assignment: job.Assignment{Task: ref.Task, Attempt: 1, Node: "n", Session: "s", Device: "cpu"},
	}}}).([]job.Ref)
	if len(held) != 1 {
		f.t.Fatalf("the inspect task of %s didn't start", id)
	}
	return ref
}

// fail ends the job in an error that is its source's fault.
func (f *fixture) fail(id job.ID) {
	f.t.Helper()
	ref := f.start(id)
	f.propose(cluster.FailTask{Ref: ref, At: f.clock.now(),
		Failure: *job.Fail(job.InputNotFound, "The source does not exist: HTTP 404.")})
}

// serve runs the server on a loopback port until the test ends.
func (f *fixture) serve() string {
	f.t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(f.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, listener, f.server) }()
	f.t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			f.t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

// golden compares text with testdata/name, or writes it there with -update.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, []byte(text)) {
		t.Errorf("%s differs (see -update):\n%s", path, text)
	}
}

// fixedRandom draws the same ids in each run.
type fixedRandom struct{ next byte }

func (r *fixedRandom) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.next
		r.next = (r.next + 7) % 200
	}
	return len(p), nil
}

var _ io.Reader = (*fixedRandom)(nil)
