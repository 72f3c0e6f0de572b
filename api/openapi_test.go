package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"millrace/job"
)

func loadDocument(t *testing.T) *openapi3.T {
	t.Helper()
	document, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func TestDocumentIsValidOpenAPI(t *testing.T) {
	if err := loadDocument(t).Validate(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEveryRouteIsInTheDocumentAndNothingElse(t *testing.T) {
	document := loadDocument(t)
	served := map[string]bool{}
	for _, route := range (&Server{}).routes() {
		item := document.Paths.Value(route.path)
		if item == nil {
			t.Errorf("%s is not in openapi.json", route.path)
			continue
		}
		served[route.path] = true
		for method, endpoint := range route.methods {
			operation := item.GetOperation(method)
			if operation == nil {
				t.Errorf("%s %s is not in openapi.json", method, route.path)
				continue
			}
			if endpoint.role == "" {
				if operation.Security == nil || len(*operation.Security) != 0 {
					t.Errorf("%s %s needs no key, but openapi.json says so", method, route.path)
				}
			} else if !strings.Contains(operation.Description, "role "+string(endpoint.role)+" ") {
				t.Errorf("%s %s needs the role %s, but openapi.json says %q", method, route.path, endpoint.role, operation.Description)
			}
		}
		if documented := len(item.Operations()); documented != len(route.methods) {
			t.Errorf("%s: openapi.json has %d methods, %d are served", route.path, documented, len(route.methods))
		}
	}
	for path := range document.Paths.Map() {
		if !served[path] {
			t.Errorf("openapi.json has %s, which isn't served", path)
		}
	}
}

func TestDocumentKnowsTheVocabulary(t *testing.T) {
	rules, err := loadSchema(openAPI, "CreateJob")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, resolution := range job.Resolutions {
		names = append(names, resolution.String())
	}
	for field, want := range map[string][]string{
		"resolutions": names,
		"outputs":     {string(job.HLS), string(job.DASH), string(job.MP4), string(job.Thumbnails)},
		"codec":       {string(job.H264), string(job.HEVC), string(job.AV1)},
		"quality":     {string(job.Economy), string(job.Standard), string(job.High)},
	} {
		got := rules.Properties[field]
		if got.Items != nil {
			got = got.Items
		}
		if !slices.Equal(got.Enum, want) {
			t.Errorf("%s: openapi.json has %v, the code %v", field, got.Enum, want)
		}
	}
}

func TestUnknownKeywordInARequestSchemaIsRefused(t *testing.T) {
	_, err := loadSchema([]byte(`{"components":{"schemas":{"X":{"type":"object","properties":{"a":{"type":"string","pattern":"x"}}}}}}`), "X")
	if err == nil || !strings.Contains(err.Error(), "pattern") {
		t.Errorf("a keyword that isn't enforced was let through: %v", err)
	}
}

// TestChecksAgreeWithAnotherValidator compares the checks here with those of
// kin-openapi's JSON Schema validator, over values at and beyond each limit.
func TestChecksAgreeWithAnotherValidator(t *testing.T) {
	document := loadDocument(t)
	values := []string{
		`null`, `true`, `1`, `-10`, `-11`, `10`, `11`, `10.5`, `2`, `1.99`, `2.0`, `1e1`, `""`, `"x"`, `"h264"`, `"240p"`,
		`"` + strings.Repeat("é", 255) + `"`, `"` + strings.Repeat("é", 256) + `"`, `"` + strings.Repeat("a", 4097) + `"`,
		`[]`, `["240p"]`, `["240p","240p"]`, `["hls","dash"]`, `["hls","x"]`, `[1]`, `[null]`, `{}`, `{"a":[1,{}]}`,
		`["240p","360p","480p","720p","1080p","1440p","2160p"]`,
	}
	for _, name := range []string{"CreateJob", "RetryJob", "PutWebhook", "CreateOrganisation", "SetLimits", "CreateKey"} {
		rules, err := loadSchema(openAPI, name)
		if err != nil {
			t.Fatal(err)
		}
		schema := document.Components.Schemas[name].Value
		for field, property := range schema.Properties {
			for _, text := range values {
				var value any
				if err := json.Unmarshal([]byte(text), &value); err != nil {
					t.Fatal(err)
				}
				theirs := property.Value.VisitJSON(value, openapi3.EnableJSONSchema2020())
				ours := rules.Properties[field].check([]byte(text))
				if (theirs == nil) != (ours == "") {
					t.Errorf("%s.%s = %.40s: %q here, there %v", name, field, text, ours, theirs)
				}
			}
		}
	}
}

// TestAnswersAreAsDocumented validates real answers of each kind against the
// document.
func TestAnswersAreAsDocumented(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Cluster, c.Control = rackOfThree(), rackOfThree() })
	document := loadDocument(t)
	created := f.create("documented")
	f.fail(created.ID)
	webhook := f.want(201, f.do("default/admin", "POST", "/api/v1/default/webhooks/", `{"url":"https://e.com/","secret_token":"s"}`)).members(t)["id"].(string)
	f.create("documented-2")
	event := ""
	for delivery := range f.peer.Stale().Deliveries("default", webhook) {
		event = delivery.ID
	}
	for _, c := range []struct{ method, route, path, body string }{
		{"GET", "/api/v1/{org}/transcoding_jobs/", jobsPath, ""},
		{"GET", "/api/v1/{org}/transcoding_jobs/", jobsPath + "?page=x", ""},
		{"GET", "/api/v1/{org}/transcoding_jobs/{id}/", jobsPath + string(created.ID) + "/?expand=tasks", ""},
		{"GET", "/api/v1/{org}/transcoding_jobs/{id}/", jobsPath + "x/", ""},
		{"POST", "/api/v1/{org}/transcoding_jobs/{id}/retry/", jobsPath + string(created.ID) + "/retry/", `{"resolutions":["240p"]}`},
		{"DELETE", "/api/v1/{org}/transcoding_jobs/{id}/", jobsPath + string(created.ID) + "/", ""},
		{"POST", "/api/v1/{org}/transcoding_jobs/", jobsPath, `{}`},
		{"GET", "/api/v1/{org}/webhooks/", "/api/v1/default/webhooks/", ""},
		{"GET", "/api/v1/{org}/webhooks/{id}/", "/api/v1/default/webhooks/" + webhook + "/", ""},
		{"GET", "/api/v1/{org}/webhooks/{id}/deliveries/", "/api/v1/default/webhooks/" + webhook + "/deliveries/", ""},
		{"POST", "/api/v1/{org}/webhooks/{id}/deliveries/{event}/redeliver/", "/api/v1/default/webhooks/" + webhook + "/deliveries/" + event + "/redeliver/", ""},
		{"GET", "/api/v1/cluster/", "/api/v1/cluster/", ""},
		{"GET", "/api/v1/cluster/nodes/", "/api/v1/cluster/nodes/", ""},
		{"GET", "/api/v1/cluster/nodes/{node}/", "/api/v1/cluster/nodes/a/", ""},
		{"GET", "/api/v1/cluster/nodes/{node}/", "/api/v1/cluster/nodes/nobody/", ""},
		{"POST", "/api/v1/cluster/nodes/{node}/drain/", "/api/v1/cluster/nodes/b/drain/", ""},
		{"POST", "/api/v1/cluster/nodes/{node}/resume/", "/api/v1/cluster/nodes/b/resume/", "{}"},
		{"POST", "/api/v1/cluster/nodes/{node}/probe/", "/api/v1/cluster/nodes/b/probe/", ""},
		{"POST", "/api/v1/cluster/nodes/{node}/probe/", "/api/v1/cluster/nodes/c/probe/", ""},
		{"DELETE", "/api/v1/cluster/nodes/{node}/", "/api/v1/cluster/nodes/b/", ""},
		{"DELETE", "/api/v1/cluster/nodes/{node}/", "/api/v1/cluster/nodes/c/", ""},
		{"GET", "/api/v1/{org}/limits/", "/api/v1/default/limits/", ""},
		{"POST", "/api/v1/cluster/organisations/", organisationsPath, `{"id": "acme"}`},
		{"POST", "/api/v1/cluster/organisations/", organisationsPath, `{"id": "acme"}`},
		{"GET", "/api/v1/cluster/organisations/", organisationsPath, ""},
		{"GET", "/api/v1/cluster/organisations/{organisation}/", organisationsPath + "acme/", ""},
		{"PUT", "/api/v1/cluster/organisations/{organisation}/limits/", organisationsPath + "acme/limits/", `{"weight": 2, "minutes_per_day": 60}`},
		{"PUT", "/api/v1/cluster/organisations/{organisation}/limits/", organisationsPath + "acme/limits/", `{"weight": 0}`},
		{"GET", "/api/v1/cluster/organisations/{organisation}/limits/", organisationsPath + "acme/limits/", ""},
		{"GET", "/api/v1/cluster/organisations/{organisation}/limits/", organisationsPath + "nobody/limits/", ""},
		{"POST", "/api/v1/cluster/organisations/{organisation}/keys/", organisationsPath + "acme/keys/", `{}`},
		{"GET", "/api/v1/cluster/organisations/{organisation}/keys/", organisationsPath + "acme/keys/", ""},
		{"DELETE", "/api/v1/cluster/organisations/{organisation}/keys/{key}/", organisationsPath + "acme/keys/nothing/", ""},
		{"GET", "/healthz", "/healthz", ""},
		{"GET", "/readyz", "/readyz", ""},
	} {
		got := f.do("default/admin", c.method, c.path, c.body)
		response := document.Paths.Value(c.route).GetOperation(c.method).Responses.Status(got.status)
		if response == nil {
			t.Errorf("%s %s answered %d, which openapi.json doesn't have: %s", c.method, c.path, got.status, got.body)
			continue
		}
		media := response.Value.Content.Get(got.header.Get("Content-Type"))
		if media == nil {
			t.Errorf("%s %s answered a %s", c.method, c.path, got.header.Get("Content-Type"))
			continue
		}
		if err := media.Schema.Value.VisitJSON(any(got.members(t)), openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("%s %s: %v", c.method, c.path, err)
		}
	}
}

func TestServicePagesNeedNoKey(t *testing.T) {
	f := newFixture(t)
	f.create("one")
	for path, says := range map[string]string{
		"/healthz": `"ok"`, "/readyz": `"ready"`, "/openapi.json": `"3.1.0"`, "/": `"millrace"`,
		"/metrics": `millrace_jobs{status="Queued"} 1`, "/readyz/": `"ready"`,
	} {
		got := f.want(http.StatusOK, f.do("", "GET", path, ""))
		if !strings.Contains(got.body, says) {
			t.Errorf("%s doesn't say %s: %.200s", path, says, got.body)
		}
	}
	if got := f.do("", "GET", "/metrics", ""); !strings.Contains(got.body, `millrace_http_requests_total{code="201",method="POST",route="/api/v1/{org}/transcoding_jobs/"} 1`) {
		t.Error("the metrics don't count the request by its route")
	}
}

func TestWrongMethodNamesTheRightOnes(t *testing.T) {
	f := newFixture(t)
	for path, allow := range map[string]string{
		jobsPath:                    "GET, HEAD, POST, OPTIONS",
		jobsPath + "5KQfnXCg8Qh":    "DELETE, GET, HEAD, OPTIONS",
		jobsPath + "x/retry/":       "POST, OPTIONS",
		"/api/v1/default/webhooks/": "GET, HEAD, POST, OPTIONS",
		"/healthz":                  "GET, HEAD, OPTIONS",
	} {
		got := f.want(http.StatusMethodNotAllowed, f.do("", "PATCH", path, ""))
		if got.header.Get("Allow") != allow {
			t.Errorf("%s allows %q, want %q", path, got.header.Get("Allow"), allow)
		}
	}
}

func TestPanicEndsInAnIncidentAndNotInTheServersEnd(t *testing.T) {
	f := newFixture(t)
	f.server.router = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret detail") })
	got := f.want(http.StatusInternalServerError, f.do("", "GET", "/", ""))
	if strings.Contains(got.body, "secret") || !strings.Contains(got.body, "incident") {
		t.Errorf("got %s", got.body)
	}
	f.server.router = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		panic("too late for another answer")
	})
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("the half answer wasn't cut off: %v", err)
		}
	}()
	f.server.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
}
