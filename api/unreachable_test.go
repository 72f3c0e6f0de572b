package api

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"millrace/cluster"
)

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
		{cluster.ErrNoState, 503, "no_leader"},
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
