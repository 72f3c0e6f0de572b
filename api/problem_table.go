package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"millrace/job"
)

//go:generate go test -run TestErrorPageIsFresh -update .

// ProblemInfo is one way in which a request is refused: a line of docs/errors.md.
type ProblemInfo struct {
	Status int    // HTTP status
	Code   string // stable: clients act on it
	Title  string
	Cause  string
	Cure   string
}

// ProblemTable lists every code of a refused request.
var ProblemTable = []ProblemInfo{
	{http.StatusBadRequest, "invalid_request", "Bad request", "A field, parameter or header has a bad value, is unknown or is missing; the problem has a member of its name that says what is wrong with it.", "Correct the named fields."},
	{http.StatusBadRequest, "invalid_json", "Not JSON", "The body is not one JSON object in UTF-8.", "Send one JSON object, without duplicate keys, at most 32 levels deep."},
	{http.StatusBadRequest, "invalid_input_url", "Bad input URL", "The source's URL can't be read or is not one that this cluster reads.", "Use http, https, s3 or file as the message says; ask the operator to allow the place."},
	{http.StatusBadRequest, "invalid_output_path", "Bad output path", "The output path can't be read or is not one that this cluster writes to.", "Use s3://bucket/prefix/ or file:///folder/ under an output root."},
	{http.StatusUnauthorized, "not_authenticated", "Not authenticated", "No API key came with the request, or one that is unknown or revoked.", "Send the header “Authorization: Token <key>”."},
	{http.StatusForbidden, "forbidden", "Not allowed", "The key's role doesn't allow this.", "Use a key with the role that the message names."},
	{http.StatusNotFound, "not_found", "Not found", "There is no such thing, or it belongs to another organisation.", "Check the organisation and the identifier in the address."},
	{http.StatusNotFound, "invalid_page", "No such page", "The list has fewer pages.", "Start again at page 1: the list has changed."},
	{http.StatusMethodNotAllowed, "method_not_allowed", "Method not allowed", "The address exists, but not for this method.", "Use one of the methods in the Allow header."},
	{http.StatusConflict, "idempotency_conflict", "Idempotency key used", "The idempotency key was used within a day for a request with another body.", "Use a new key for a new request."},
	{http.StatusConflict, "output_in_use", "Output path in use", "Another unfinished job writes to the same output path.", "Use another prefix, wait for that job, or cancel it."},
	{http.StatusConflict, "not_retryable", "Not retryable", "The job is queued, running or completed.", "Retry only jobs that failed or were cancelled."},
	{http.StatusConflict, "still_stopping", "Still stopping", "The job's last run is still being stopped and its output removed.", "Try again after the seconds in the Retry-After header."},
	{http.StatusConflict, "too_many_webhooks", "Too many webhooks", "The organisation has as many webhooks as it may.", "Delete one first."},
	{http.StatusConflict, "organisation_exists", "Organisation exists", "There is an organisation of this name already.", "Choose another name, or make a key of that organisation."},
	{http.StatusConflict, "last_admin_key", "Last admin key", "The key that is to be revoked is the last one that may manage the cluster.", "Make another admin key of the operator's organisation first."},
	{http.StatusConflict, "node_alive", "Node alive", "The node that is to be removed is up.", "Drain it and stop it first, or add ?force=true."},
	{http.StatusConflict, "last_voter", "Last voter", "The node that is to be removed is the only one that holds the cluster's state with a vote.", "Let another peer join first and become a voter."},
	{http.StatusRequestEntityTooLarge, "body_too_large", "Body too large", "The body has more than 1 MiB.", "Send less: client_metadata is the only field that may be long, up to 10 KB."},
	{http.StatusUnsupportedMediaType, "unsupported_media_type", "Unsupported media type", "The body is said to be something else than JSON.", "Send the header “Content-Type: application/json”."},
	{http.StatusTooManyRequests, "rate_limited", "Too many requests", "The organisation creates jobs, or opens event streams, faster than it may.", "Wait for the seconds in the Retry-After header."},
	{http.StatusTooManyRequests, "quota_exceeded", "Quota exceeded", "The organisation has as many jobs waiting to begin as it may.", "Wait for the seconds in the Retry-After header, or cancel jobs that wait; ask the operator for a larger quota."},
	{http.StatusInternalServerError, "internal_error", "Internal error", "Something in Millrace went wrong.", "Report the incident's number with the peer's log."},
	{http.StatusServiceUnavailable, "no_leader", "No leader", "The cluster is electing a leader, or too few peers are up. If it lost its leader while it made the change, that may still come about.", "Try again after the seconds in the Retry-After header; with an idempotency key that is always safe."},
	{http.StatusServiceUnavailable, "upgrading", "Upgrade under way", "A peer of the cluster still runs an older program, which doesn't know this.", "Try again when the last peer is upgraded."},
	{http.StatusServiceUnavailable, "shutting_down", "Shutting down", "This peer is being stopped.", "Ask another peer."},
	{http.StatusServiceUnavailable, "peer_halted", "Peer halted", "This peer met an entry of the cluster's log that it can't apply, and has stopped rather than answer wrongly.", "Ask another peer; the operator finds the reason in this peer's log, most often that it needs a newer version."},
	{http.StatusServiceUnavailable, "not_ready", "Not ready", "This peer doesn't take jobs yet, or not any more (/readyz).", "See the message; try again later."},
	{http.StatusServiceUnavailable, "node_unreachable", "Node unreachable", "The node that the request is about can't be reached, or refused it.", "See the message; when the node is up again, try again."},
	{http.StatusGatewayTimeout, "timeout", "Timed out", "The cluster did not answer in time. The change may or may not have been made.", "Look before you send it again, or use an idempotency key, with which sending it again is safe."},
}

