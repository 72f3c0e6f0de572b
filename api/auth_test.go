package api

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"millrace/cluster"
)

func TestNewKeysAreLongAndNeverTheSame(t *testing.T) {
	first, key, err := NewKey(rand.Reader, "default", cluster.RoleRead, "laptop", noon)
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := NewKey(rand.Reader, "default", cluster.RoleRead, "laptop", noon)
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != 46 || first[:3] != "mr_" || first == second {
		t.Errorf("drew %q and %q", first, second)
	}
	if !bytes.Equal(key.SHA256, HashKey(first)) || key.Label != "laptop" || key.Org != "default" {
		t.Errorf("got %+v", key)
	}
}

func TestNobodyGetsInWithoutAGoodKey(t *testing.T) {
	f := newFixture(t)
	good := f.keys["default/read"]
	for _, c := range []struct {
		name, header string
		status       int
	}{
		{"none", "", 401},
		{"Token", "Token " + good, 200},
		{"token", "token " + good, 200},
		{"Bearer", "Bearer " + good, 200},
		{"two spaces", "Token  " + good, 200},
		{"Basic", "Basic " + good, 401},
		{"key alone", good, 401},
		{"scheme alone", "Token", 401},
		{"unknown", "Token mr_x", 401},
		{"one character less", "Token " + good[:len(good)-1], 401},
		{"its hash", "Token " + string(HashKey(good)), 401},
	} {
		request := httptest.NewRequestWithContext(t.Context(), "GET", jobsPath, nil)
		if c.header != "" {
			request.Header.Set("Authorization", c.header)
		}
		recorded := httptest.NewRecorder()
		f.server.ServeHTTP(recorded, request)
		if recorded.Code != c.status {
			t.Errorf("%s: got %d, want %d", c.name, recorded.Code, c.status)
		}
		if recorded.Code == 401 && recorded.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", c.name)
		}
	}
}

func TestRevokedKeyIsAnUnknownKey(t *testing.T) {
	f := newFixture(t)
	key, _ := f.peer.Stale().KeyByHash(HashKey(f.keys["default/read"]))
	f.want(http.StatusOK, f.do("default/read", "GET", jobsPath, ""))
	f.propose(cluster.RevokeKey{Org: "default", ID: key.ID, At: noon})
	revoked := f.want(http.StatusUnauthorized, f.do("default/read", "GET", jobsPath, ""))
	unknown := f.do("", "GET", jobsPath, "", "Authorization: Token mr_unknown")
	if !reflect.DeepEqual(revoked, unknown) {
		t.Errorf("a revoked key is answered %v, an unknown one %v", revoked, unknown)
	}
}

func TestEachRoleMayDoItsOwnAndWhatTheLowerOnesMay(t *testing.T) {
	f := newFixture(t)
	made := f.create("roles")
	f.fail(made.ID)
	for _, c := range []struct {
		method, path, body string
		lowest             cluster.Role
	}{
		{"GET", jobsPath, "", cluster.RoleRead},
		{"GET", jobsPath + string(made.ID), "", cluster.RoleRead},
		{"POST", jobsPath, "{}", cluster.RoleSubmit},
		{"DELETE", jobsPath + string(made.ID), "", cluster.RoleSubmit},
		{"POST", jobsPath + string(made.ID) + "/retry", `{"x":1}`, cluster.RoleSubmit},
		{"GET", "/api/v1/default/webhooks/", "", cluster.RoleRead},
		{"POST", "/api/v1/default/webhooks/", "{}", cluster.RoleAdmin},
		{"PUT", "/api/v1/default/webhooks/x/", "{}", cluster.RoleAdmin},
		{"DELETE", "/api/v1/default/webhooks/x/", "", cluster.RoleAdmin},
		{"GET", "/api/v1/cluster/", "", cluster.RoleRead},
		{"GET", "/api/v1/cluster/nodes/", "", cluster.RoleRead},
		{"GET", "/api/v1/cluster/nodes/x/", "", cluster.RoleRead},
		{"DELETE", "/api/v1/cluster/nodes/x/", "", cluster.RoleAdmin},
		{"POST", "/api/v1/cluster/nodes/x/drain/", "", cluster.RoleAdmin},
		{"POST", "/api/v1/cluster/nodes/x/resume/", "", cluster.RoleAdmin},
		{"POST", "/api/v1/cluster/nodes/x/probe/", "", cluster.RoleAdmin},
		{"GET", "/api/v1/cluster/backup/", "", cluster.RoleAdmin},
	} {
		for role := range rank {
			got := f.do("default/"+string(role), c.method, c.path, c.body)
			if refused := got.status == http.StatusForbidden; refused != (rank[role] < rank[c.lowest]) {
				t.Errorf("%s %s by %s: got %d", c.method, c.path, role, got.status)
			}
		}
	}
}

