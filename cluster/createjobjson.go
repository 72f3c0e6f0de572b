package cluster

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"time"

	"millrace/job"
)

// decodeCreateJob reads a CreateJob as json.Unmarshal does. Submissions are
// what a cluster gets most of, and every voter decodes each: so one that looks
// as json.Marshal writes it, without escapes, is read by hand in a fifth of the
// time. Whatever else there may be, a field that is new too, is left to package
// json.
func decodeCreateJob(data json.RawMessage) (applier, error) {
	if c, usual := cutCreateJob(data); usual {
		return c, nil
	}
	var c CreateJob
	err := json.Unmarshal(data, &c)
	return c, err
}

// appendCreateJob appends what json.Marshal makes of c; false, and nothing to be
// used, where c has something that isn't read by hand either, also in a field that
// is newer than this.
func appendCreateJob(to []byte, c CreateJob) (_ []byte, usual bool) {
	if !onlyUsual(c) {
		return nil, false
	}
	w := &jsonWriter{to: to}
	w.text(`{"id":`, string(c.ID))
	w.text(`,"org":`, c.Org)
	w.location(`,"spec":{"input":`, c.Spec.Input)
	w.location(`,"output":`, c.Spec.Output)
	for i, resolution := range c.Spec.Resolutions {
		w.text(listed(i, `,"resolutions":[`), resolution.String())
	}
	for i, kind := range c.Spec.Outputs {
		w.text(listed(i, `],"outputs":[`), string(kind))
	}
	w.text(`],"codec":`, string(c.Spec.Codec))
	w.text(`,"quality":`, string(c.Spec.Quality))
	w.number(`,"priority":`, int64(c.Spec.Priority))
	w.number(`,"segment_duration":`, int64(c.Spec.SegmentDuration))
	w.to = append(w.to, `},"at":"`...)
	var err error
	w.to, err = c.At.AppendText(w.to)
	w.to = append(w.to, '"')
	if c.IdempotencyKey != "" {
		w.text(`,"idempotency_key":`, c.IdempotencyKey)
	}
	if c.RequestHash != "" {
		w.text(`,"request_hash":`, c.RequestHash)
	}
	w.to = append(w.to, '}')
	return w.to, err == nil && !w.unusual && len(c.Spec.Resolutions) > 0 && len(c.Spec.Outputs) > 0
}

// onlyUsual says whether a submission has nothing but what appendCreateJob writes.
func onlyUsual(c CreateJob) bool {
	c.ID, c.Org, c.At, c.IdempotencyKey, c.RequestHash = "", "", time.Time{}, "", ""
	c.Spec.Input.URL, c.Spec.Input.Sealed, c.Spec.Output.URL, c.Spec.Output.Sealed = "", nil, "", nil
	c.Spec.Resolutions, c.Spec.Outputs, c.Spec.Codec, c.Spec.Quality = nil, nil, "", ""
	c.Spec.Priority, c.Spec.SegmentDuration = 0, 0
	return reflect.ValueOf(c).IsZero()
}

// listed is what comes before a list's next element.
func listed(i int, first string) string {
	if i == 0 {
		return first
	}
	return ","
}

// jsonWriter writes what jsonReader reads.
type jsonWriter struct {
	to      []byte
	unusual bool
}

func (w *jsonWriter) text(before, text string) {
	w.to = append(append(w.to, before...), '"')
	for _, c := range []byte(text) {
		// What package json escapes, also for HTML.
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			w.unusual = true
		}
	}
	w.to = append(append(w.to, text...), '"')
}

func (w *jsonWriter) number(before string, n int64) {
	w.to = strconv.AppendInt(append(w.to, before...), n, 10)
}

func (w *jsonWriter) location(before string, l job.Location) {
	w.text(before+`{"url":`, l.URL)
	if len(l.Sealed) > 0 {
		w.to = append(w.to, `,"sealed":"`...)
		w.to = append(base64.StdEncoding.AppendEncode(w.to, l.Sealed), '"')
	}
	w.to = append(w.to, '}')
}

