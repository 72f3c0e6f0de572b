package node

import (
	"strings"
	"testing"
	"time"

	"millrace/cluster"
	"millrace/job"
)

func TestAnOrganisationRunsNoMoreJobsThanItMay(t *testing.T) {
	const second job.ID = "5KQfnXCg8Qi"
	r := newRig(t)
	r.propose(cluster.SetLimits{Org: "o", Limits: cluster.Limits{MaxRunning: 1}})
	spec := r.record().Job.Spec
	spec.Output = job.Location{URL: "file:///other/"}
	r.propose(cluster.CreateJob{ID: second, Org: "o", At: r.time.Add(time.Second), Spec: spec})
	r.poll("s1", nil)
	r.poll("s1", nil)
	if why := r.rack.engine.Explain(second); len(why) != 1 || !strings.Contains(why[0].Reason, "quota is 1 jobs at once") {
		t.Errorf("the second job: %+v", why)
	}
	r.propose(cluster.SetLimits{Org: "o"})
	r.poll("s1", nil)
	if why := r.rack.engine.Explain(second); len(why) != 1 || !why[0].Running {
		t.Errorf("the second job, once the limit is lifted: %+v", why)
	}
}
