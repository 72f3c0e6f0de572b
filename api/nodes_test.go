package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"millrace/cluster"
	"millrace/job"
)

// rack is a cluster as one of its peers would tell of it.
type rack struct {
	status ClusterStatus
	nodes  []Node

	mutex   sync.Mutex
	probed  []string
	removed []string
	backup  func(context.Context, io.Writer) error
}

// rackOfThree has a leader a, a voter b, and a voter c that is away.
func rackOfThree() *rack {
	noLimit, seen, within := "no NVIDIA driver is installed", noon, false
	member := func(id string) Member { return Member{ID: id, Address: "10.0.0." + id + ":8080"} }
	leader := member("a")
	return &rack{
		status: ClusterStatus{
			Leader: &leader, Term: 7, Healthy: true, ID: "cluster",
			Voters: []Voter{{member("a"), true}, {member("b"), true}, {member("c"), false}},
			Peer:   PeerStatus{Member: leader, State: "leader", LastIndex: 12, CommitIndex: 12, AppliedIndex: 11},
		},
		nodes: []Node{
			{ID: "a", Role: NodeLeader, Alive: true, Address: "10.0.0.a:8080", Version: "1.0", Measured: &seen,
				Labels: []string{"ssd"}, Taints: []string{"film"}, WorkHours: "Mon-Fri 19:00-07:00", WithinHours: &within,
				Devices: []Device{{ID: "cpu", Kind: "cpu", Name: "CPU", Threads: 2, Encoders: []Encoder{
					{Name: "libx264", Works: true, FramesPerSecond: map[string]float64{"360p": 100}, JoulesPerFrame: map[string]float64{"360p": 0.5}},
					{Name: "h264_nvenc", Reason: &noLimit},
				}}},
				Load: &Load{Attempts: 1, CPU: 0.5, Seen: noon}},
			{ID: "b", Role: NodeVoter, Alive: true},
			{ID: "c", Role: NodeVoter},
		},
	}
}

func (r *rack) ClusterStatus() ClusterStatus { return r.status }
func (r *rack) Nodes() []Node                { return slices.Clone(r.nodes) }

func (r *rack) Probe(_ context.Context, node string) error {
	if node == "c" {
		return fmt.Errorf("call node/probe of %s: %w", node, cluster.ErrUnreachable)
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.probed = append(r.probed, node)
	return nil
}

func (r *rack) Remove(_ context.Context, node string) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.removed = append(r.removed, node)
	return cluster.ErrNotFound // as for a peer that holds no log
}

func (r *rack) Backup(ctx context.Context, to io.Writer) error { return r.backup(ctx, to) }

func newRack(t *testing.T) (*fixture, *rack) {
	t.Helper()
	r := rackOfThree()
	return newFixture(t, func(c *Config) { c.Cluster, c.Control = r, r }), r
}

const nodesPath = "/api/v1/cluster/nodes/"

func (f *fixture) node(a answer) Node {
	f.t.Helper()
	var node Node
	if err := json.Unmarshal([]byte(a.body), &node); err != nil {
		f.t.Fatalf("%v in %q", err, a.body)
	}
	return node
}

