package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func FuzzRequestForAJob(f *testing.F) {
	for _, seed := range []string{
		request("x"), with(`"priority":1e1`), with(`"client_metadata":{"a":{"a":1,"a":2}}`), `{"a":`, `[[[`, `{"":"","":""}`,
		with(`"deadline":"2999-01-01T00:00:00Z"`), with(`"requires":["ssd"]`), with(`"idempotency_key":"k"`), with(`"segment_duration":2.5`), with(`"input_url":"s3://b/k?secret_key=x&access_key=y"`),
	} {
		f.Add([]byte(seed))
	}
	rules, err := loadSchema(openAPI, "CreateJob")
	if err != nil {
		f.Fatal(err)
	}
	server := &Server{config: Config{Locations: anywhere{}, Now: time.Now}, createRules: rules}
	f.Fuzz(func(t *testing.T, body []byte) {
		request, err := server.readCreateRequest(body, http.Header{})
		if err != nil {
			recorded := httptest.NewRecorder()
			server.writeProblem(recorded, server.asProblem(httptest.NewRequestWithContext(t.Context(), "POST", "/", nil), err))
			if recorded.Code/100 != 4 || !json.Valid(recorded.Body.Bytes()) || recorded.Body.Len() > 64<<10 {
				t.Fatalf("answered %d %.300s", recorded.Code, recorded.Body)
			}
			return
		}
		if !json.Valid(body) || len(request.Resolutions) == 0 || request.Input == "" || request.Output == "" ||
			request.Priority < -10 || request.Priority > 10 || request.SegmentDuration < 2*time.Second || request.SegmentDuration > 10*time.Second {
			t.Fatalf("%q was taken as %+v", body, request)
		}
		if again, err := server.readCreateRequest(body, http.Header{}); err != nil || again.hash() != request.hash() {
			t.Fatalf("%q is read differently each time", body)
		}
	})
}
