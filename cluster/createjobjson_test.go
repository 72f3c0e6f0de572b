package cluster

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/job"
)

func TestASubmissionIsReadAndWrittenByHandAsPackageJSONDoesIt(t *testing.T) {
	usual, err := json.Marshal(createJob("default", "11111111111"))
	if err != nil {
		t.Fatal(err)
	}
	if _, byHand := cutCreateJob(usual); !byHand {
		t.Errorf("the usual form has changed, and is no longer read by hand: %s", usual)
	}
	if written, byHand := appendCreateJob(nil, createJob("default", "11111111111")); !byHand || !bytes.Equal(written, usual) {
		t.Errorf("by hand it is written %v, %s, by package json %s", byHand, written, usual)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringMatching(`[a-z0-9:/.?=-]{0,20}`), rapid.String())
		location := func(name string) job.Location {
			return job.Location{URL: text.Draw(t, name), Sealed: rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, name+" sealed")}
		}
		c := CreateJob{
			ID: job.ID(text.Draw(t, "id")), Org: text.Draw(t, "org"), IdempotencyKey: text.Draw(t, "key"), RequestHash: text.Draw(t, "hash"),
			At: time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "at"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC(),
			Spec: job.Spec{
				Input: location("input"), Output: location("output"), Codec: job.Codec(text.Draw(t, "codec")), Quality: job.Quality(text.Draw(t, "quality")),
				Priority: rapid.IntRange(-10, 10).Draw(t, "priority"), SegmentDuration: time.Duration(rapid.Int64().Draw(t, "segment")),
			},
		}
		for range rapid.IntRange(0, 3).Draw(t, "resolutions") {
			c.Spec.Resolutions = append(c.Spec.Resolutions, job.Resolution(rapid.IntRange(1, 4000).Draw(t, "lines")))
		}
		for range rapid.IntRange(0, 3).Draw(t, "outputs") {
			c.Spec.Outputs = append(c.Spec.Outputs, job.OutputKind(text.Draw(t, "kind")))
		}
		if rapid.Bool().Draw(t, "metadata") {
			c.Spec.ClientMetadata = json.RawMessage(`{"a":1}`)
		}
		data, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if written, byHand := appendCreateJob(nil, c); byHand && !bytes.Equal(written, data) {
			t.Fatalf("%+v: by hand %s, by package json %s", c, written, data)
		}
		if rapid.IntRange(0, 3).Draw(t, "damage") == 0 { // a byte that is another
			data[rapid.IntRange(0, len(data)-1).Draw(t, "at byte")] = rapid.Byte().Draw(t, "byte")
		}
		var want CreateJob
		wrong := json.Unmarshal(data, &want)
		if got, byHand := cutCreateJob(data); byHand && (wrong != nil || !reflect.DeepEqual(got, want)) {
			t.Fatalf("%s: by hand %+v, by package json %+v, %v", data, got, want, wrong)
		}
	})
}

// A field that is added to a submission later must not be left out in silence.
func TestNoFieldOfASubmissionIsLeftOutByHand(t *testing.T) {
	var visit func(path string, get func(*CreateJob) reflect.Value)
	visit = func(path string, get func(*CreateJob) reflect.Value) {
		c := createJob("default", "11111111111")
		field := get(&c)
		switch value := field.Addr().Interface().(type) {
		case *time.Time:
			*value = noon.Add(time.Hour)
		case *json.RawMessage:
			*value = json.RawMessage(`{"a":1}`)
		default:
			switch field.Kind() {
			case reflect.Struct:
				for i := range field.NumField() {
					visit(path+"."+field.Type().Field(i).Name, func(c *CreateJob) reflect.Value { return get(c).Field(i) })
				}
				return
			case reflect.String:
				field.SetString("another")
			case reflect.Int, reflect.Int64:
				field.SetInt(7)
			case reflect.Bool:
				field.SetBool(true)
			case reflect.Float64:
				field.SetFloat(7)
			case reflect.Slice:
				field.Set(reflect.MakeSlice(field.Type(), 2, 2))
			case reflect.Pointer:
				field.Set(reflect.New(field.Type().Elem()))
			default:
				t.Fatalf("%s is a %s: say here what to put into it", path, field.Type())
			}
		}
		want, err := json.Marshal(c)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if written, byHand := appendCreateJob(nil, c); byHand && !bytes.Equal(written, want) {
			t.Errorf("%s: by hand %s, by package json %s", path, written, want)
		}
	}
	visit("CreateJob", func(c *CreateJob) reflect.Value { return reflect.ValueOf(c).Elem() })
}
