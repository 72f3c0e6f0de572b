package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace/api"
	"millrace/api/client"
	"millrace/cluster"
	"millrace/job"
)

// served is a real peer's API on a real port, without workers: tests move jobs
// on by the commands that a leader would propose.
type served struct {
	peer    *cluster.Peer
	known   *knownNodes
	address string
	keyFile string
}

func serveAPI(t *testing.T) *served {
	t.Helper()
	peer, err := cluster.Open(t.Context(), cluster.Config{
		DataDir: t.TempDir(), RaftAddr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
		HeartbeatTimeout: 20 * time.Millisecond, ElectionTimeout: 20 * time.Millisecond, LeaderLease: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	if err := peer.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	known := &knownNodes{peer: peer}
	s := &served{peer: peer, known: known, keyFile: filepath.Join(t.TempDir(), "admin.key")}
	text, key, err := api.NewKey(rand.Reader, "default", cluster.RoleAdmin, "test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.keyFile, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.propose(t, cluster.CreateOrganisation{Organisation: cluster.Organisation{ID: "default", Created: time.Now()}})
	s.propose(t, cluster.CreateKey{Key: key})
	handler, err := api.New(api.Config{
		State: peer, Sealer: peer.Keyring(), Cluster: known, Control: known,
		EventInterval: 10 * time.Millisecond, ProgressInterval: 10 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	s.address = server.URL
	return s
}

func (s *served) propose(t *testing.T, command cluster.Command) {
	t.Helper()
	if _, err := s.peer.Propose(t.Context(), command); err != nil {
		t.Errorf("%s: %v", command.Name(), err)
	}
}

// run runs one command against the server.
func (s *served) run(t *testing.T, args ...string) said {
	t.Helper()
	return millrace(t, append(args, "--server", s.address, "--key-file", s.keyFile)...)
}

func (s *served) submit(t *testing.T, args ...string) said {
	t.Helper()
	return s.run(t, append([]string{"submit", "--input", "https://example.com/a.mp4", "--output", "s3://bucket/" + t.Name() + "/", "--resolutions", "240p,480p"}, args...)...)
}

// whenThere calls act once with the first unsettled job.
func (s *served) whenThere(t *testing.T, act func(id job.ID)) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		for {
			view := s.peer.Stale()
			for record := range view.Unsettled() {
				act(record.Job.ID)
				return
			}
			select {
			case <-view.Changed():
			case <-t.Context().Done():
				return
			}
		}
	}()
	return done
}

// fail lets the job's inspect task begin and fail.
func (s *served) fail(t *testing.T, id job.ID) {
	t.Helper()
	s.propose(t, cluster.StartAttempts{At: time.Now(), Assignments: []cluster.JobAssignment{{Job: id, Assignment: job.Assignment{
		Task: job.TaskID(job.InspectTask), Attempt: 1, Node: "n", Session: "s", Device: "cpu"}}}})
	s.propose(t, cluster.FailTask{Ref: job.Ref{Job: id, Task: job.TaskID(job.InspectTask), Attempt: 1}, At: time.Now(),
		Failure: *job.Fail(job.InputNotFound, "the server answered 404 Not Found for https://example.com/a.mp4")})
}

func TestSubmitPrintsTheIDOfTheJob(t *testing.T) {
	s := serveAPI(t)
	got := s.submit(t)
	id := job.ID(strings.TrimSpace(got.out))
	if got.code != exitDone || !id.Valid() {
		t.Fatalf("exit code %d, %q, %s", got.code, got.out, got.err)
	}
	shown := s.run(t, "job", string(id))
	if shown.code != exitDone || !strings.Contains(shown.out, "https://example.com/a.mp4") || !strings.Contains(shown.out, "240p,480p") {
		t.Errorf("job: exit code %d:\n%s%s", shown.code, shown.out, shown.err)
	}
	listed := s.run(t, "jobs")
	if listed.code != exitDone || !strings.HasPrefix(listed.out, "ID ") || !strings.Contains(listed.out, string(id)+"  Queued") {
		t.Errorf("jobs: exit code %d:\n%s%s", listed.code, listed.out, listed.err)
	}
	var views []job.View
	inJSON := s.run(t, "jobs", "--json", "--status", "queued")
	if err := json.Unmarshal([]byte(inJSON.out), &views); err != nil || len(views) != 1 || views[0].ID != id {
		t.Errorf("jobs --json: %v:\n%s%s", err, inJSON.out, inJSON.err)
	}
	if none := s.run(t, "jobs", "--json", "--status", "completed"); strings.TrimSpace(none.out) != "[]" {
		t.Errorf("jobs --json without a job: %s", none.out)
	}
}

func TestFailedJobEndsTheWaitWithOneAndItsReason(t *testing.T) {
	s := serveAPI(t)
	failed := s.whenThere(t, func(id job.ID) { s.fail(t, id) })
	got := s.submit(t, "--wait")
	<-failed
	if got.code != exitFailed {
		t.Errorf("exit code %d", got.code)
	}
	for _, want := range []string{": Queued\n", "input_not_found", "the server answered 404 Not Found", job.InputNotFound.Info().Cure} {
		if !strings.Contains(got.err, want) {
			t.Errorf("%q is missing in\n%s", want, got.err)
		}
	}
	if got.out != "" {
		t.Errorf("standard output has %q", got.out)
	}
}

func TestFailedJobCanBeRetriedAndWaitedFor(t *testing.T) {
	s := serveAPI(t)
	id := job.ID(strings.TrimSpace(s.submit(t).out))
	if early := s.run(t, "retry", string(id)); early.code != exitUsage {
		t.Errorf("retry of a queued job: exit code %d: %s", early.code, early.err)
	}
	s.fail(t, id)
	if again := s.run(t, "retry", string(id), "--resolutions", "240p"); again.code != exitDone || !strings.Contains(again.out, "queued again") {
		t.Errorf("retry: exit code %d: %s%s", again.code, again.out, again.err)
	}
}

func TestCancelledJobEndsTheWaitWithThree(t *testing.T) {
	s := serveAPI(t)
	cancelled := s.whenThere(t, func(id job.ID) {
		if got := s.run(t, "cancel", string(id)); got.code != exitDone || !strings.Contains(got.out, "cancelled") {
			t.Errorf("cancel: exit code %d: %s%s", got.code, got.out, got.err)
		}
	})
	got := s.submit(t, "--wait", "--json")
	<-cancelled
	var view job.View
	if err := json.Unmarshal([]byte(got.out), &view); err != nil || view.Status != job.Cancelled {
		t.Errorf("standard output: %v: %s", err, got.out)
	}
	if got.code != exitCancelled || !strings.Contains(got.err, "was cancelled") {
		t.Errorf("exit code %d: %s", got.code, got.err)
	}
}

func TestInterruptedWaitLeavesTheJobAndSaysHowToGoOn(t *testing.T) {
	s := serveAPI(t)
	var out, problems strings.Builder
	ctx, interrupt := context.WithCancel(t.Context())
	submitted := s.whenThere(t, func(job.ID) { interrupt() })
	code := run(ctx, []string{"submit", "--server", s.address, "--key-file", s.keyFile, "--input", "https://example.com/a.mp4",
		"--output", "s3://bucket/a/", "--resolutions", "240p", "--wait"}, streams{out: &out, err: &problems, width: func() int { return 0 }})
	<-submitted
	// The signal may also come before the answer to the POST has.
	if code != exitInterrupted {
		t.Errorf("exit code %d: %s", code, problems.String())
	}
	for record := range s.peer.Stale().Unsettled() {
		if record.Job.Status != job.Queued {
			t.Errorf("the job is %s", record.Job.Status)
		}
	}
}

func TestRefusedRequestsEndWithTwoAndNameTheField(t *testing.T) {
	s := serveAPI(t)
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"bad resolution", []string{"submit", "--input", "https://example.com/a.mp4", "--output", "s3://bucket/x/", "--resolutions", "99p"}, "resolutions"},
		{"unknown job", []string{"job", "5KQfnXCg8Qh"}, "Not found"},
		{"unknown webhook", []string{"webhooks", "remove", "b2d1c5f0-0000-4000-8000-000000000000"}, "Not found"},
		{"another organisation", []string{"jobs", "--org", "other"}, "Not found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := s.run(t, test.args...)
			if got.code != exitUsage || !strings.Contains(got.err, test.want) {
				t.Errorf("exit code %d: %s", got.code, got.err)
			}
		})
	}
	if err := os.WriteFile(s.keyFile, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.run(t, "jobs"); got.code != exitUsage || !strings.Contains(got.err, "--key-file") {
		t.Errorf("a wrong key: exit code %d: %s", got.code, got.err)
	}
}

func TestWebhooksAreAddedListedResumedAndRemoved(t *testing.T) {
	s := serveAPI(t)
	added := s.run(t, "webhooks", "add", "https://example.com/hook")
	id, secret, _ := strings.Cut(added.out, "\n")
	if added.code != exitDone || !strings.HasPrefix(secret, "secret token: whsec_") {
		t.Fatalf("add: exit code %d: %s%s", added.code, added.out, added.err)
	}
	if listed := s.run(t, "webhooks"); !strings.Contains(listed.out, id+"  https://example.com/hook  delivering") || strings.Contains(listed.out, "whsec_") {
		t.Errorf("list:\n%s%s", listed.out, listed.err)
	}
	jobID := job.ID(strings.TrimSpace(s.submit(t).out))
	s.fail(t, jobID)
	log := s.run(t, "webhooks", "deliveries", id)
	if log.code != exitDone || !strings.Contains(log.out, string(jobID)) || !strings.Contains(log.out, "waiting") {
		t.Errorf("deliveries: exit code %d:\n%s%s", log.code, log.out, log.err)
	}
	var before client.Webhook
	if list := s.run(t, "webhooks", "list", "--json"); json.Unmarshal([]byte(strings.Trim(list.out, "[]\n ")), &before) != nil {
		t.Errorf("list --json: %s", list.out)
	}
	if resumed := s.run(t, "webhooks", "resume", id); resumed.code != exitDone {
		t.Errorf("resume: exit code %d: %s", resumed.code, resumed.err)
	}
	if removed := s.run(t, "webhooks", "remove", id); removed.code != exitDone {
		t.Errorf("remove: exit code %d: %s", removed.code, removed.err)
	}
	if listed := s.run(t, "webhooks", "list"); strings.Contains(listed.out, id) {
		t.Errorf("list after remove:\n%s", listed.out)
	}
}
