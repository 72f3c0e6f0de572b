package api

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"millrace/job"
)

// readPlacing checks where and by when a job is to be done.
func (r *createRequest) readPlacing(deadline json.RawMessage, now time.Time, wrong fieldErrors) {
	kind := ""
	for _, required := range r.Requires {
		switch {
		case slices.Contains(job.EncoderKinds, required) && kind != "":
			wrong.add("requires", "A job is made by one kind of encoder: it can't require both %s and %s.", kind, required)
			return
		case slices.Contains(job.EncoderKinds, required):
			kind = required
		case !job.ValidLabel(required):
			wrong.add("requires", "%s is not a valid choice; use %s, or a node's label, like ssd or site=paris.", quote(required), strings.Join(job.EncoderKinds, ", "))
			return
		}
	}
	if r.Prefer == job.PreferTime {
		r.Prefer = "" // the default, however it is said
	}
	if deadline == nil || wrong["deadline"] != nil {
		return
	}
	var text string
	_ = json.Unmarshal(deadline, &text) // the schema has seen that it is a string
	at, err := time.Parse(time.RFC3339, text)
	switch {
	case err != nil:
		wrong.add("deadline", "%s is not a time like 2026-11-25T18:30:00+01:00.", quote(text))
	case at.Before(now):
		wrong.add("deadline", "%s is over.", text)
	default:
		r.Deadline = at.UTC()
	}
}
