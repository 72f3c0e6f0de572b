package clustertest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"millrace/systemtest/rig"
)

// status is what a peer says of the cluster.
type status struct {
	ID      string  `json:"id"` // the cluster's own
	Leader  *member `json:"leader"`
	Term    uint64  `json:"term"`
	Healthy bool    `json:"healthy"`
	Voters  []struct {
		member
		Healthy bool `json:"healthy"`
	} `json:"voters"`
	Peer struct {
		Applied uint64 `json:"applied_index"`
		Commit  uint64 `json:"commit_index"`
	} `json:"peer"`
}

type member struct {
	ID      string `json:"id"`
	Address string `json:"address"`
}

// get reads something of the API that isn't an organisation's.
func (p *peer) get(path string, into any) error {
	ctx, cancel := context.WithTimeout(p.team.t.Context(), answerTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url()+path, nil)
	if err != nil {
		return err
	}
	if strings.HasPrefix(path, "/api/") {
		request.Header.Set("Authorization", "Token "+p.team.key())
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", path, response.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// drain keeps new work from a peer.
func (c *team) drain(p *peer) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, p.url()+"/api/v1/cluster/nodes/"+p.id()+"/drain/", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Token "+c.key())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode/100 != 2 {
		c.t.Fatalf("draining %s answers %s", p.name, response.Status)
	}
}

func (p *peer) status() (status, error) {
	var s status
	err := p.get("/api/v1/cluster/", &s)
	return s, err
}

func (p *peer) ready() bool { return p.get("/readyz", nil) == nil }

// well waits until all living peers take jobs, name the same leader, and have
// what it has; the leader finds every voter well.
func (c *team) well() {
	c.t.Helper()
	c.wellWith(len(c.living()))
}

// wellWith waits for that, with so many voters.
func (c *team) wellWith(voters int) {
	c.t.Helper()
	why := ""
	rig.Eventually(c.t, fmt.Sprintf("%d voters agree", voters), func() bool {
		now := c.unwell(voters)
		if now != why && now != "" {
			c.t.Log("not well yet: ", now)
		}
		why = now
		return now == ""
	})
}

// unwell says what is wrong with the cluster, "" if nothing is.
func (c *team) unwell(voters int) string {
	var seen []status
	for _, p := range c.living() {
		s, err := p.status()
		switch {
		case err != nil:
			return fmt.Sprintf("%s: %v", p.name, err)
		case s.Leader == nil:
			return p.name + " knows no leader"
		case !s.Healthy:
			return p.name + " finds the cluster unwell"
		case len(s.Voters) != voters:
			return fmt.Sprintf("%s sees %d voters", p.name, len(s.Voters))
		case len(seen) > 0 && s.Leader.ID != seen[0].Leader.ID:
			return p.name + " names another leader"
		case len(seen) > 0 && s.Term != seen[0].Term:
			return p.name + " is in another term"
		case !p.ready():
			return p.name + " takes no jobs"
		}
		if s.Leader.ID == p.id() {
			for _, voter := range s.Voters {
				if !voter.Healthy {
					return "the leader finds " + voter.ID + " unwell"
				}
			}
		}
		seen = append(seen, s)
	}
	return ""
}

// leader is the living peer that most others say leads, and that says so itself.
func (c *team) leader() *peer {
	c.t.Helper()
	var found *peer
	rig.Eventually(c.t, "a peer leads", func() bool {
		found = c.leads()
		return found != nil
	})
	return found
}

// leads is the peer that says that it leads in the newest term, nil if none does.
func (c *team) leads() *peer {
	var found *peer
	var newest uint64
	for _, p := range c.living() {
		s, err := p.status()
		if err == nil && s.Leader != nil && s.Leader.ID == p.id() && s.Term >= newest {
			found, newest = p, s.Term
		}
	}
	return found
}

// others are the living peers but for some.
func (c *team) others(but ...*peer) []*peer {
	return slices.DeleteFunc(c.living(), func(p *peer) bool { return slices.Contains(but, p) })
}

// named is the peer with an id.
func (c *team) named(id string) *peer {
	c.t.Helper()
	at := slices.IndexFunc(c.peers, func(p *peer) bool { return p.id() == id })
	if at < 0 {
		c.t.Fatalf("no peer has the id %q", id)
	}
	return c.peers[at]
}
