package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"millrace/cluster"
	"millrace/job"
)

func TestAnOrganisationIsMadeWithItsKeyAndLimits(t *testing.T) {
	f := newFixture(t)
	var made struct {
		ID     string
		Weight float64
		Key    struct{ ID, Key, Role string }
	}
	created := f.want(http.StatusCreated, f.do("default/admin", "POST", organisationsPath, `{"id": "acme-2"}`))
	if err := json.Unmarshal([]byte(created.body), &made); err != nil || made.ID != "acme-2" || made.Weight != 1 || made.Key.Role != "admin" {
		t.Fatalf("%v: %s", err, created.body)
	}
	if at := created.header.Get("Location"); at != organisationsPath+"acme-2/" {
		t.Errorf("it is said to be at %s", at)
	}
	f.keys["acme"] = made.Key.Key
	f.want(http.StatusCreated, f.do("acme", "POST", "/api/v1/acme-2/transcoding_jobs/", request("a")))
	f.want(http.StatusNotFound, f.do("acme", "GET", "/api/v1/default/limits/", ""))
	f.want(http.StatusNotFound, f.do("default/admin", "GET", "/api/v1/acme-2/limits/", ""))

	again := f.want(http.StatusConflict, f.do("default/admin", "POST", organisationsPath, `{"id": "acme-2"}`)).members(t)
	if again["code"] != "organisation_exists" {
		t.Errorf("a second time: %v", again)
	}
	list := f.want(http.StatusOK, f.do("default/read", "GET", organisationsPath, "")).members(t)
	if list["count"] != 3.0 || strings.Contains(fmt.Sprint(list), "mr_") {
		t.Errorf("listed: %v", list)
	}
	for _, id := range []string{`""`, `"cluster"`, `"Acme"`, `"a/b"`, `"-a"`, `"é"`, `1`, `"` + strings.Repeat("a", 64) + `"`} {
		refused := f.want(http.StatusBadRequest, f.do("default/admin", "POST", organisationsPath, `{"id": `+id+`}`)).members(t)
		if refused["id"] == nil {
			t.Errorf("%s: %v", id, refused)
		}
	}
}

func TestLimitsAreSetByTheOperatorAndSeenByTheOrganisation(t *testing.T) {
	f := newFixture(t)
	const limits = organisationsPath + "other/limits/"
	unlimited := f.want(http.StatusOK, f.do("other/read", "GET", "/api/v1/other/limits/", "")).members(t)
	if unlimited["weight"] != 1.0 || unlimited["max_running"] != nil || unlimited["usage"].(map[string]any)["minutes_today"] != nil {
		t.Errorf("without limits: %v", unlimited)
	}
	set := f.want(http.StatusOK, f.do("default/admin", "PUT", limits, `{"weight": 2.5, "max_running": 3, "max_queued": 2e0, "minutes_per_day": 90}`))
	f.want(http.StatusCreated, f.do("other/submit", "POST", "/api/v1/other/transcoding_jobs/", request("a")))
	own := f.want(http.StatusOK, f.do("other/read", "GET", "/api/v1/other/limits", ""))
	golden(t, "limits.json", own.body)
	if seen := f.want(http.StatusOK, f.do("default/read", "GET", limits, "")); seen.body != own.body {
		t.Errorf("the operator sees %s, the organisation %s", seen.body, own.body)
	}
	// What was read can be put back.
	if back := f.want(http.StatusOK, f.do("default/admin", "PUT", limits, set.body)); !strings.Contains(back.body, `"max_queued":2`) {
		t.Errorf("put back: %s", back.body)
	}
	// What isn't said is no limit any more.
	freed := f.want(http.StatusOK, f.do("default/admin", "PUT", limits, `{"max_running": null}`)).members(t)
	if freed["weight"] != 1.0 || freed["max_running"] != nil || freed["max_queued"] != nil || freed["minutes_per_day"] != nil {
		t.Errorf("freed: %v", freed)
	}
	for _, bad := range []string{`{"weight": 0}`, `{"weight": 101}`, `{"weight": null}`, `{"max_running": 0}`, `{"max_queued": 1.5}`, `{"minutes_per_day": -1}`, `{"minutes_per_day": 1e10}`, `{"minutes": 1}`} {
		f.want(http.StatusBadRequest, f.do("default/admin", "PUT", limits, bad))
	}
	f.want(http.StatusNotFound, f.do("default/admin", "PUT", organisationsPath+"nobody/limits/", `{}`))
}

