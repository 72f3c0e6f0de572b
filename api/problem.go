package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"millrace/cluster"
	"millrace/job"
)

// problem is a refusal, written as application/problem+json (RFC 9457). It is
// an error, so that endpoints return it like any other.
type problem struct {
	code   string // a line of ProblemTable
	detail string // a sentence for people; default: the table's cause
	// fields has the sentences about each bad field. They are written as
	// members of the problem, where clients of the original API look for them.
	fields     fieldErrors
	retryAfter time.Duration
	header     http.Header
}

func (p *problem) Error() string { return p.code + ": " + p.detail }

func newProblem(code, format string, args ...any) *problem {
	return &problem{code: code, detail: fmt.Sprintf(format, args...)}
}

// notFound is the one answer for what doesn't exist, what belongs to another
// organisation, and identifiers that can't exist.
func notFound() *problem { return &problem{code: "not_found", detail: "Not found."} }

// fieldErrors collects what is wrong with each field of a request.
type fieldErrors map[string][]string

// maxBadFields and maxSentences bound the answer to a body made of nothing but
// wrong fields.
const (
	maxBadFields = 20
	maxSentences = 3 // about one field
)

func (f fieldErrors) add(field, format string, args ...any) {
	if runes := []rune(field); len(runes) > maxQuoted {
		field = string(runes[:maxQuoted]) + "…"
	}
	if told := len(f[field]); told > 0 && told < maxSentences || told == 0 && len(f) < maxBadFields {
		f[field] = append(f[field], fmt.Sprintf(format, args...))
	}
}

// problem is nil when no field is wrong.
func (f fieldErrors) problem() error {
	names := slices.Sorted(maps.Keys(f))
	switch len(names) {
	case 0:
		return nil
	case 1:
		code := map[string]string{"input_url": "invalid_input_url", "output_path": "invalid_output_path"}[names[0]]
		setDefault(&code, "invalid_request")
		return &problem{code: code, detail: names[0] + ": " + f[names[0]][0], fields: f}
	}
	return &problem{code: "invalid_request", fields: f,
		detail: fmt.Sprintf("%d fields are wrong; the first is %s: %s", len(names), names[0], f[names[0]][0])}
}

// members of a problem that a field's name may not hide; such a field's
// sentences stand under its name with an underscore after it.
var standardMembers = []string{"type", "title", "status", "code", "detail", "instance", "incident"}

func (s *Server) writeProblem(w http.ResponseWriter, p *problem) {
	info := problemInfo(p.code)
	detail := p.detail
	setDefault(&detail, info.Cause)
	answer := members{
		{"type", "urn:millrace:problem:" + info.Code}, {"title", info.Title},
		{"status", info.Status}, {"code", info.Code}, {"detail", detail},
	}
	for _, name := range slices.Sorted(maps.Keys(p.fields)) {
		shown := name
		if slices.Contains(standardMembers, name) {
			shown += "_"
		}
		answer = append(answer, member{shown, p.fields[name]})
	}
	maps.Copy(w.Header(), p.header)
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	s.write(w, info.Status, "application/problem+json", answer)
}

// members is a JSON object whose members stand in this order.
type members []member

type member struct {
	name  string
	value any
}

// MarshalJSON implements json.Marshaler.
func (m members) MarshalJSON() ([]byte, error) {
	text := []byte{'{'}
	for i, member := range m {
		if i > 0 {
			text = append(text, ',')
		}
		name, err := json.Marshal(member.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(member.value)
		if err != nil {
			return nil, err
		}
		text = append(append(append(text, name...), ':'), value...)
	}
	return append(text, '}'), nil
}

// retryDelay is what a client is told to wait for a cluster without a leader:
// about an election.
const retryDelay = 2 * time.Second

// quotaDelay is what a client is told to wait for room in its organisation's
// queue: about a short job.
const quotaDelay = 30 * time.Second

// asProblem says what an endpoint's error means to the client. What it doesn't
// know is an internal error: the client gets its number, the log the rest.
func (s *Server) asProblem(r *http.Request, err error) *problem {
	var known *problem
	var failure *job.Failure
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, cluster.ErrNotFound):
		return notFound()
	case errors.Is(err, cluster.ErrIdempotencyConflict):
		return &problem{code: "idempotency_conflict", detail: "This idempotency key was used for another request within the last day.",
			fields: fieldErrors{"idempotency_key": {"It was used for another request; use a new key for a new request."}}}
	case errors.Is(err, cluster.ErrOutputInUse):
		return &problem{code: "output_in_use", detail: "Another unfinished job writes to this output path.",
			fields: fieldErrors{"output_path": {"Another unfinished job writes to it; use another prefix, or wait for that job or cancel it."}}}
	case errors.Is(err, cluster.ErrQueueFull):
		return &problem{code: "quota_exceeded", retryAfter: quotaDelay,
			detail: "The organisation has as many jobs waiting to begin as it may; wait until some have begun, or cancel them."}
	case errors.Is(err, job.ErrNotEnded):
		return newProblem("not_retryable", "Only a job that failed or was cancelled can be retried.")
	case errors.Is(err, job.ErrStopping):
		return &problem{code: "still_stopping", detail: "The job's last run is still being stopped; try again in a moment.", retryAfter: retryDelay}
	case errors.Is(err, cluster.ErrNoLeader), errors.Is(err, cluster.ErrNotLeader), errors.Is(err, cluster.ErrNoState):
		return &problem{code: "no_leader", detail: "The cluster has no leader now; try again in a moment.", retryAfter: retryDelay}
	case errors.Is(err, cluster.ErrClosed):
		return &problem{code: "shutting_down", detail: "This peer is shutting down; ask another.", retryAfter: retryDelay}
	case errors.Is(err, cluster.ErrUpgrading):
		return &problem{code: "upgrading", detail: "Some peers still run a program that doesn't know this; it can be done once the last is upgraded.", retryAfter: quotaDelay}
	case errors.Is(err, cluster.ErrHalted):
		return &problem{code: "peer_halted", retryAfter: retryDelay}
	case errors.Is(err, cluster.ErrNodeID):
		return newProblem("invalid_request", "%s.", cluster.ErrNodeID)
	case errors.Is(err, cluster.ErrUnreachable):
		return &problem{code: "node_unreachable", detail: "The node can't be reached.", retryAfter: retryDelay}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &problem{code: "timeout", retryAfter: retryDelay,
			detail: "The cluster did not answer in time; the change may or may not have been made. Look before you send it again, or use an idempotency key."}
	case errors.As(err, &failure):
		return newProblem("invalid_request", "%s", failure.Message)
	}
	incident := s.incident()
	s.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "incident", incident, "error", err)
	return incidentProblem(incident)
}

func incidentProblem(incident string) *problem {
	return newProblem("internal_error", "Something in Millrace went wrong. Report incident %s with this peer's log.", incident)
}

// incident draws a number to find a log line by.
func (s *Server) incident() string {
	var number [6]byte
	if _, err := io.ReadFull(s.config.Random, number[:]); err != nil {
		return "unknown"
	}
	return hex.EncodeToString(number[:])
}

// maxQuoted is how many characters of a client's text are said back to it.
const maxQuoted = 60

// quote is a client's text, made safe and short, for a sentence.
func quote(text string) string {
	if utf8.RuneCountInString(text) > maxQuoted {
		text = string([]rune(text)[:maxQuoted]) + "…"
	}
	return strconv.Quote(text)
}
