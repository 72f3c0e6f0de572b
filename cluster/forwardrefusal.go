package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
)

// forwardRetryAfter is what a client is told to wait when no voter can be
// reached, in seconds: about an election.
const forwardRetryAfter = "2"

// problem is an error as the API writes it (RFC 9457), in its words and order.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// refuseForward answers a request that couldn't be passed on.
func refuseForward(w http.ResponseWriter, r *http.Request, err error) {
	p := problem{
		Title: "No leader", Status: http.StatusServiceUnavailable, Code: "no_leader",
		Detail: "This peer can reach no peer that holds the cluster's state; nothing was changed. Try again in a moment.",
	}
	switch {
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return // nobody is there to read it
	case errors.Is(err, ErrClosed):
		p.Title, p.Code, p.Detail = "Shutting down", "shutting_down", "This peer is shutting down; ask another."
	case errors.Is(err, errUncertain), errors.Is(err, context.DeadlineExceeded):
		p.Title, p.Code, p.Status = "Timed out", "timeout", http.StatusGatewayTimeout
		p.Detail = "The cluster did not answer in time; the change may or may not have been made. Look before you send it again, or use an idempotency key."
	}
	p.Type = "urn:millrace:problem:" + p.Code
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and a number
	}
	header := w.Header()
	header.Set("Content-Type", "application/problem+json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Retry-After", forwardRetryAfter)
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // the client finds out
}
