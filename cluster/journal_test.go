package cluster

import (
	"fmt"
	"slices"
	"testing"

	"millrace/job"
)

func TestAJournalTellsWhatChangedBetweenTwoStates(t *testing.T) {
	j := &journal{from: 10}
	j.add(11, []job.ID{"a", "b"})
	j.add(14, []job.ID{"b", "c", "c"})
	j.add(20, []job.ID{"d"})
	for _, want := range []struct {
		after, upTo uint64
		jobs        []job.ID
		known       bool
	}{
		{9, 20, nil, false},
		{10, 20, []job.ID{"a", "b", "c", "d"}, true},
		{10, 13, []job.ID{"a", "b"}, true},
		{11, 14, []job.ID{"b", "c"}, true},
		{12, 19, []job.ID{"b", "c"}, true},
		{14, 14, nil, true},
		{20, 25, nil, true},
		{20, 15, nil, true},
	} {
		jobs, known := j.between(want.after, want.upTo)
		if known != want.known || !slices.Equal(jobs, want.jobs) {
			t.Errorf("after %d up to %d it tells %v, %t, want %v, %t", want.after, want.upTo, jobs, known, want.jobs, want.known)
		}
	}
}

func TestAJournalForgetsWholeBatchesAndSaysSo(t *testing.T) {
	j := &journal{}
	const batch = 3
	for index := uint64(1); index <= journalLength; index++ {
		var jobs []job.ID
		for i := range batch {
			jobs = append(jobs, job.ID(fmt.Sprint(index, "/", i)))
		}
		j.add(index, jobs)
		if len(j.touched) > 2*journalLength+batch {
			t.Fatalf("it holds %d changes", len(j.touched))
		}
	}
	if j.from == 0 {
		t.Fatal("it has forgotten nothing: the test sees nothing")
	}
	if _, known := j.between(j.from-1, journalLength); known {
		t.Error("it tells of what it has forgotten")
	}
	jobs, known := j.between(j.from, journalLength)
	if want := batch * (journalLength - int(j.from)); !known || len(jobs) != want {
		t.Errorf("it tells of %d changes, %t, want %d", len(jobs), known, want)
	}
}

func TestAViewOfARestoredStateTellsOfNoChangeBeforeIt(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("one"))
	b.planned("one", jobA)
	before := b.view()
	b.m.load(before.db, newProposals(nil), before.index)
	if _, _, known := b.view().ChangedJobs(before.index - 1); known {
		t.Error("a state that was just restored tells of changes that it didn't see")
	}
	if changed, gone, known := b.view().ChangedJobs(before.index); !known || len(changed)+len(gone) > 0 {
		t.Errorf("since the restore these changed: %v, %v, %t", changed, gone, known)
	}
	if changed, _, known := before.ChangedJobs(0); !known || len(changed) != 1 || changed[0].ID != jobA {
		t.Errorf("a view from before tells of %v, %t", changed, known)
	}
}