func cutCreateJob(data []byte) (c CreateJob, usual bool) {
	r := &jsonReader{rest: data}
	c.ID = job.ID(r.text(`{"id":`))
	c.Org = known(r.raw(`,"org":`))
	c.Spec.Input = r.location(`,"spec":{"input":`)
	c.Spec.Output = r.location(`,"output":`)
	r.list(`,"resolutions":`, func(n int) { c.Spec.Resolutions = make([]job.Resolution, 0, n) }, func(name []byte) {
		lines, err := strconv.Atoi(strings.TrimSuffix(string(name), "p"))
		if resolution := job.Resolution(lines); err != nil || lines <= 0 || resolution.String() != string(name) {
			r.unusual = true
		} else {
			c.Spec.Resolutions = append(c.Spec.Resolutions, resolution)
		}
	})
	r.list(`,"outputs":`, func(n int) { c.Spec.Outputs = make([]job.OutputKind, 0, n) }, func(kind []byte) {
		c.Spec.Outputs = append(c.Spec.Outputs, job.OutputKind(known(kind)))
	})
	c.Spec.Codec = job.Codec(known(r.raw(`,"codec":`)))
	c.Spec.Quality = job.Quality(known(r.raw(`,"quality":`)))
	c.Spec.Priority = int(r.number(`,"priority":`))
	c.Spec.SegmentDuration = time.Duration(r.number(`,"segment_duration":`))
	r.check(c.At.UnmarshalText(r.raw(`},"at":`)))
	if r.has(`,"idempotency_key":`) {
		c.IdempotencyKey = r.text("")
	}
	if r.has(`,"request_hash":`) {
		c.RequestHash = r.text("")
	}
	r.expect(`}`)
	return c, !r.unusual && len(r.rest) == 0
}

// jsonReader reads JSON of one form. What has another makes it unusual, and
// then all that it has read is worth nothing.
type jsonReader struct {
	rest    []byte
	unusual bool
}

func (r *jsonReader) check(err error) { r.unusual = r.unusual || err != nil }

// has reads what may be next.
func (r *jsonReader) has(next string) bool {
	has := len(r.rest) >= len(next) && string(r.rest[:len(next)]) == next
	if has {
		r.rest = r.rest[len(next):]
	}
	return has
}

func (r *jsonReader) expect(next string) { r.unusual = !r.has(next) || r.unusual }

// text reads a string, after what comes before it.
func (r *jsonReader) text(before string) string { return string(r.raw(before)) }

// raw is a string's bytes where they lie.
func (r *jsonReader) raw(before string) []byte {
	r.expect(before)
	r.expect(`"`)
	end := 0
	for end < len(r.rest) && r.rest[end] >= ' ' && r.rest[end] < 0x80 && r.rest[end] != '"' && r.rest[end] != '\\' {
		end++
	}
	text := r.rest[:end]
	r.rest = r.rest[end:]
	r.expect(`"`)
	return text
}

// list reads a list of at least one string; it tells first how many there are at
// most, then each.
func (r *jsonReader) list(before string, length func(int), each func([]byte)) {
	r.expect(before)
	inside, _, _ := bytes.Cut(r.rest, []byte("]"))
	length(bytes.Count(inside, []byte(",")) + 1)
	each(r.raw(`[`))
	for r.has(`,`) {
		each(r.raw(""))
	}
	r.expect(`]`)
}

// known is a text's one copy where it is one of the few that submissions are full
// of, else a copy of its own.
func known(text []byte) string {
	if one, is := knownTexts[string(text)]; is {
		return one
	}
	return string(text)
}

var knownTexts = func() map[string]string {
	texts := map[string]string{}
	for _, text := range []string{
		"default", string(job.H264), string(job.HEVC), string(job.AV1), string(job.Economy), string(job.Standard), string(job.High),
		string(job.HLS), string(job.DASH), string(job.MP4), string(job.Thumbnails),
	} {
		texts[text] = text
	}
	return texts
}()

func (r *jsonReader) location(before string) job.Location {
	r.expect(before)
	location := job.Location{URL: r.text(`{"url":`)}
	if r.has(`,"sealed":`) {
		var err error
		location.Sealed, err = base64.StdEncoding.DecodeString(r.text(""))
		r.check(err)
	}
	r.expect(`}`)
	return location
}

// number reads an integer.
func (r *jsonReader) number(before string) int64 {
	r.expect(before)
	end := 0
	for end < len(r.rest) && (r.rest[end] == '-' || r.rest[end] >= '0' && r.rest[end] <= '9') {
		end++
	}
	text := string(r.rest[:end])
	r.rest = r.rest[end:]
	n, err := strconv.ParseInt(text, 10, 64)
	if r.check(err); strconv.FormatInt(n, 10) != text {
		r.unusual = true
	}
	return n
}
