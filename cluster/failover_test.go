package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"millrace/job"
)

func TestAnotherPeerTakesOverFromAKilledLeader(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := trio(t)
	propose[any](t, peers["a"], createOrg("default"))
	acknowledged := make(map[job.ID]bool)
	var mu sync.Mutex
	ctx, stop := context.WithCancel(t.Context())
	var proposing sync.WaitGroup
	leader := leaderOf(t, peers)
	others := othersThan(peers, leader)
	for w, p := range others {
		proposing.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				id := job.ID(fmt.Sprintf("%d%010d", w, n))
				if _, err := p.Propose(ctx, createJob("default", id)); err == nil {
					mu.Lock()
					acknowledged[id] = true
					mu.Unlock()
					reader := others[(w+n)%2] // the other one's reads are as fresh
					if v, err := reader.View(ctx); err == nil {
						if _, ok := v.Job("default", id); !ok {
							t.Errorf("job %s was acknowledged and %s doesn't see it", id, reader.ID())
						}
					}
				}
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged)
	}
	eventually(t, "jobs", func() string { return map[bool]string{false: "too few"}[count() > 20] })
	cutOff(t, leader)
	before := count()
	eventually(t, "jobs under the next leader", func() string { return map[bool]string{false: "too few"}[count() > before+20] })
	stop()
	proposing.Wait()
	for _, p := range others {
		v := read(t, p)
		for id := range acknowledged {
			if _, ok := v.Job("default", id); !ok {
				t.Errorf("%s: job %s was acknowledged and is lost", p.ID(), id)
			}
		}
	}
}

func TestAPlannedStopHandsTheLeadershipOver(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := trio(t)
	leader := leaderOf(t, peers)
	others := othersThan(peers, leader)
	led := make(chan string, 16)
	ctx, cancel := context.WithCancel(t.Context())
	var leading sync.WaitGroup
	for _, p := range others {
		leading.Go(func() {
			_ = p.Lead(ctx, func(ctx context.Context) error {
				led <- p.ID()
				<-ctx.Done()
				return nil
			})
		})
	}
	// Raft gives a transfer up after an election timeout, and a busy machine can
	// make any peer miss its leader: then it is tried again.
	eventually(t, "the next term is another's, without an election in between", func() string {
		if !leader.Leads() {
			_ = leaderOf(t, peers).handOver(t.Context()) // until it is the turn of leader again
			return "it lost the leadership"
		}
		for len(led) > 0 {
			<-led // of an earlier try
		}
		term := leader.Status().Term
		if err := leader.handOver(t.Context()); err != nil {
			return err.Error()
		}
		next := peers[<-led]
		if now := next.Status().Term; now != term+1 {
			return fmt.Sprintf("the terms went from %d to %d", term, now)
		}
		return ""
	})
	cancel()
	leading.Wait()
}

func TestCallsOfTheRoomsAbove(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := trio(t)
	leader := leaderOf(t, peers)
	follower := othersThan(peers, leader)[0]
	for _, p := range peers {
		p.Handle("echo", func(_ context.Context, from string, in json.RawMessage) (any, error) {
			return from + " said " + string(in) + " to " + p.ID(), nil
		})
		p.Handle("wait", func(ctx context.Context, _ string, _ json.RawMessage) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
	}
	var answer string
	if err := follower.CallLeader(t.Context(), "echo", 5, &answer); err != nil || answer != follower.ID()+" said 5 to "+leader.ID() {
		t.Errorf("%q, %v", answer, err)
	}
	if err := leader.CallLeader(t.Context(), "echo", "me", &answer); err != nil || answer != leader.ID()+` said "me" to `+leader.ID() {
		t.Errorf("%q, %v", answer, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := follower.CallLeader(ctx, "wait", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call longer than its deadline: %v", err)
	}
	if err := follower.Call(t.Context(), "nobody", "echo", nil, nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a call of nobody: %v", err)
	}
	if err := follower.CallLeader(t.Context(), "unknown", nil, nil); !errors.Is(err, errNoMethod) {
		t.Errorf("an unknown call: %v", err)
	}
	polled := make(chan error, 1)
	go func() { polled <- follower.CallLeader(t.Context(), "wait", nil, nil) }()
	closePeer(t, leader)
	if err := <-polled; err == nil {
		t.Error("a long poll outlived its leader")
	}
}
