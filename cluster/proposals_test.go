package cluster

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
)

func TestAProposalTriedTwiceIsAppliedOnce(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := trio(t)
	leader := leaderOf(t, peers)
	follower := othersThan(peers, leader)[0]
	propose[any](t, follower, createOrg("default"))

	put := PutWebhook{Webhook{ID: "h", Org: "default", URL: "https://example.com/", Created: noon}}
	entry, err := encodeProposal(put, proposal{ID: "one", Base: follower.Stale().Index()})
	if err != nil {
		t.Fatal(err)
	}
	answered := follower.machine.waiting.expect("one")
	if err := follower.submitTo(t.Context(), leader.ID(), entry.Data); err != nil {
		t.Fatal(err)
	}
	if a := <-answered; a.err != nil {
		t.Fatal(a.err)
	}
	propose[any](t, leader, DeleteWebhook{Org: "default", ID: "h"})
	// The first acknowledgement was lost, say, and the leader with it.
	eventually(t, "another leader", func() string { // under load raft gives a try up
		if err := leader.handOver(t.Context()); err != nil && leader.Leads() {
			return err.Error()
		}
		return ""
	})
	if _, err := overElections(t, func() (any, error) { return nil, follower.submit(t.Context(), entry.Data) }); err != nil {
		t.Fatal(err)
	}
	for id, p := range peers {
		if _, ok := read(t, p).Webhook("default", "h"); ok {
			t.Errorf("%s has the webhook again: the command was applied twice", id)
		}
	}

	late, err := encodeProposal(createOrg("late"), proposal{ID: "late"})
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine()
	late.Index, late.Type = proposalWindow+1, raft.LogCommand
	if err := m.Apply(&late).(answer).err; !errors.Is(err, ErrNoLeader) {
		t.Errorf("a proposal that came after the window: %v", err)
	}
}

func TestTheProposalWindowForgetsByIndex(t *testing.T) {
	m := newMachine()
	apply := func(index uint64, of proposal) error {
		entry, err := encodeProposal(createOrg(of.ID), of)
		if err != nil {
			t.Fatal(err)
		}
		entry.Index, entry.Type = index, raft.LogCommand
		return m.Apply(&entry).(answer).err
	}
	if err := apply(1, proposal{ID: "one"}); err != nil {
		t.Fatal(err)
	}
	if err := apply(2, proposal{ID: "one"}); !errors.Is(err, errUncertain) {
		t.Errorf("again: %v", err)
	}
	if err := apply(proposalWindow+2, proposal{ID: "two", Base: proposalWindow}); err != nil {
		t.Fatal(err)
	}
	before := m.current.Load()
	if slices.ContainsFunc(before.proposals, func(row proposalRow) bool { return row.ID == "one" }) {
		t.Error("a proposal beyond the window is still known")
	}
	if err := apply(proposalWindow+3, proposal{ID: "one"}); !errors.Is(err, ErrNoLeader) {
		t.Errorf("a forgotten proposal again: %v", err)
	}
	if len(before.proposals) != 1 || before.proposals[0] != (proposalRow{ID: "two", Index: proposalWindow + 2}) {
		t.Errorf("an older view's proposals are now %+v", before.proposals)
	}
}

func TestAProposerWhoseCommandCameInASnapshotIsTold(t *testing.T) {
	leader := newMachine()
	entry, err := encodeProposal(createOrg("default"), proposal{ID: "one"})
	if err != nil {
		t.Fatal(err)
	}
	entry.Index, entry.Type = 1, raft.LogCommand
	leader.Apply(&entry)
	var state bytes.Buffer
	if err := writeSnapshot(&state, leader.current.Load()); err != nil {
		t.Fatal(err)
	}
	follower := newMachine()
	answered, other := follower.waiting.expect("one"), follower.waiting.expect("two")
	if err := follower.Restore(io.NopCloser(&state)); err != nil {
		t.Fatal(err)
	}
	if a := <-answered; !errors.Is(a.err, ErrNoLeader) {
		t.Errorf("told %v", a)
	}
	if len(other) > 0 {
		t.Error("told another proposer")
	}
	// And the state still knows it, so a late try isn't applied.
	entry.Index = 2
	if err := follower.Apply(&entry).(answer).err; !errors.Is(err, errUncertain) {
		t.Errorf("applied twice: %v", err)
	}
}
