package main

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"millrace/api"
	"millrace/api/client"
	"millrace/cluster"
)

// knownNodes is a cluster of the node here, which leads, and of one that is away.
type knownNodes struct {
	peer            *cluster.Peer
	leaderless      bool
	torn            bool // backups end early, as if whole
	probed, removed []string
}

func (k *knownNodes) ClusterStatus() api.ClusterStatus {
	here := api.Member{ID: "here", Address: "10.0.0.1:8080"}
	status := api.ClusterStatus{
		ID: "cl", Leader: &here, Term: 3, Healthy: true,
		Voters: []api.Voter{{Member: here, Healthy: true}, {Member: api.Member{ID: "away"}}},
		Peer:   api.PeerStatus{Member: here, State: "leader", LastIndex: 9, CommitIndex: 9, AppliedIndex: 9},
	}
	if k.leaderless {
		reason := "no leader is in sight"
		status.Leader, status.Healthy, status.Peer.State, status.Peer.Detached = nil, false, "candidate", &reason
	}
	return status
}

func (k *knownNodes) Nodes() []api.Node {
	reason, within := "no NVIDIA driver\x1b[2J is installed", false
	return []api.Node{
		{ID: "away", Role: api.NodeVoter},
		{ID: "here", Role: api.NodeLeader, Alive: true, Address: "10.0.0.1:8080", Version: "1.2",
			Labels: []string{"ssd", "site=paris"}, Taints: []string{"film"}, WorkHours: "Sat-Sun", WithinHours: &within,
			Devices: []api.Device{{ID: "cpu", Kind: "cpu", Name: "EPYC", Encoders: []api.Encoder{
				{Name: "libx264", Works: true, FramesPerSecond: map[string]float64{"360p": 123.4}, JoulesPerFrame: map[string]float64{"360p": 0.1234}}, {Name: "h264_nvenc", Reason: &reason},
			}}},
			Load: &api.Load{FramesPerSecond: 42, CPU: 0.5, Seen: time.Now()}},
	}
}

func (k *knownNodes) Probe(_ context.Context, node string) error {
	k.probed = append(k.probed, node)
	return nil
}

func (k *knownNodes) Remove(_ context.Context, node string) error {
	k.removed = append(k.removed, node)
	return nil
}

func (k *knownNodes) Backup(ctx context.Context, to io.Writer) error {
	if k.leaderless {
		return cluster.ErrNoLeader
	}
	return k.peer.Backup(ctx, k.tear(to))
}

func TestNodesAreListedAndShown(t *testing.T) {
	s := serveAPI(t)
	listed := s.run(t, "nodes")
	lines := strings.Split(strings.TrimSpace(listed.out), "\n")
	if listed.code != exitDone || len(lines) != 3 || !strings.HasPrefix(lines[0], "ID ") {
		t.Fatalf("exit code %d:\n%s%s", listed.code, listed.out, listed.err)
	}
	for _, want := range []string{"here", "leader", "alive, outside its work hours", "ssd, site=paris, only film", "cpu (1 of 2 encoders)", "0 running, 42 frames/s, cpu 50%", "no", "1.2"} {
		if !strings.Contains(lines[2], want) {
			t.Errorf("%q is missing in %q", want, lines[2])
		}
	}
	if !strings.Contains(lines[1], "away") {
		t.Errorf("got %q", lines[1])
	}
	shown := s.run(t, "nodes", "here")
	for _, want := range []string{"libx264 works, 360p 123 frames/s, 360p 0.123 J/frame", "film: only jobs that require all of this", "Sat-Sun", "h264_nvenc doesn't work: no NVIDIA driver"} {
		if shown.code != exitDone || !strings.Contains(shown.out, want) || strings.Contains(shown.out, "\x1b") {
			t.Errorf("exit code %d, %q is missing in\n%s%s", shown.code, want, shown.out, shown.err)
		}
	}
	var nodes []client.Node
	if err := json.Unmarshal([]byte(s.run(t, "nodes", "--json", "--stale").out), &nodes); err != nil || len(nodes) != 2 || nodes[1].Role != "leader" || len(nodes[1].Labels) != 2 || *nodes[1].WithinHours {
		t.Errorf("%+v, %v", nodes, err)
	}
	if unknown := s.run(t, "nodes", "nobody"); unknown.code != exitUsage || !strings.Contains(unknown.err, "Not found") {
		t.Errorf("exit code %d: %s", unknown.code, unknown.err)
	}
}

func TestNodesAreDrainedResumedMeasuredAndRemoved(t *testing.T) {
	s := serveAPI(t)
	if got := s.run(t, "drain", "here"); got.code != exitDone || !strings.Contains(got.out, "node here gets nothing new") {
		t.Errorf("drain: %+v", got)
	}
	if state, _ := s.peer.Stale().NodeState("here"); !state.Draining {
		t.Error("the state doesn't know that it drains")
	}
	if got := s.run(t, "nodes"); !strings.Contains(got.out, "yes") {
		t.Errorf("the list doesn't show it:\n%s", got.out)
	}
	if got := s.run(t, "resume", "here", "--json"); got.code != exitDone || !strings.Contains(got.out, `"draining": false`) {
		t.Errorf("resume: %+v", got)
	}
	if got := s.run(t, "nodes", "probe", "here"); got.code != exitDone || len(s.known.probed) != 1 {
		t.Errorf("probe: %+v", got)
	}
	if got := s.run(t, "nodes", "remove", "here"); got.code != exitUsage || !strings.Contains(got.err, "force") {
		t.Errorf("remove of a node that is up: %+v", got)
	}
	if got := s.run(t, "nodes", "remove", "away"); got.code != exitDone || len(s.known.removed) != 1 {
		t.Errorf("remove: %+v", got)
	}
	if got := s.run(t, "nodes", "remove", "here", "--force"); got.code != exitDone || len(s.known.removed) != 2 {
		t.Errorf("forced remove: %+v", got)
	}
}

func TestClusterStatusSaysWhoAgreesAndEndsWithFourWhenNobodyDoes(t *testing.T) {
	s := serveAPI(t)
	got := s.run(t, "cluster", "status")
	for _, want := range []string{"here 10.0.0.1:8080 well", "away - not well", "applied to 9"} {
		if got.code != exitDone || !strings.Contains(got.out, want) {
			t.Errorf("exit code %d, %q is missing in\n%s%s", got.code, want, got.out, got.err)
		}
	}
	var status client.ClusterStatus
	if err := json.Unmarshal([]byte(s.run(t, "cluster", "status", "--json").out), &status); err != nil || status.Leader.Address != "10.0.0.1:8080" {
		t.Errorf("%+v, %v", status, err)
	}
	s.known.leaderless = true
	if got := s.run(t, "cluster", "status"); got.code != exitUnreachable || !strings.Contains(got.out, "none") || !strings.Contains(got.out, "no leader is in sight") {
		t.Errorf("%+v", got)
	}
}

// tear lets only the first bytes through, if backups are to be torn.
func (k *knownNodes) tear(to io.Writer) io.Writer {
	if !k.torn {
		return to
	}
	return &tornWriter{to: to, left: 100}
}

type tornWriter struct {
	to   io.Writer
	left int
}

func (w *tornWriter) Write(p []byte) (int, error) {
	part := p[:min(w.left, len(p))]
	w.left -= len(part)
	if _, err := w.to.Write(part); err != nil {
		return 0, err
	}
	return len(p), nil
}
