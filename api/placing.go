package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"millrace/job"
)

// readPlacing checks where and by when a job is to be done.
func (r *createRequest) readPlacing(deadline json.RawMessage, now time.Time, wrong fieldErrors) {
	kind := ""
	for _, required := range r.Requires {
		switch {
		case job.IsEncoderKind(required) && kind != "":
			wrong.add("requires", "A job is made by one kind of encoder: it can't require both %s and %s.", kind, required)
			return
		case job.IsEncoderKind(required):
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
	case at.Before(now) && r.idempotencyKey == "":
		wrong.add("deadline", "%s is over.", text)
	default:
		r.Deadline = at.UTC()
	}
}

// checkDeadline refuses a deadline that is over, unless the request is a repeat of
// one that was made in time: that gets the answer of then.
func (s *Server) checkDeadline(c *call, r *createRequest, now time.Time) error {
	if r.Deadline.IsZero() || !r.Deadline.Before(now) {
		return nil
	}
	view, err := s.config.State.View(c.r.Context())
	if err != nil {
		return fmt.Errorf("look for an earlier request of this key: %w", err)
	}
	if view.Repeats(c.org(), r.idempotencyKey, now) {
		return nil
	}
	wrong := fieldErrors{}
	wrong.add("deadline", "%s is over.", r.Deadline.Format(time.RFC3339))
	return wrong.problem()
}