func TestNodesShowWhatGossipAndTheStateSayOfThem(t *testing.T) {
	f, _ := newRack(t)
	made := f.create("one")
	f.propose(cluster.StartAttempts{At: noon, Assignments: []cluster.JobAssignment{{Job: made.ID, Assignment: job.Assignment{
		Task: job.TaskID(job.InspectTask), Attempt: 1, Node: "b", Session: "s", Device: "cpu", Threads: 1}}}})
	f.propose(cluster.SetDrain{Node: "gone", Draining: true, At: noon})

	var page page[Node]
	if err := json.Unmarshal([]byte(f.want(http.StatusOK, f.do("default/read", "GET", nodesPath, "")).body), &page); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, node := range page.Results {
		ids = append(ids, node.ID)
	}
	if !slices.Equal(ids, []string{"a", "b", "c", "gone"}) || page.Count != 4 {
		t.Errorf("the nodes are %v", ids)
	}
	b := f.node(f.want(http.StatusOK, f.do("default/read", "GET", nodesPath+"b", "")))
	if b.Role != NodeVoter || !b.Alive || b.Draining || len(b.Attempts) != 1 {
		t.Fatalf("b is %+v", b)
	}
	if got := b.Attempts[0]; got.Job != made.ID || got.Organisation != "default" || got.Attempt != 1 || got.Device != "cpu" || !got.Since.Equal(noon) {
		t.Errorf("b's attempt is %+v", got)
	}
	if b.Labels == nil || b.Taints == nil || b.WithinHours != nil {
		t.Errorf("of b, which has told nothing, is shown %+v", b)
	}
	if gone := page.Results[3]; gone.Alive || !gone.Draining || gone.Role != NodeWorker {
		t.Errorf("gone is %+v", gone)
	}
	a := f.node(f.want(http.StatusOK, f.do("default/admin", "GET", nodesPath+"a/", "")))
	if len(a.Devices) != 1 || !a.Devices[0].Encoders[0].Works || a.Devices[0].Encoders[0].JoulesPerFrame["360p"] != 0.5 || *a.Devices[0].Encoders[1].Reason == "" || a.Load.CPU != 0.5 ||
		!slices.Equal(a.Labels, []string{"ssd"}) || !slices.Equal(a.Taints, []string{"film"}) || a.WorkHours != "Mon-Fri 19:00-07:00" || *a.WithinHours {
		t.Errorf("a is %+v", a)
	}
	f.want(http.StatusNotFound, f.do("default/admin", "GET", nodesPath+"nobody/", ""))
	f.want(http.StatusBadRequest, f.do("default/admin", "GET", nodesPath+"?page=x", ""))
	f.want(http.StatusNotFound, f.do("default/admin", "GET", nodesPath+"?page=2", ""))
}

func TestNodesShowASlowAttemptAndItsBackup(t *testing.T) {
	f, _ := newRack(t)
	made := f.create("one")
	start := func(a job.Assignment) {
		a.Session, a.Device = "s", "cpu"
		f.propose(cluster.StartAttempts{At: noon, Assignments: []cluster.JobAssignment{{Job: made.ID, Assignment: a}}})
	}
	timeline := job.Timeline{Rate: job.Rational{Num: 25, Den: 1}, Frames: 100, SegmentFrames: 100}
	chunks, err := timeline.Cut([]int{1})
	if err != nil {
		t.Fatal(err)
	}
	plan := job.Plan{Timeline: timeline, Chunks: chunks}
	start(job.Assignment{Task: job.TaskID(job.InspectTask), Attempt: 1, Node: "a"})
	f.propose(cluster.PlanJob{
		Ref: job.Ref{Job: made.ID, Task: job.TaskID(job.InspectTask), Attempt: 1}, Plan: plan, Tasks: job.PlanTasks(made.ID, job.Spec{}, plan), At: noon,
	})
	start(job.Assignment{Task: job.EncodeTaskID(0), Attempt: 1, Node: "a"})
	start(job.Assignment{Task: job.EncodeTaskID(0), Attempt: 2, Node: "b", BackupOf: 1})
	for id, want := range map[string]int{"a": 0, "b": 1} {
		node := f.node(f.want(http.StatusOK, f.do("default/read", "GET", nodesPath+id, "")))
		if len(node.Attempts) != 1 || node.Attempts[0].BackupOf != want {
			t.Errorf("%s works on %+v", id, node.Attempts)
		}
	}
}

