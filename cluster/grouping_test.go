package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/hashicorp/raft"

	"millrace/job"
)

// grouped makes an entry of commands, each a proposal of its own.
func grouped(t *testing.T, index uint64, commands ...Command) *raft.Log {
	t.Helper()
	var envelopes [][]byte
	for n, command := range commands {
		encoded, err := encodeEnvelope(command, proposal{ID: fmt.Sprintf("P%d-%d", index, n), Base: index - 1})
		if err != nil {
			t.Fatal(err)
		}
		envelopes = append(envelopes, encoded)
	}
	entry := groupOf(envelopes)
	entry.Index, entry.Type = index, raft.LogCommand
	return &entry
}

func TestAGroupIsAppliedInItsOrder(t *testing.T) {
	named := createJob("default", jobA)
	named.Spec.ClientMetadata = json.RawMessage(`{"text":",\n]}"}`)
	entry := grouped(t, 2, named, CancelJob{Org: "default", ID: jobA, At: noon}, createJob("nobody's", jobB), createJob("default", jobB))
	if !json.Valid(entry.Data) {
		t.Errorf("a group is no JSON: %s", entry.Data)
	}
	b := newBench(t)
	b.do(createOrg("default"))
	b.m.ApplyBatch([]*raft.Log{entry})
	cancelled, _ := b.view().Job("default", jobA)
	if cancelled == nil || cancelled.Status != job.Cancelled {
		t.Errorf("the first job is %+v", cancelled)
	}
	if second, _ := b.view().Job("default", jobB); second == nil || second.Revision != 2 {
		t.Errorf("what came after a refusal is %+v", second)
	}
	if n := len(b.m.proposals.rows); n != 4 {
		t.Errorf("%d proposals are remembered", n)
	}
	// Another peer that gets the snapshot remembers them in the same order.
	restored := newBench(t)
	if err := restored.m.Restore(io.NopCloser(bytes.NewReader(b.bytes()))); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(restored.bytes(), b.bytes()) {
		t.Error("restored, it is another state")
	}
}

func TestAProposalThatIsTwiceInAGroupIsAppliedOnce(t *testing.T) {
	put, err := encodeEnvelope(PutWebhook{Webhook{ID: "h", Org: "default", Created: noon}}, proposal{ID: "A"})
	if err != nil {
		t.Fatal(err)
	}
	remove, err := encodeEnvelope(DeleteWebhook{Org: "default", ID: "h"}, proposal{ID: "B"})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	b.do(createOrg("default"))
	entry := groupOf([][]byte{put, remove, put})
	entry.Index, entry.Type = 2, raft.LogCommand
	b.m.ApplyBatch([]*raft.Log{&entry})
	if _, there := b.view().Webhook("default", "h"); there {
		t.Error("it was put twice")
	}
}