func TestMinutesOfTodayAreThoseOfJobsThatHaveBegun(t *testing.T) {
	f := newFixture(t)
	f.want(http.StatusOK, f.do("default/admin", "PUT", organisationsPath+"default/limits/", `{"minutes_per_day": 90}`))
	today := func() any {
		return f.want(http.StatusOK, f.do("default/read", "GET", "/api/v1/default/limits/", "")).members(t)["usage"].(map[string]any)["minutes_today"]
	}
	id := f.create("a").ID
	ref := f.start(id)
	timeline := job.Timeline{Rate: job.Rational{Num: 25, Den: 1}, Frames: 90 * 25, SegmentFrames: 100}
	chunks, err := timeline.Cut([]int{timeline.Segments()})
	if err != nil {
		t.Fatal(err)
	}
	plan := job.Plan{Timeline: timeline, Chunks: chunks, Renditions: []job.Rendition{{Name: "240p", Encoder: "libx264"}}}
	f.propose(cluster.PlanJob{Ref: ref, Plan: plan, Tasks: job.PlanTasks(id, job.Spec{}, plan), At: f.clock.now()})
	if minutes := today(); minutes != 0.0 {
		t.Errorf("before it began: %v", minutes)
	}
	f.propose(cluster.StartAttempts{At: f.clock.now(), Assignments: []cluster.JobAssignment{{
		Job: id, Assignment: job.Assignment{Task: job.EncodeTaskID(0), Attempt: 1, Node: "n", Session: "s", Device: "cpu"}}}})
	if minutes := today(); minutes != 1.5 {
		t.Errorf("when it had begun: %v", minutes)
	}
	f.clock.advance(24 * time.Hour)
	if minutes := today(); minutes != 0.0 {
		t.Errorf("the next day: %v", minutes)
	}
}

func TestKeysAreMadeListedAndRevoked(t *testing.T) {
	f := newFixture(t)
	const keys = organisationsPath + "other/keys/"
	made := f.want(http.StatusCreated, f.do("default/admin", "POST", keys, `{"role": "read", "label": "the dashboard"}`)).members(t)
	f.keys["made"] = made["key"].(string)
	f.want(http.StatusOK, f.do("made", "GET", "/api/v1/other/limits/", ""))
	f.want(http.StatusForbidden, f.do("made", "POST", "/api/v1/other/transcoding_jobs/", request("a")))
	if byDefault := f.want(http.StatusCreated, f.do("default/admin", "POST", keys, `{}`)).members(t); byDefault["role"] != "submit" {
		t.Errorf("without a role: %v", byDefault)
	}
	list := f.want(http.StatusOK, f.do("default/admin", "GET", keys, ""))
	if !strings.Contains(list.body, "the dashboard") || strings.Contains(list.body, "mr_") {
		t.Errorf("listed: %s", list.body)
	}
	id := made["id"].(string)
	f.want(http.StatusNotFound, f.do("default/admin", "DELETE", organisationsPath+"default/keys/"+id+"/", ""))
	f.want(http.StatusOK, f.do("default/admin", "DELETE", keys+id+"/", ""))
	f.want(http.StatusUnauthorized, f.do("made", "GET", "/api/v1/other/limits/", ""))
	f.want(http.StatusNotFound, f.do("default/admin", "POST", organisationsPath+"nobody/keys/", `{}`))
	f.want(http.StatusNotFound, f.do("default/admin", "GET", organisationsPath+"nobody/keys/", ""))
	f.want(http.StatusBadRequest, f.do("default/admin", "POST", keys, `{"role": "root"}`))

	for _, key := range f.peer.Stale().Keys("default") {
		if key.Role == cluster.RoleAdmin {
			refused := f.want(http.StatusConflict, f.do("default/admin", "DELETE", organisationsPath+"default/keys/"+key.ID+"/", "")).members(t)
			if refused["code"] != "last_admin_key" {
				t.Errorf("refused: %v", refused)
			}
		}
	}
}

// refusing is a state that takes no command.
type refusing struct {
	State
	err error
}

func (r refusing) Propose(context.Context, cluster.Command) (any, error) { return nil, r.err }

func TestLimitsWaitForTheLastPeersUpgrade(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.State = refusing{c.State, cluster.ErrUpgrading} })
	refused := f.want(http.StatusServiceUnavailable, f.do("default/admin", "PUT", organisationsPath+"other/limits/", `{}`))
	if refused.members(t)["code"] != "upgrading" || refused.header.Get("Retry-After") == "" {
		t.Errorf("refused: %s", refused.body)
	}
}

func TestTheLeadersMetricsTellOfTheBusiestOrganisations(t *testing.T) {
	f, r := newRack(t)
	f.want(http.StatusOK, f.do("default/admin", "PUT", organisationsPath+"other/limits/", `{}`))
	f.want(http.StatusCreated, f.do("other/submit", "POST", "/api/v1/other/transcoding_jobs/", request("a")))
	got := f.do("", "GET", "/metrics", "").body
	for _, want := range []string{
		"millrace_organisations 2", `millrace_organisation_queued_jobs{organisation="other"} 1`, `millrace_organisation_running_jobs{organisation="other"} 0`,
		`millrace_organisation_minutes_today{organisation="other"} 0`, `millrace_organisation_queued_jobs{organisation="default"} 0`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
	if strings.Contains(got, `minutes_today{organisation="default"}`) {
		t.Error("minutes that aren't counted are told")
	}
	for i := range maxOrganisationSeries {
		f.propose(cluster.CreateOrganisation{Organisation: cluster.Organisation{ID: fmt.Sprintf("a%d", i), Created: noon}})
	}
	got = f.do("", "GET", "/metrics", "").body
	if series := strings.Count(got, "millrace_organisation_queued_jobs{"); series != maxOrganisationSeries || !strings.Contains(got, `queued_jobs{organisation="other"} 1`) {
		t.Errorf("%d series for more organisations", series)
	}
	r.status.Leader = &Member{ID: "another"}
	if strings.Contains(f.do("", "GET", "/metrics", "").body, "millrace_organisation") {
		t.Error("another than the leader tells")
	}
}