// TestAnothersThingsAreAnsweredLikeNothing compares whole answers, headers
// included.
func TestAnothersThingsAreAnsweredLikeNothing(t *testing.T) {
	f := newFixture(t)
	theirs := f.create("theirs")
	webhook := f.want(http.StatusCreated, f.do("default/admin", "POST", "/api/v1/default/webhooks/", `{"url":"https://e.com/","secret_token":"s"}`)).members(t)["id"].(string)
	nothing := f.want(http.StatusNotFound, f.do("other/admin", "GET", "/api/v1/other/transcoding_jobs/11111111111/", ""))
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/api/v1/other/transcoding_jobs/" + string(theirs.ID) + "/", ""},
		{"GET", "/api/v1/other/transcoding_jobs/not-an-id/", ""},
		{"GET", "/api/v1/other/transcoding_jobs/%00/", ""},
		{"GET", "/api/v1/other/transcoding_jobs/0OIl0OIl0OI/", ""},
		{"GET", "/api/v1/default/transcoding_jobs/" + string(theirs.ID) + "/", ""},
		{"GET", "/api/v1/default/transcoding_jobs/11111111111/", ""},
		{"GET", "/api/v1/default/transcoding_jobs/", ""},
		{"GET", "/api/v1/nobody/transcoding_jobs/", ""},
		{"POST", "/api/v1/default/transcoding_jobs/", request("mine")},
		{"POST", "/api/v1/nobody/transcoding_jobs/", "not even JSON"},
		{"DELETE", "/api/v1/other/transcoding_jobs/" + string(theirs.ID) + "/", ""},
		{"DELETE", "/api/v1/default/transcoding_jobs/" + string(theirs.ID) + "/", ""},
		{"POST", "/api/v1/other/transcoding_jobs/" + string(theirs.ID) + "/retry/", ""},
		{"GET", "/api/v1/other/transcoding_jobs/" + string(theirs.ID) + "/events/", ""},
		{"GET", "/api/v1/default/transcoding_jobs/" + string(theirs.ID) + "/events/", ""},
		{"GET", "/api/v1/default/events/", ""},
		{"GET", "/api/v1/default/webhooks/", ""},
		{"POST", "/api/v1/default/webhooks/", `{"url":"https://e.com/","secret_token":"s"}`},
		{"GET", "/api/v1/other/webhooks/" + webhook + "/", ""},
		{"PUT", "/api/v1/other/webhooks/" + webhook + "/", `{"url":"https://evil.com/","secret_token":"s"}`},
		{"DELETE", "/api/v1/other/webhooks/" + webhook + "/", ""},
		{"GET", "/api/v1/other/webhooks/" + webhook + "/deliveries/", ""},
		{"POST", "/api/v1/other/webhooks/" + webhook + "/deliveries/evt_1/redeliver/", ""},
		{"GET", "/api/v1/other/nothing/", ""},
	} {
		if got := f.do("other/admin", c.method, c.path, c.body); !reflect.DeepEqual(got, nothing) {
			t.Errorf("%s %s was answered %v, nothing is answered %v", c.method, c.path, got, nothing)
		}
	}
	if left := f.want(http.StatusOK, f.do("default/read", "GET", jobsPath+string(theirs.ID), "")); f.view(left).Status != "Queued" {
		t.Errorf("the job was changed: %s", left.body)
	}
}

// TestNoOrganisationIsCalledAsThePathsHaveIt: such a one could never be reached.
func TestNoOrganisationIsCalledAsThePathsHaveIt(t *testing.T) {
	f := newFixture(t)
	for _, route := range (&Server{}).routes() {
		rest, versioned := strings.CutPrefix(route.path, "/api/v1/")
		first, _, _ := strings.Cut(rest, "/")
		if !versioned || first == "{org}" {
			continue
		}
		_, err := f.peer.Propose(t.Context(), cluster.CreateOrganisation{Organisation: cluster.Organisation{ID: first, Created: noon}})
		if !errors.Is(err, cluster.ErrReserved) {
			t.Errorf("an organisation may be called %s: %v", first, err)
		}
	}
}
