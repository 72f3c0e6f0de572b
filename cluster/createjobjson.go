package cluster

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
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

func cutCreateJob(data []byte) (c CreateJob, usual bool) {
	r := &jsonReader{rest: data}
	c.ID = job.ID(r.text(`{"id":`))
	c.Org = r.text(`,"org":`)
	c.Spec.Input = r.location(`,"spec":{"input":`)
	c.Spec.Output = r.location(`,"output":`)
	for _, name := range r.texts(`,"resolutions":`) {
		var resolution job.Resolution
		r.check(resolution.UnmarshalText([]byte(name)))
		c.Spec.Resolutions = append(c.Spec.Resolutions, resolution)
	}
	for _, kind := range r.texts(`,"outputs":`) {
		c.Spec.Outputs = append(c.Spec.Outputs, job.OutputKind(kind))
	}
	c.Spec.Codec = job.Codec(r.text(`,"codec":`))
	c.Spec.Quality = job.Quality(r.text(`,"quality":`))
	c.Spec.Priority = int(r.number(`,"priority":`))
	c.Spec.SegmentDuration = time.Duration(r.number(`,"segment_duration":`))
	r.check(c.At.UnmarshalText([]byte(r.text(`},"at":`))))
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
	rest, has := bytes.CutPrefix(r.rest, []byte(next))
	r.rest = rest
	return has
}

func (r *jsonReader) expect(next string) { r.unusual = !r.has(next) || r.unusual }

// text reads a string, after what comes before it.
func (r *jsonReader) text(before string) string {
	r.expect(before)
	r.expect(`"`)
	end := 0
	for end < len(r.rest) && r.rest[end] >= ' ' && r.rest[end] < 0x80 && r.rest[end] != '"' && r.rest[end] != '\\' {
		end++
	}
	text := string(r.rest[:end])
	r.rest = r.rest[end:]
	r.expect(`"`)
	return text
}

// texts reads a list of at least one string.
func (r *jsonReader) texts(before string) []string {
	r.expect(before)
	texts := []string{r.text(`[`)}
	for r.has(`,`) {
		texts = append(texts, r.text(""))
	}
	r.expect(`]`)
	return texts
}

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