func TestDrainAndResumeAreKeptInTheStateAndMayBeSaidTwice(t *testing.T) {
	f, _ := newRack(t)
	for range 2 {
		if node := f.node(f.want(http.StatusOK, f.do("default/admin", "POST", nodesPath+"b/drain/", ""))); !node.Draining {
			t.Errorf("b is %+v", node)
		}
	}
	if state, known := f.peer.Stale().NodeState("b"); !known || !state.Draining {
		t.Errorf("the state has %+v", state)
	}
	if !f.node(f.do("default/read", "GET", nodesPath+"b/", "")).Draining {
		t.Error("b isn't shown as draining")
	}
	for range 2 {
		if node := f.node(f.want(http.StatusOK, f.do("default/admin", "POST", nodesPath+"b/resume/", "{}"))); node.Draining {
			t.Errorf("b is %+v", node)
		}
	}
	f.want(http.StatusNotFound, f.do("default/admin", "POST", nodesPath+"nobody/drain/", ""))
	refused := f.want(http.StatusBadRequest, f.do("default/admin", "POST", nodesPath+"b/drain/", `{"now": true}`))
	if refused.members(t)["now"] == nil {
		t.Errorf("the field isn't named: %s", refused.body)
	}
	f.want(http.StatusUnsupportedMediaType, f.do("default/admin", "POST", nodesPath+"b/drain/", "x", "Content-Type: text/plain"))
}

func TestProbeAsksTheNodeAndSaysWhenItCannotBeReached(t *testing.T) {
	f, r := newRack(t)
	f.want(http.StatusAccepted, f.do("default/admin", "POST", nodesPath+"a/probe/", ""))
	f.want(http.StatusNotFound, f.do("default/admin", "POST", nodesPath+"nobody/probe/", ""))
	refused := f.want(http.StatusServiceUnavailable, f.do("default/admin", "POST", nodesPath+"c/probe/", ""))
	if refused.members(t)["code"] != "node_unreachable" || refused.header.Get("Retry-After") == "" {
		t.Errorf("got %v", refused)
	}
	if !slices.Equal(r.probed, []string{"a"}) {
		t.Errorf("asked %v", r.probed)
	}
}

func TestOnlyNodesThatAreAwayAreRemovedUnlessForced(t *testing.T) {
	f, r := newRack(t)
	f.propose(cluster.SetDrain{Node: "c", Draining: true, At: noon})
	if refused := f.want(http.StatusConflict, f.do("default/admin", "DELETE", nodesPath+"b/", "")); refused.members(t)["code"] != "node_alive" {
		t.Errorf("got %s", refused.body)
	}
	f.want(http.StatusBadRequest, f.do("default/admin", "DELETE", nodesPath+"b/?force=maybe", ""))
	f.want(http.StatusNotFound, f.do("default/admin", "DELETE", nodesPath+"nobody/", ""))
	f.want(http.StatusOK, f.do("default/admin", "DELETE", nodesPath+"c/", ""))
	f.want(http.StatusOK, f.do("default/admin", "DELETE", nodesPath+"b/?force=true", ""))
	if !slices.Equal(r.removed, []string{"c", "b"}) {
		t.Errorf("removed %v", r.removed)
	}
	if state, known := f.peer.Stale().NodeState("c"); known {
		t.Errorf("the state still has %+v", state)
	}
	r.status.Voters = r.status.Voters[:1]
	if refused := f.want(http.StatusConflict, f.do("default/admin", "DELETE", nodesPath+"a/?force=true", "")); refused.members(t)["code"] != "last_voter" {
		t.Errorf("got %s", refused.body)
	}
}

func TestClusterBelongsToTheOperatorsOrganisation(t *testing.T) {
	f, _ := newRack(t)
	for _, path := range []string{"/api/v1/cluster/", nodesPath, nodesPath + "a/", "/api/v1/cluster/backup/",
		organisationsPath, organisationsPath + "other/", organisationsPath + "other/limits/", organisationsPath + "other/keys/"} {
		if refused := f.want(http.StatusForbidden, f.do("other/admin", "GET", path, "")); !strings.Contains(refused.body, "default") {
			t.Errorf("%s: %s", path, refused.body)
		}
		f.want(http.StatusUnauthorized, f.do("", "GET", path, ""))
	}
	f.want(http.StatusForbidden, f.do("other/admin", "POST", nodesPath+"a/drain/", ""))
	f.want(http.StatusForbidden, f.do("other/admin", "PUT", organisationsPath+"other/limits/", "{}"))
	f.want(http.StatusForbidden, f.do("default/submit", "PUT", organisationsPath+"other/limits/", "{}"))
	f.want(http.StatusForbidden, f.do("default/read", "GET", organisationsPath+"other/keys/", ""))
}

