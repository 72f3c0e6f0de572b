package cluster

import (
	"errors"
	"testing"

	"millrace/job"
)

func TestWhatADeposedLeaderDecidedIsNotPassedOn(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := trio(t)
	leader := leaderOf(t, peers)
	if _, err := overElections(t, func() (any, error) { return leaderOf(t, peers).Office().Propose(t.Context(), createOrg("default")) }); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another leader", func() string { // under load raft gives a try up
		if err := leader.handOver(t.Context()); err != nil && leader.Leads() {
			return err.Error()
		}
		return ""
	})
	eventually(t, "it knows", func() string { return map[bool]string{true: "it still leads"}[leader.Leads()] })
	if _, err := leader.Office().Propose(t.Context(), createJob("default", jobA)); !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrNoLeader) {
		t.Errorf("its own decision: %v", err)
	}
	propose[*job.Job](t, leader, createJob("default", jobB)) // a client's wish
	if _, made := read(t, leader).Job("default", jobA); made {
		t.Error("its decision was applied under the next leader")
	}
}

func TestAnIdempotencyKeyStandsForItsJobUnderTheNextLeader(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := trio(t)
	propose[any](t, peers["a"], createOrg("default"))
	leader := leaderOf(t, peers)
	request := createJob("default", jobA)
	request.IdempotencyKey, request.RequestHash = "once", "hash"
	propose[*job.Job](t, leader, request)
	cutOff(t, leader) // as if killed before its client heard
	for _, p := range othersThan(peers, leader) {
		again := request
		again.ID, again.At = jobB, request.At.Add(IdempotencyWindow/2)
		if made := propose[*job.Job](t, p, again); made.ID != jobA {
			t.Errorf("%s made the job %s", p.ID(), made.ID)
		}
		again.RequestHash = "another"
		if _, err := overElections(t, func() (any, error) { return p.Propose(t.Context(), again) }); !errors.Is(err, ErrIdempotencyConflict) {
			t.Errorf("%s takes the key for another request: %v", p.ID(), err)
		}
		if n := read(t, p).Counts()[job.Queued]; n != 1 {
			t.Errorf("%s has %d jobs", p.ID(), n)
		}
	}
}
