package cluster

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

func TestAnEnvelopeIsWhatPackageJSONMakesAndReads(t *testing.T) {
	for name, e := range map[string]envelope{
		"usual":               {1, "create_job", json.RawMessage(`{"id":"x"}`), proposal{"ABC234", 7}},
		"of the first entry":  {2, "create_job", json.RawMessage(`{}`), proposal{ID: "ABC234"}},
		"without a proposal":  {1, "prune", json.RawMessage(`{"b":5}`), proposal{}},
		"an end within":       {1, "put_webhook", json.RawMessage(`{"url":"\",\"i\":\"X\",\"b\":5}","i":"A","b":4}`), proposal{"Z", 9}},
		"an end without one":  {1, "put_webhook", json.RawMessage(`{"a":[{"x":1,"i":"A","b":4}]}`), proposal{}},
		"the largest numbers": {1 << 30, "x", json.RawMessage(`{}`), proposal{"A", 1<<64 - 1}},
	} {
		want, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendEnvelope(nil, e); !bytes.Equal(got, want) {
			t.Errorf("%s: written %s, not %s", name, got, want)
		}
		var got envelope
		if usual := got.cut(want); usual != (e.ID != "") || usual && !reflect.DeepEqual(got, e) {
			t.Errorf("%s: read %v, %+v", name, usual, got)
		}
	}
	for _, unusual := range []string{
		``, `{}`, `null`, `{"v":1,"c":"x","d":{}}`, `{"v":1,"c":"x","d":{},"b":1}`, `{"v":1,"c":"x","d":{},"i":"A","b":-1}`,
		`{"v":1,"c":"x","d":{},"i":"A","b":18446744073709551616}`, `{"v":1,"c":"x","d":{},"i":"A\n"}`, `{"v":1,"c":"\u0078","d":{},"i":"A"}`,
		`{"v": 1,"c":"x","d":{},"i":"A"}`, `{"v":1,"c":"x","d":{},"i":"A"} `, `{"c":"x","v":1,"d":{},"i":"A"}`,
		`{"v":1,"c":"x","d":{},"i":""}`, `{"v":-1,"c":"x","d":{},"i":"A"}`,
	} {
		var e envelope
		if e.cut([]byte(unusual)) || !reflect.DeepEqual(e, envelope{}) {
			t.Errorf("%s was read: %+v", unusual, e)
		}
	}
	// What cut takes is still checked as a whole: two values aren't one.
	entry := logOf([]byte(`{"v":1,"c":"create_job","d":{},"v":9,"e":{},"i":"A"}`))
	if _, _, err := decodeCommand(&entry); err == nil {
		t.Error("an envelope with more in it was read")
	}
}
