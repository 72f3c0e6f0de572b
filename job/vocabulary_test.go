package job

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestIDsAreUnguessableAndValid(t *testing.T) {
	seen := map[ID]bool{}
	characters := map[rune]int{}
	for range 2000 {
		id, err := NewID(rand.Reader)
		if err != nil || !id.Valid() || seen[id] {
			t.Fatalf("id %q, %v", id, err)
		}
		seen[id] = true
		for _, c := range string(id) {
			characters[c]++
		}
	}
	if len(characters) != len(base58) {
		t.Errorf("%d characters are used of %d", len(characters), len(base58))
	}
}

func TestIDsSkipBytesThatWouldBiasThem(t *testing.T) {
	source := append(bytes.Repeat([]byte{255}, 2*IDLength), make([]byte, 2*IDLength)...)
	id, err := NewID(bytes.NewReader(source))
	if err != nil || id != "11111111111" {
		t.Errorf("id %q, %v", id, err)
	}
	if _, err := NewID(bytes.NewReader(source[:3])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("from too few bytes: %v", err)
	}
}

func TestOtherShapesAreNoIDs(t *testing.T) {
	for _, id := range []ID{"", "1234567890", "5KQfnXCg8Q0", "5KQfnXCg8QO", "5KQfnXCg8QI", "5KQfnXCg8Ql", "5KQfnXCg8Qhh", "5KQfnXCg8Q/"} {
		if id.Valid() {
			t.Errorf("%q is taken for an ID", id)
		}
	}
	if !ID("5KQfnXCg8Qh").Valid() {
		t.Error("an ID is refused")
	}
}

