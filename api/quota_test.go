package api

import (
	"net/http"
	"testing"

	"millrace/cluster"
)

func TestAFullQueueRefusesJobsAndSaysWhenToComeBack(t *testing.T) {
	f := newFixture(t)
	f.propose(cluster.SetLimits{Org: "default", Limits: cluster.Limits{MaxQueued: 1}})
	f.create("a")
	refused := f.want(http.StatusTooManyRequests, f.do("default/submit", "POST", jobsPath, request("b")))
	if code := refused.members(t)["code"]; code != "quota_exceeded" || refused.header.Get("Retry-After") == "" {
		t.Errorf("refused with %v, Retry-After %q", code, refused.header.Get("Retry-After"))
	}
	f.view(f.want(http.StatusCreated, f.do("other/submit", "POST", "/api/v1/other/transcoding_jobs/", request("c"))))
}
