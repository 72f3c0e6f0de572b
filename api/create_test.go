package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/job"
	"millrace/storage"
)

func TestCreatedJobLooksLikeTheOriginals(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Random = &fixedRandom{} })
	created := f.want(http.StatusCreated, f.do("default/submit", "POST", jobsPath, `{
		"input_url": "https://example.com/input-video.mp4",
		"output_path": "s3://example-bucket/output-path?access_key=AKIA1&secret_key=hush&region=eu-west-1",
		"resolutions": ["480p", "240p"],
		"client_metadata": {"b": 1, "a": [1.50, "x"], "ü": null}
	}`))
	golden(t, "created.json", created.body)
	if got, want := created.header.Get("Location"), jobsPath+string(f.view(created).ID)+"/"; got != want {
		t.Errorf("Location %q, want %q", got, want)
	}
	read := f.want(http.StatusOK, f.do("default/read", "GET", created.header.Get("Location"), ""))
	if read.body != created.body {
		t.Errorf("read back\n%s\nbut created\n%s", read.body, created.body)
	}
}

func TestEveryFieldOfARequestReachesTheState(t *testing.T) {
	f := newFixture(t)
	created := f.view(f.want(http.StatusCreated, f.do("default/submit", "POST", jobsPath, `{
		"input_path": "s3://source-bucket/a.mp4?access_key=AKIA1&secret_key=hush", "output_path": "file:///out/a/",
		"resolutions": ["1080p"], "enable_drm": false, "client_metadata": null, "outputs": ["mp4", "hls"],
		"codec": "hevc", "quality": "high", "priority": -1e1, "segment_duration": 2.5,
		"requires": ["qsv", "site=paris"], "prefer": "energy", "deadline": "2999-01-01T01:00:00+01:00"}`)))
	stored, exists := f.peer.Stale().Job("default", created.ID)
	if !exists {
		t.Fatal("the job isn't in the state")
	}
	spec := stored.Spec
	if spec.Codec != job.HEVC || spec.Quality != job.High || spec.Priority != -10 || spec.SegmentDuration.Seconds() != 2.5 ||
		len(spec.Outputs) != 2 || spec.Outputs[0] != job.MP4 || spec.Output.Sealed != nil {
		t.Errorf("got %+v", spec)
	}
	if deadline := time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC); !slices.Equal(spec.Requires, []string{"qsv", "site=paris"}) ||
		spec.Prefer != job.PreferEnergy || !spec.Deadline.Equal(deadline) || created.Deadline == nil || created.Prefer != spec.Prefer {
		t.Errorf("it is placed by %+v and shown as %+v", spec, created)
	}
	if strings.Contains(spec.Input.URL, "hush") {
		t.Errorf("the secret lies open in %q", spec.Input.URL)
	}
	whole, err := f.peer.Keyring().Open(spec.Input.Sealed, InputContext)
	if err != nil || !strings.Contains(string(whole), "secret_key=hush") {
		t.Errorf("unsealed %q, %v", whole, err)
	}
}

