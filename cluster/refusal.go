package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// refusal is an error on its way between peers: its text, and which of the
// errors that callers decide by it is.
type refusal struct {
	Text  string   `json:"text"`
	Kinds []string `json:"kinds,omitempty"`
}

// refusals are the errors that stay themselves on the way.
var refusals = []struct {
	kind string
	err  error
}{
	{"no_leader", ErrNoLeader}, {"not_leader", ErrNotLeader}, {"closed", ErrClosed}, {"halted", ErrHalted},
	{"not_found", ErrNotFound}, {"exists", ErrExists}, {"other_cluster", ErrOtherCluster}, {"removed", ErrRemoved}, {"node_id", ErrNodeID}, {"upgrading", ErrUpgrading}, {"no_state", ErrNoState},
	{"uncertain", errUncertain}, {"no_method", errNoMethod},
	{"cancelled", context.Canceled}, {"deadline", context.DeadlineExceeded},
}

// remoteError is another peer's error.
type remoteError struct {
	text  string
	kinds []error
}

func (e *remoteError) Error() string   { return e.text }
func (e *remoteError) Unwrap() []error { return e.kinds }

func writeRefusal(w http.ResponseWriter, err error) {
	r := refusal{Text: err.Error()}
	for _, known := range refusals {
		if errors.Is(err, known.err) {
			r.Kinds = append(r.Kinds, known.kind)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusConflict)
	_ = json.NewEncoder(w).Encode(r) // the caller finds out
}

func decodeRefusal(status int, body []byte) error {
	var r refusal
	if err := json.Unmarshal(body, &r); err != nil || r.Text == "" {
		return fmt.Errorf("%w: the peer answered %d %.200q", errUncertain, status, body)
	}
	e := &remoteError{text: r.Text}
	for _, known := range refusals {
		for _, kind := range r.Kinds {
			if kind != known.kind {
				continue
			}
			switch known.kind {
			case "closed":
				// That peer is closing, not this one; what it had begun may be done.
				e.kinds = append(e.kinds, ErrNoLeader, errUncertain)
			case "halted":
				e.kinds = append(e.kinds, ErrNoLeader)
			case "cancelled":
				e.kinds = append(e.kinds, errUncertain) // not the caller's: that ends the call
			case "deadline":
				e.kinds = append(e.kinds, known.err, errUncertain) // the caller's, a moment early
			default:
				e.kinds = append(e.kinds, known.err)
			}
		}
	}
	return e
}