// problemInfo finds a code's line; a code without one is a bug that
// TestEveryProblemHasItsLine finds.
func problemInfo(code string) ProblemInfo {
	i := slices.IndexFunc(ProblemTable, func(info ProblemInfo) bool { return info.Code == code })
	if i < 0 {
		return ProblemInfo{Status: http.StatusInternalServerError, Code: code, Title: http.StatusText(http.StatusInternalServerError)}
	}
	return ProblemTable[i]
}

// ErrorPage is docs/errors.md: every code, its cause and its cure.
func ErrorPage() string {
	var page strings.Builder
	page.WriteString(`# Errors

Generated by ` + "`go generate ./api`" + ` from the tables in the code; don't edit.

## Refused requests

A request that is refused is answered by a status of 400 or more and a body of type ` + "`application/problem+json`" + `
(RFC 9457) with ` + "`type`, `title`, `status`, `code` and `detail`" + `. For each bad field it has a member of the
field's name with a list of sentences: ` + "`\"resolutions\": [\"This field is required.\"]`" + `. A field whose name is one
of the five above has an underscore after it (` + "`status_`" + `).

| status | code | cause | cure |
| --- | --- | --- | --- |
`)
	for _, info := range ProblemTable {
		fmt.Fprintf(&page, "| %d | `%s` | %s | %s |\n", info.Status, info.Code, info.Cause, info.Cure)
	}
	page.WriteString(`
## Failed jobs

A job whose status is ` + "`Error`" + ` says why in ` + "`error_message`" + ` and in ` + "`error`" + ` (` + "`code`, `message`, `hint`" + `). The blame says
what Millrace did about it: *input* ends the job at once, since every node would fail alike; *store* was retried
first; *node* was tried elsewhere; *unknown* was tried three times.

| code | blame | cause | cure |
| --- | --- | --- | --- |
`)
	for _, info := range job.CodeTable {
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", info.Code, info.Blame, info.Cause, info.Cure)
	}
	return page.String()
}