func TestClusterIsTellingWithoutALeader(t *testing.T) {
	r := rackOfThree()
	r.status = ClusterStatus{Term: 8, Peer: PeerStatus{Member: Member{ID: "b"}, State: "candidate"}}
	f := newFixture(t, func(c *Config) {
		c.Cluster, c.Control = r, r
		c.State = unreachable{c.State, cluster.ErrNoLeader}
	})
	got := f.want(http.StatusOK, f.do("default/admin", "GET", "/api/v1/cluster/", "")).members(t)
	if got["leader"] != nil || got["healthy"] != false || got["term"] != 8.0 || len(got["voters"].([]any)) != 0 {
		t.Errorf("got %v", got)
	}
	f.want(http.StatusServiceUnavailable, f.do("default/admin", "GET", nodesPath, ""))
	f.want(http.StatusOK, f.do("default/admin", "GET", nodesPath+"?consistency=stale", ""))
	refused := f.want(http.StatusServiceUnavailable, f.do("default/admin", "POST", nodesPath+"b/drain/", ""))
	if refused.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestBackupIsWholeOrCutOff(t *testing.T) {
	f, r := newRack(t)
	base := f.serve()
	fetch := func() (*http.Response, string, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/api/v1/cluster/backup/", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Token "+f.keys["default/admin"])
		transport := &http.Transport{DisableKeepAlives: true}
		response, err := transport.RoundTrip(request)
		if err != nil {
			return nil, "", err
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		return response, string(body), err
	}
	part := strings.Repeat("x", 100_000)
	r.backup = func(_ context.Context, to io.Writer) error { _, err := io.WriteString(to, part); return err }
	if response, body, err := fetch(); err != nil || body != part || !strings.Contains(response.Header.Get("Content-Disposition"), ".backup") {
		t.Errorf("%v, %d bytes, %v", response, len(body), err)
	}
	r.backup = func(_ context.Context, to io.Writer) error {
		_, _ = io.WriteString(to, part)
		return errors.New("disk gone")
	}
	if _, _, err := fetch(); err == nil {
		t.Error("half a backup came as a whole one")
	}
	r.backup = func(context.Context, io.Writer) error { return fmt.Errorf("back up: %w", cluster.ErrNoLeader) }
	if response, body, err := fetch(); err != nil || response.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "no_leader") {
		t.Errorf("%v %s %v", response, body, err)
	}
}

func TestMetricsTellOfTheClusterWithoutNamingPeers(t *testing.T) {
	f, r := newRack(t)
	f.propose(cluster.SetDrain{Node: "b", Draining: true, At: noon})
	ends := noon
	r.status.Peer.CertificateExpires = &ends
	got := f.want(http.StatusOK, f.do("", "GET", "/metrics", "")).body
	for _, want := range []string{
		"millrace_cluster_leader 1", "millrace_cluster_has_leader 1", "millrace_cluster_healthy 1", "millrace_cluster_term 7",
		"millrace_cluster_voters 3", "millrace_cluster_voters_healthy 2", "millrace_cluster_nodes_draining 1",
		`millrace_cluster_peers{role="leader"} 1`, `millrace_cluster_peers{role="voter"} 1`, `millrace_cluster_peers{role="worker"} 0`,
		`millrace_cluster_log_index{of="applied"} 11`, `millrace_cluster_log_index{of="last"} 12`,
		fmt.Sprintf("millrace_cluster_certificate_expiry_timestamp_seconds %g", float64(noon.Unix())),
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
	r.status.Leader, r.status.Healthy = nil, false
	if got := f.do("", "GET", "/metrics", "").body; !strings.Contains(got, "millrace_cluster_leader 0\n") || !strings.Contains(got, "millrace_cluster_has_leader 0\n") {
		t.Error("without a leader the metrics still have one")
	}
}
