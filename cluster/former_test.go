package cluster

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Two of three voters were replaced, one after the other; then all others stop
// and those two come back. By their own logs they could be a majority.
func TestFormerVotersElectNobody(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := grow(t, 3, "a", "b", "c", "w", "x")
	leader := leaderOf(t, peers)
	var former []*Peer
	for _, p := range othersThan(peers, leader) {
		if p.HoldsState() {
			former = append(former, p)
		}
	}
	for _, gone := range former {
		cutOff(t, gone)
		eventually(t, "another voter in place of "+gone.ID(), func() string {
			if voters := voterIDs(leader); len(voters) != 3 || slices.Contains(voters, gone.ID()) || len(leader.servers()) != 3 {
				return fmt.Sprint(voters)
			}
			return ""
		})
	}
	propose[any](t, leader, createOrg("later"))
	configs := make(map[string]Config)
	// All learn of it before the first stops: no other tells the rest.
	for id, p := range peers {
		configs[id] = p.config
		if slices.Contains(former, p) {
			continue
		}
		eventually(t, id+" is up to date", func() string {
			if _, ok := p.Stale().Organisation("later"); !ok {
				return "it isn't"
			}
			return ""
		})
	}
	for _, p := range peers {
		if !slices.Contains(former, p) {
			cutOff(t, p)
		}
	}

	back := make(map[string]*Peer)
	for _, p := range former {
		config := configs[p.ID()]
		if len(back) > 0 {
			config.Join = []string{othersThan(back, nil)[0].gossipAddr()}
		}
		back[p.ID()] = launch(t, config)
	}
	eventually(t, "they see each other", func() string {
		for id, p := range back {
			if len(p.Members()) != 2 {
				return id + " is alone"
			}
		}
		return ""
	})
	elections, look := time.NewTimer(10*configs["a"].ElectionTimeout), time.NewTicker(configs["a"].HeartbeatTimeout/10)
	defer look.Stop()
	for over := false; !over; {
		select {
		case <-elections.C:
			over = true
		case <-look.C:
			for id, p := range back {
				if status := p.Status(); status.Leader != "" || p.Leads() {
					t.Fatalf("%s: %+v", id, status)
				}
			}
		}
	}

	// With the voters they are workers.
	for id, config := range configs {
		if back[id] == nil {
			config.Join = []string{othersThan(back, nil)[0].gossipAddr()}
			back[id] = launch(t, config)
		}
	}
	for _, p := range back {
		ready(t, p)
	}
	for _, p := range former {
		p := back[p.ID()]
		eventually(t, p.ID()+" works", func() string { return map[bool]string{false: p.Status().State}[p.works()] })
	}
	if _, ok := read(t, leaderOf(t, back)).Organisation("later"); !ok {
		t.Error("what was acknowledged is lost")
	}
}
