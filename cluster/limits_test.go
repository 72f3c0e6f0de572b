package cluster

import (
	"errors"
	"testing"

	"millrace/job"
)

func TestAnOrganisationsQueueHasItsLimit(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	b.do(createOrg("other"))
	if org := b.do(SetLimits{Org: "default", Limits: Limits{Weight: 2, MaxRunning: 3, MaxQueued: 2}}).(*Organisation); org.MaxQueued != 2 || org.Created.IsZero() {
		t.Errorf("limited: %+v", org)
	}
	for _, id := range []job.ID{"j1", "j2"} {
		b.do(createJob("default", id))
	}
	if _, err := b.try(createJob("default", "j3")); !errors.Is(err, ErrQueueFull) {
		t.Fatalf("a third job in a queue for two: %v", err)
	}
	b.do(createJob("default", "j1")) // the same command again is no new job
	b.do(createJob("other", "j4"))   // another's queue is another's

	b.do(CancelJob{Org: "default", ID: "j1", At: noon})
	b.do(createJob("default", "j3"))
	b.do(SetLimits{Org: "default"})
	b.do(createJob("default", "j5"))
	if org, _ := b.view().Organisation("default"); org.Limits != (Limits{}) {
		t.Errorf("freed: %+v", org)
	}
}

func TestLimitsThatNobodyCanHaveAreRefused(t *testing.T) {
	b := newBench(t)
	b.do(createOrg("default"))
	for _, limits := range []Limits{{Weight: -1}, {Weight: 101}, {MaxRunning: -1}, {MaxQueued: -1}} {
		if _, err := b.try(SetLimits{Org: "default", Limits: limits}); !errors.Is(err, ErrLimits) {
			t.Errorf("%+v: %v", limits, err)
		}
	}
	if _, err := b.try(SetLimits{Org: "nobody"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("of nobody: %v", err)
	}
}