// body is a good request with one more member, or another value of one.
func with(member string) string {
	good := []string{`"input_url":"https://example.com/a.mp4"`, `"output_path":"s3://bucket/out/"`, `"resolutions":["240p"]`}
	name, _, _ := strings.Cut(member, ":")
	members := []string{member}
	for _, m := range good {
		if !strings.HasPrefix(m, name+":") {
			members = append(members, m)
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func TestBadRequestsNameTheirFields(t *testing.T) {
	long := strings.Repeat("a", 9000)
	cases := []struct {
		name   string
		body   string
		status int
		field  string // that is named; "" for none
		says   string // part of its sentence, or of detail
	}{
		{"empty body", "", 400, "", "empty"},
		{"spaces", "  \n", 400, "", "empty"},
		{"not JSON", "input_url=x", 400, "", "not JSON"},
		{"truncated", `{"input_url": "https://e`, 400, "", "not JSON"},
		{"trailing garbage", with(`"x":1`) + "{}", 400, "", "not JSON"},
		{"an array", `[]`, 400, "", "JSON object"},
		{"null", `null`, 400, "", "JSON object"},
		{"a string", `"x"`, 400, "", "JSON object"},
		{"invalid UTF-8", with("\"client_metadata\":{\"a\":\"\xff\"}"), 400, "", "UTF-8"},
		{"byte order mark", "\ufeff" + with(`"priority":1`), 400, "", "not JSON"},
		{"deep nesting", with(`"client_metadata":` + strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)), 400, "", "deeper"},
		{"very deep nesting", strings.Repeat("[", 200_000), 400, "", ""},
		{"deep and closed", strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000), 400, "", ""},
		{"20 MB", with(`"client_metadata":{"a":"` + strings.Repeat("x", 20<<20) + `"}`), 413, "", "1048576"},
		{"duplicate key", `{"codec":"h264",` + with(`"codec":"h264"`)[1:], 400, "codec", "twice"},
		{"escaped duplicate key", `{"c\u006fdec":"h264",` + with(`"codec":"h264"`)[1:], 400, "codec", "twice"},
		{"duplicate key inside", with(`"client_metadata":{"a":{"b":1,"b":2}}`), 400, "client_metadata", "twice"},
		{"unknown field", with(`"resolution":["240p"]`), 400, "resolution", "no such field"},
		{"field in other case", with(`"Codec":"h264"`), 400, "Codec", "no such field"},
		{"unknown field named like a problem's", with(`"status":1`), 400, "status_", "no such field"},
		{"no input", `{"output_path":"s3://bucket/out/","resolutions":["240p"]}`, 400, "input_url", "required"},
		{"no output", `{"input_url":"https://e.com/a","resolutions":["240p"]}`, 400, "output_path", "required"},
		{"no resolutions", `{"input_url":"https://e.com/a","output_path":"s3://bucket/out/"}`, 400, "resolutions", "required"},
		{"two inputs", with(`"input_path":"https://example.com/b.mp4"`), 400, "input_path", "differs"},
		{"input null", with(`"input_url":null`), 400, "input_url", "null"},
		{"input number", with(`"input_url":1`), 400, "input_url", "a string, not a number"},
		{"input empty", with(`"input_url":""`), 400, "input_url", "blank"},
		{"input ftp", with(`"input_url":"ftp://example.com/a"`), 400, "input_url", "scheme"},
		{"input data", with(`"input_url":"data:text/plain,x"`), 400, "input_url", ""},
		{"input concat", with(`"input_url":"concat:/etc/passwd|/x"`), 400, "input_url", ""},
		{"input plain path", with(`"input_url":"/etc/passwd"`), 400, "input_url", "scheme"},
		{"input with password", with(`"input_url":"https://u:p@example.com/a"`), 400, "input_url", "password"},
		{"input 9 KB", with(`"input_url":"https://example.com/` + long + `"`), 400, "input_url", "limit"},
		{"input newline", with(`"input_url":"https://example.com/a\nb"`), 400, "input_url", "control"},
		{"input NUL", with(`"input_url":"https://example.com/\u0000"`), 400, "input_url", "control"},
		{"output traversal", with(`"output_path":"s3://b/../../x"`), 400, "output_path", ""},
		{"output no bucket", with(`"output_path":"s3:///k"`), 400, "output_path", ""},
		{"output encoded traversal", with(`"output_path":"s3://bucket/%2e%2e/x"`), 400, "output_path", ".."},
		{"output look-alike", with(`"output_path":"s3://bucket/a\uff0fb"`), 400, "output_path", "U+FF0F"},
		{"output http", with(`"output_path":"https://example.com/"`), 400, "output_path", "scheme"},
		{"output 9 KB", with(`"output_path":"s3://bucket/` + long + `"`), 400, "output_path", "limit"},
		{"resolutions empty", with(`"resolutions":[]`), 400, "resolutions", "empty"},
		{"resolutions a string", with(`"resolutions":"240p"`), 400, "resolutions", "a list, not a string"},
		{"resolutions 10 000", with(`"resolutions":["240p"` + strings.Repeat(`,"240p"`, 9999) + `]`), 400, "resolutions", "10000"},
		{"resolution twice", with(`"resolutions":["240p","240p"]`), 400, "resolutions", "twice"},
		{"resolution 0p", with(`"resolutions":["0p"]`), 400, "resolutions", `\"0p\"`},
		{"resolution -1", with(`"resolutions":["-1"]`), 400, "resolutions", "not a valid choice"},
		{"resolution 1e9p", with(`"resolutions":["1e9p"]`), 400, "resolutions", "not a valid choice"},
		{"resolution number", with(`"resolutions":["240p",240]`), 400, "resolutions", "Item 2"},
		{"resolution null", with(`"resolutions":[null]`), 400, "resolutions", "Item 1"},
		{"metadata list", with(`"client_metadata":[]`), 400, "client_metadata", "an object, not a list"},
		{"metadata 11 KB", with(`"client_metadata":{"a":"` + strings.Repeat("x", 11<<10) + `"}`), 400, "client_metadata", "10240"},
		{"DRM", with(`"enable_drm":true`), 400, "enable_drm", "not available"},
		{"DRM string", with(`"enable_drm":"false"`), 400, "enable_drm", "a boolean, not a string"},
		{"outputs unknown", with(`"outputs":["hls","webm"]`), 400, "outputs", "webm"},
		{"outputs empty", with(`"outputs":[]`), 400, "outputs", "empty"},
		{"codec unknown", with(`"codec":"vp9"`), 400, "codec", "h264, hevc, av1"},
		{"quality case", with(`"quality":"High"`), 400, "quality", "economy, standard, high"},
		{"label in capitals", with(`"requires":["SSD"]`), 400, "requires", "ssd or site=paris"},
		{"two kinds of encoders", with(`"requires":["nvenc","ssd","qsv"]`), 400, "requires", "both nvenc and qsv"},
		{"preference unknown", with(`"prefer":"price"`), 400, "prefer", "time, energy"},
		{"deadline that is no time", with(`"deadline":"tomorrow"`), 400, "deadline", "not a time like"},
		{"deadline that is over", with(`"deadline":"2020-01-01T00:00:00Z"`), 400, "deadline", "is over"},
		{"priority high", with(`"priority":11`), 400, "priority", "between -10 and 10"},
		{"priority fraction", with(`"priority":1.5`), 400, "priority", "whole"},
		{"priority huge", with(`"priority":1e999`), 400, "priority", "between"},
		{"segments short", with(`"segment_duration":1.99`), 400, "segment_duration", "between 2 and 10"},
		{"segments zero", with(`"segment_duration":0`), 400, "segment_duration", "between"},
		{"key blank", with(`"idempotency_key":""`), 400, "idempotency_key", "blank"},
		{"key long", with(`"idempotency_key":"` + strings.Repeat("k", 256) + `"`), 400, "idempotency_key", "255"},
		{"key not ASCII", with(`"idempotency_key":"é"`), 400, "idempotency_key", "ASCII"},
	}
	f := newFixture(t)
	before := f.peer.Stale().Index()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := f.do("default/submit", "POST", jobsPath, c.body, "Content-Type: application/json")
			if got.status != c.status || got.header.Get("Content-Type") != "application/problem+json" {
				t.Fatalf("got %d %s: %.300s", got.status, got.header.Get("Content-Type"), got.body)
			}
			if len(got.body) > 8<<10 {
				t.Errorf("the answer has %d bytes", len(got.body))
			}
			members := got.members(t)
			if c.field != "" {
				sentences, is := members[c.field].([]any)
				if !is || len(sentences) == 0 {
					t.Fatalf("%s isn't named: %s", c.field, got.body)
				}
			}
			if !strings.Contains(got.body, c.says) {
				t.Errorf("%q isn't said: %.500s", c.says, got.body)
			}
		})
	}
	if after := f.peer.Stale().Index(); after != before {
		t.Errorf("bad requests put %d entries into the log", after-before)
	}
}

