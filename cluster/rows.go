package cluster

import (
	"time"

	"millrace/job"
)

// Organisation owns jobs, keys and webhooks; it never sees another's.
type Organisation struct {
	ID      string    `json:"id"` // as in the API's paths: "default"
	Created time.Time `json:"created"`
	Limits
	// Use is what it had of the video that it may have each day. It is counted
	// from when limits were first set, nil before.
	Use *DayUse `json:"use,omitempty"`
}

// Limits are what an organisation may have of the cluster.
type Limits struct {
	// Weight is its share of the rack to the others', while they all have work
	// waiting; 0 is 1.
	Weight float64 `json:"weight,omitempty"`
	// MaxRunning is how many of its jobs run at once, MaxQueued how many may wait
	// to begin; 0 is any number.
	MaxRunning int `json:"max_running,omitempty"`
	MaxQueued  int `json:"max_queued,omitempty"`
	// MinutesPerDay is how many minutes of video, by their timelines, its jobs may
	// begin to encode between two midnights in UTC; 0 is any number. The leader
	// keeps to it: jobs that don't fit wait for a later day.
	MinutesPerDay int `json:"minutes_per_day,omitempty"`
}

// DayUse is the video that an organisation's jobs began to encode on one day.
type DayUse struct {
	Day   string        `json:"day"`   // in UTC: "2026-11-24"
	Video time.Duration `json:"video"` // the sum of the jobs' timelines
}

// UsedOn is the video that the organisation's jobs have begun to encode on the
// day of a moment. Where a leader's clock was ahead, the later day counts.
func (o *Organisation) UsedOn(at time.Time) time.Duration {
	if o.Use == nil || o.Use.Day < dayOf(at) {
		return 0
	}
	return o.Use.Video
}

// dayOf is a moment's day in UTC, which sorts as text.
func dayOf(at time.Time) string { return at.UTC().Format(time.DateOnly) }

// DayEnds is when a moment's day in UTC ends, and an organisation's minutes begin
// anew.
func DayEnds(at time.Time) time.Time { return at.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour) }

// Tally is how many jobs an organisation has that haven't ended.
type Tally struct {
	Queued  int // wait for their first task to begin
	Running int
}

// Role is what a key may do.
type Role string

// The roles, each with the rights of those after it.
const (
	RoleAdmin  Role = "admin"  // keys, webhooks, storage, cluster
	RoleSubmit Role = "submit" // jobs
	RoleRead   Role = "read"
)

// Key is an API key as the state holds it: only its hash, so that whoever
// reads the state can't use it.
type Key struct {
	ID      string    `json:"id"`
	Org     string    `json:"org"`
	Role    Role      `json:"role"`
	Label   string    `json:"label,omitempty"`
	SHA256  []byte    `json:"sha256"` // of the key's text; keys have 256 random bits, so no salt is needed
	Created time.Time `json:"created"`
	Revoked time.Time `json:"revoked,omitzero"`
}

// NodeState is what is decided about a node; what a node is and does, its
// peers know from gossip.
type NodeState struct {
	ID string `json:"id"`
	// Draining: it gets nothing new to do.
	Draining bool      `json:"draining"`
	Changed  time.Time `json:"changed"` // when Draining last became what it is
}

// Webhook is where an organisation wants its jobs' changes of status posted.
type Webhook struct {
	ID      string    `json:"id"` // a UUID
	Org     string    `json:"org"`
	URL     string    `json:"url"`
	Secret  []byte    `json:"secret"` // the secret token, sealed under the cluster's key
	Created time.Time `json:"created"`
	// PreviousSecret is still used to sign besides Secret until PreviousUntil.
	PreviousSecret []byte    `json:"previous_secret,omitempty"`
	PreviousUntil  time.Time `json:"previous_until,omitzero"`
	// Paused says why deliveries are stopped, "" while they aren't.
	Paused string `json:"paused,omitempty"`
}

// Event is a change of a job's status on its way to one webhook: the outbox.
// It is written by the very command that changes the status.
type Event struct {
	Number  uint64   `json:"number"` // grows in the order of the changes; unique in the cluster
	ID      string   `json:"id"`     // the webhook-id that a receiver deduplicates by: "evt_<number>"
	Org     string   `json:"org"`
	Webhook string   `json:"webhook"`
	Job     *job.Job `json:"job"` // as it was at that change
	// Done is set when the event was delivered or given up: it is then only a
	// line of the delivery log.
	Done       bool       `json:"done"`
	Deliveries []Delivery `json:"deliveries,omitempty"` // tries, oldest first
}

// Delivery is one try to deliver an event.
type Delivery struct {
	At         time.Time     `json:"at"`
	Elapsed    time.Duration `json:"elapsed"`
	StatusCode int           `json:"status_code,omitempty"` // the receiver's answer, 0 if there was none
	Error      string        `json:"error,omitempty"`
	// NextAt is when it is tried again; zero if it isn't.
	NextAt time.Time `json:"next_at,omitzero"`
}
