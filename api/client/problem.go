package client

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Problem is a peer's refusal, as it says it in application/problem+json.
type Problem struct {
	Status int    // the HTTP status
	Code   string // stable, listed in docs/errors.md; "" when no peer answered but something between
	Title  string
	Detail string
	// Fields has the sentences about each bad field or parameter.
	Fields map[string][]string
	// RetryAfter is how long to wait before trying again, 0 when the peer doesn't say.
	RetryAfter time.Duration
}

// Error says what the peer said: its sentences about each bad field
// ("output_path: This field is required."), or its one about the whole.
func (p *Problem) Error() string {
	if len(p.Fields) == 0 {
		if p.Detail != "" {
			return p.Detail
		}
		return fmt.Sprintf("the server answered %d %s", p.Status, p.Title)
	}
	var sentences []string
	for _, field := range slices.Sorted(maps.Keys(p.Fields)) {
		sentences = append(sentences, field+": "+strings.Join(p.Fields[field], " "))
	}
	return strings.Join(sentences, "\n")
}

// Temporary says whether the same request may succeed later.
func (p *Problem) Temporary() bool {
	return p.Status == http.StatusTooManyRequests || p.Status >= http.StatusInternalServerError
}

// readProblem reads a refusal. What isn't JSON (a proxy's page) is told by its
// status alone.
func readProblem(response *http.Response, body io.Reader) *Problem {
	problem := &Problem{Status: response.StatusCode, Title: http.StatusText(response.StatusCode)}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		problem.RetryAfter = time.Duration(seconds) * time.Second
	}
	var members map[string]json.RawMessage
	if json.NewDecoder(io.LimitReader(body, 1<<20)).Decode(&members) != nil {
		return problem
	}
	for name, into := range map[string]*string{"code": &problem.Code, "title": &problem.Title, "detail": &problem.Detail} {
		_ = json.Unmarshal(members[name], into) // what isn't a string stays empty
	}
	for name, raw := range members {
		var sentences []string
		if json.Unmarshal(raw, &sentences) == nil && len(sentences) > 0 {
			if problem.Fields == nil {
				problem.Fields = make(map[string][]string)
			}
			problem.Fields[name] = sentences
		}
	}
	return problem
}