func TestResolutionsAreReadStrictly(t *testing.T) {
	for _, r := range Resolutions {
		if got, err := ParseResolution(r.String()); err != nil || got != r {
			t.Errorf("%s: %v, %v", r, got, err)
		}
	}
	for _, text := range []string{"", "p", "720", "0720p", "+720p", "-1p", "0p", "1e9p", "721p", "720P", "720p ", "99999999999999999999p"} {
		if got, err := ParseResolution(text); err == nil || !strings.Contains(err.Error(), "1080p") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestStatusesAreFoundInAnyCase(t *testing.T) {
	for _, text := range []string{"queued", "QUEUED", "Queued"} {
		if got, ok := LegalStatus(text); !ok || got != Queued {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
	if _, ok := LegalStatus("done"); ok {
		t.Error("done is taken for a status")
	}
}

func TestEveryCodeHasItsCauseAndCure(t *testing.T) {
	seen := map[Code]bool{}
	for _, info := range CodeTable {
		if seen[info.Code] || info.Cause == "" || info.Cure == "" ||
			!slices.Contains([]Blame{BlameInput, BlameStore, BlameNode, BlameUnknown}, info.Blame) {
			t.Errorf("%+v", info)
		}
		seen[info.Code] = true
	}
	source, err := os.ReadFile("codes.go")
	if err != nil {
		t.Fatal(err)
	}
	if declared := strings.Count(string(source), " Code = \""); declared != len(CodeTable) {
		t.Errorf("%d codes are declared, %d are in the table", declared, len(CodeTable))
	}
	if got := Code("from_a_newer_peer").Info().Code; got != InternalError {
		t.Errorf("an unknown code is taken for %s", got)
	}
}

func TestAFailureIsFoundInAWrappedError(t *testing.T) {
	err := fmt.Errorf("encode chunk 3: %w", Fail(EncoderStalled, "no progress for %d s", 60))
	var failure *Failure
	if !errors.As(err, &failure) || failure.Code != EncoderStalled || failure.Message != "no progress for 60 s" || failure.Hint == "" {
		t.Errorf("found %+v in %v", failure, err)
	}
}

func viewedJob() *Job {
	return &Job{
		ID: "5KQfnXCg8Qh", Org: "default", Status: Queued, Run: 1,
		Created: time.Date(2023, 4, 20, 23, 20, 6, 34924000, time.FixedZone("", 12*3600)),
		Spec: Spec{
			Input:       Location{URL: "https://example.com/input-video.mp4", Sealed: []byte("secret")},
			Output:      Location{URL: "s3://example-bucket/output-path/"},
			Resolutions: []Resolution{240, 480},
		},
	}
}

// fields lists the first n members of a JSON object in their order.
func fields(t *testing.T, data []byte, n int) (names []string) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(data))
	if _, err := decoder.Token(); err != nil {
		t.Fatal(err)
	}
	for range n {
		name, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name.(string))
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

func TestAJobIsShownAsItsClientsExpect(t *testing.T) {
	j := viewedJob()
	created := j.Created
	j.Status, j.Started, j.Ended = Completed, created, created.Add(20*time.Minute)
	j.Plan = &Plan{Timeline: Timeline{Rate: ntsc, Frames: 2877, SegmentFrames: 96}, Renditions: []Rendition{{Name: "480p", Width: 854, Height: 480}}}
	j.Published = []Published{{Kind: HLS, Name: "video.m3u8", URL: "s3://example-bucket/output-path/video.m3u8"}}
	data, err := json.Marshal(NewView(j, Progress{Percent: 12}))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"id", "resolutions", "video_duration", "status", "input_url", "output_path", "start_time", "end_time", "error_message", "enable_drm", "client_metadata"}
	if got := fields(t, data, len(want)); !slices.Equal(got, want) {
		t.Errorf("the members come as %v", got)
	}
	original := `{"id":"5KQfnXCg8Qh","resolutions":["240p","480p"],"video_duration":120,"status":"Completed",` +
		`"input_url":"https://example.com/input-video.mp4","output_path":"s3://example-bucket/output-path/",` +
		`"start_time":"2023-04-20T23:20:06.034924+12:00","end_time":"2023-04-20T23:40:06.034924+12:00",` +
		`"error_message":null,"enable_drm":false,"client_metadata":{},`
	if !strings.HasPrefix(string(data), original) {
		t.Errorf("shown as\n%s\nwant\n%s", data, original)
	}
	for _, part := range []string{`"progress":100`, `"eta_seconds":null`, `"error":null`, `"warnings":[]`, `"outputs":[{"kind":"hls"`} {
		if !strings.Contains(string(data), part) {
			t.Errorf("%s is not in %s", part, data)
		}
	}
	if strings.Contains(string(data), "secret") || strings.Contains(string(data), `"tasks"`) {
		t.Errorf("shows what it shouldn't: %s", data)
	}
}

func TestAQueuedJobHasNoTimesYet(t *testing.T) {
	j := viewedJob()
	j.Spec.ClientMetadata = json.RawMessage(`{"a":[1,2]}`)
	data, err := json.Marshal(NewView(j, Progress{Percent: 50}))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"video_duration":null`, `"start_time":null`, `"end_time":null`, `"progress":0`, `"client_metadata":{"a":[1,2]}`, `"outputs":[]`, `"renditions":[]`} {
		if !strings.Contains(string(data), part) {
			t.Errorf("%s is not in %s", part, data)
		}
	}
}

func TestARunningJobShowsItsProgress(t *testing.T) {
	j, eta := viewedJob(), 90*time.Second+600*time.Millisecond
	j.Status = Transcoding
	v := NewView(j, Progress{Percent: 50, ETA: &eta})
	if v.Progress != 50 || v.ETASeconds == nil || *v.ETASeconds != 91 {
		t.Errorf("%+v", v)
	}
}

func TestAFailedJobSaysWhy(t *testing.T) {
	j := viewedJob()
	j.Status, j.Failure = Error, Fail(InputEmpty, "input-video.mp4 has no bytes")
	v := NewView(j, Progress{})
	if v.ErrorMessage == nil || *v.ErrorMessage != "input-video.mp4 has no bytes" || v.Error.Code != InputEmpty {
		t.Errorf("%+v", v)
	}
}

func TestTimesAlwaysHaveAnOffset(t *testing.T) {
	text, err := Time(time.Date(2023, 4, 20, 1, 2, 3, 0, time.UTC)).MarshalText()
	if err != nil || string(text) != "2023-04-20T01:02:03.000000+00:00" {
		t.Errorf("%s, %v", text, err)
	}
	var read Time
	if err := read.UnmarshalText(text); err != nil || !time.Time(read).Equal(time.Date(2023, 4, 20, 1, 2, 3, 0, time.UTC)) {
		t.Errorf("%v, %v", time.Time(read), err)
	}
	if err := read.UnmarshalText([]byte("yesterday")); err == nil {
		t.Error("yesterday is taken for a time")
	}
}