// nowhere refuses every location, each way in which that is said.
type nowhere struct{}

func (nowhere) CheckInput(storage.Location) error {
	return job.Fail(job.InputDisallowed, "That folder is not under a source root.")
}

func (nowhere) CheckOutput(storage.Location) error {
	return fmt.Errorf("%w", &storage.InvalidLocation{Sentence: "There is no output root."})
}

func TestPlacesThatTheOperatorDoesNotAllowAreRefusedInHisWords(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Locations = nowhere{} })
	got := f.want(http.StatusBadRequest, f.do("default/submit", "POST", jobsPath, request("x")))
	for field, sentence := range map[string]string{
		"input_url": "That folder is not under a source root.", "output_path": "There is no output root.",
	} {
		if fmt.Sprint(got.members(t)[field]) != "["+sentence+"]" {
			t.Errorf("%s: got %s", field, got.body)
		}
	}
}

func TestAllBadFieldsAreToldAtOnce(t *testing.T) {
	f := newFixture(t)
	got := f.want(http.StatusBadRequest, f.do("default/submit", "POST", jobsPath,
		`{"input_url": "ftp://x", "resolutions": [], "codec": 7, "colour": "red", "enable_drm": true}`))
	golden(t, "bad_fields.json", got.body)
}

func TestAnswerToManyBadFieldsIsBounded(t *testing.T) {
	f := newFixture(t)
	var body strings.Builder
	body.WriteString("{")
	for i := range 10_000 {
		if i > 0 {
			body.WriteString(",")
		}
		body.WriteString(`"` + strings.Repeat("x", 80) + strings.Repeat("y", i%7) + string(rune('a'+i%26)) + string(rune(0x4e00+i)) + `":1`)
	}
	body.WriteString("}")
	got := f.want(http.StatusBadRequest, f.do("default/submit", "POST", jobsPath, body.String()))
	if len(got.body) > 16<<10 {
		t.Errorf("the answer has %d bytes", len(got.body))
	}
}

func TestOtherContentTypesAreRefused(t *testing.T) {
	f := newFixture(t)
	for contentType, status := range map[string]int{
		"application/json":                  201,
		"application/json; charset=utf-8":   201,
		"Application/JSON":                  201,
		"application/x-www-form-urlencoded": 415,
		"multipart/form-data; boundary=x":   415,
		"text/plain":                        415,
		"application/json; charset=latin1":  415,
		"///":                               415,
	} {
		got := f.do("default/submit", "POST", jobsPath, request(url.PathEscape(contentType)), "Content-Type: "+contentType)
		if got.status != status {
			t.Errorf("%s: got %d, want %d: %s", contentType, got.status, status, got.body)
		}
	}
}