func TestOfAGroupThatCantBeReadNothingIsApplied(t *testing.T) {
	good := grouped(t, 2, createOrg("one"), createOrg("two"))
	for name, data := range map[string][]byte{
		"an unknown command": bytes.Replace(good.Data, []byte(`create_organisation","d":{"organisation":{"id":"two"`), []byte(`make_coffee","d":{"organisation":{"id":"two"`), 1),
		"a later version":    bytes.Replace(good.Data, []byte(`{"v":1,"c":"create_organisation","d":{"organisation":{"id":"two"`), []byte(`{"v":99,"c":"create_organisation","d":{"organisation":{"id":"two"`), 1),
		"a group in it":      groupOf([][]byte{bytes.ReplaceAll(good.Data, []byte("\n"), nil)}).Data,
		"nothing":            groupOf(nil).Data,
		"its end missing":    good.Data[:len(good.Data)-1],
	} {
		entry := logOf(data)
		entry.Index, entry.Type = 2, raft.LogCommand
		b := newBench(t)
		b.do(createOrg("before"))
		before := b.bytes()
		if err := b.m.Apply(&entry).(answer).err; !errors.Is(err, ErrHalted) {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(before, b.bytes()) {
			t.Errorf("%s: some of it was applied", name)
		}
	}
}

func TestWhereManyProposalsAreRememberedTheOldestAreRefused(t *testing.T) {
	m := newMachine()
	for n := range maxProposals {
		m.proposals.add(proposalRow{ID: fmt.Sprint(n), Index: uint64(10 + n/64)})
	}
	try := func(of proposal) error {
		entry, err := encodeProposal(createOrg("x"), of)
		if err != nil {
			t.Fatal(err)
		}
		entry.Index, entry.Type = uint64(10+maxProposals/64), raft.LogCommand
		return m.Apply(&entry).(answer).err
	}
	if err := try(proposal{ID: "old", Base: 9}); !errors.Is(err, ErrNoLeader) {
		t.Errorf("one that may have been forgotten: %v", err)
	}
	if err := try(proposal{ID: "new", Base: 10}); err != nil {
		t.Errorf("one that would be remembered: %v", err)
	}
	if n := len(m.proposals.rows); n != maxProposals || len(m.proposals.byID) != n {
		t.Errorf("%d and %d are remembered", n, len(m.proposals.byID))
	}
}

func TestWhatIsProposedTogetherGoesIntoFewEntries(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := trio(t)
	leader := leaderOf(t, peers)
	propose[any](t, leader, createOrg("default"))
	const jobs = 400
	entries := func(prefix string) uint64 {
		before := leader.raft.LastIndex()
		var all sync.WaitGroup
		for n := range jobs {
			all.Go(func() {
				id := job.ID(fmt.Sprintf("%s%010d", prefix, n))
				made, err := overElections(t, func() (any, error) { return leader.Propose(t.Context(), createJob("default", id)) })
				if err != nil || made.(*job.Job).ID != id {
					t.Errorf("%s: %+v, %v", id, made, err)
				}
			})
		}
		all.Wait()
		return leader.raft.LastIndex() - before
	}
	if n := entries("a"); n > jobs/2 {
		t.Errorf("%d jobs took %d entries", jobs, n)
	}
	other := othersThan(peers, leader)[0]
	goneWithVersion(t, peers, other, groupVersion-1)
	if n := entries("b"); n < jobs {
		t.Errorf("one peer knows no groups, and %d jobs took %d entries", jobs, n)
	}
	for id, p := range peers {
		if p == other {
			continue
		}
		if n := read(t, p).Counts()[job.Queued]; n != 2*jobs {
			t.Errorf("%s has %d jobs", id, n)
		}
	}
}

func TestTheCommitterTakesWhatIsWantedAndFits(t *testing.T) {
	p := open(t, quick(t.TempDir()))
	large := bytes.Repeat([]byte("x"), maxGroupBytes/2)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		waiting []submitted
		want    []int // the sizes of the groups
	}{
		"nothing":               {nil, nil},
		"few":                   {[]submitted{{envelope: []byte("a")}, {envelope: []byte("b")}}, []int{2}},
		"many":                  {slices.Repeat([]submitted{{envelope: []byte("a")}}, 2*maxGrouped+1), []int{maxGrouped, maxGrouped, 1}},
		"large ones":            {slices.Repeat([]submitted{{envelope: large}}, 3), []int{2, 1}},
		"too large for a group": {[]submitted{{envelope: []byte("a")}, {envelope: append(large, large...)}, {envelope: []byte("b")}}, []int{1, 1, 1}},
		"with a line break":     {[]submitted{{envelope: []byte("{\n}")}, {envelope: []byte("b")}}, []int{1, 1}},
		"given up meanwhile":    {[]submitted{{ctx: gone, envelope: []byte("a")}, {envelope: []byte("b")}, {ctx: gone, envelope: []byte("c")}}, []int{1}},
	} {
		c := newCommitter(p)
		for _, s := range test.waiting {
			if err := p.begin(); err != nil {
				t.Fatal(err)
			}
			if s.done = make(chan error, 1); s.ctx == nil {
				s.ctx = t.Context()
			}
			c.waiting = append(c.waiting, s)
		}
		var got []int
		for group := c.take(); len(group) > 0; group = c.take() {
			got = append(got, len(group))
			for _, s := range group {
				c.answer(s, nil)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: groups of %v, want %v", name, got, test.want)
		}
	}
}
