package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Limits are what an organisation may have of the cluster; nil is any number.
type Limits struct {
	Weight        float64 `json:"weight"` // its share to the others'; 1 is usual
	MaxRunning    *int    `json:"max_running"`
	MaxQueued     *int    `json:"max_queued"`
	MinutesPerDay *int    `json:"minutes_per_day"` // of video that its jobs may begin to encode, by the day in UTC
}

// LimitsAndUsage are an organisation's limits and what it has now.
type LimitsAndUsage struct {
	Limits
	Usage struct {
		Running int `json:"running"` // jobs
		Queued  int `json:"queued"`
		// MinutesToday is nil where limits were never set: it isn't counted then.
		MinutesToday *float64  `json:"minutes_today"`
		DayEnds      time.Time `json:"day_ends"`
	} `json:"usage"`
}

// Organisation owns jobs, keys and webhooks.
type Organisation struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	LimitsAndUsage
}

// Key is an API key.
type Key struct {
	ID      string     `json:"id"`
	Role    string     `json:"role"` // "admin", "submit", "read"
	Label   string     `json:"label"`
	Created time.Time  `json:"created"`
	Revoked *time.Time `json:"revoked"` // nil while it holds
	// Text is what its holder sends; only a key that was just made has it.
	Text string `json:"key,omitempty"`
}

// NewOrganisation is an organisation that was just made, with an admin key.
type NewOrganisation struct {
	Organisation
	Key Key `json:"key"`
}

func organisationURL(elements ...string) *url.URL {
	return clusterURL(append([]string{"organisations"}, elements...)...)
}

// Organisations lists the cluster's organisations, by ID; for the operator only,
// like all that follows but OwnLimits.
func (c *Client) Organisations(ctx context.Context) iter.Seq2[Organisation, error] {
	return pages[Organisation](ctx, c, organisationURL(), url.Values{"page_size": {"100"}})
}

// CreateOrganisation makes an organisation and its first key.
func (c *Client) CreateOrganisation(ctx context.Context, id string) (NewOrganisation, error) {
	var made NewOrganisation
	err := c.do(ctx, http.MethodPost, organisationURL(), nil, map[string]string{"id": id}, &made)
	return made, wrap("create the organisation "+id, err)
}

// OwnLimits reads what the client's organisation may have.
func (c *Client) OwnLimits(ctx context.Context) (LimitsAndUsage, error) {
	var found LimitsAndUsage
	err := c.do(ctx, http.MethodGet, c.orgURL("limits"), nil, nil, &found)
	return found, wrap("read the organisation's limits", err)
}

// LimitsOf reads what an organisation may have.
func (c *Client) LimitsOf(ctx context.Context, id string) (LimitsAndUsage, error) {
	var found LimitsAndUsage
	err := c.do(ctx, http.MethodGet, organisationURL(id, "limits"), nil, nil, &found)
	return found, wrap("read the limits of the organisation "+id, err)
}

// SetLimits replaces all of an organisation's limits.
func (c *Client) SetLimits(ctx context.Context, id string, limits Limits) (LimitsAndUsage, error) {
	var set LimitsAndUsage
	err := c.do(ctx, http.MethodPut, organisationURL(id, "limits"), nil, limits, &set)
	return set, wrap("set the limits of the organisation "+id, err)
}

// Keys lists an organisation's keys, oldest first.
func (c *Client) Keys(ctx context.Context, id string) iter.Seq2[Key, error] {
	return pages[Key](ctx, c, organisationURL(id, "keys"), url.Values{"page_size": {"100"}})
}

// CreateKey makes a key of an organisation with a role.
func (c *Client) CreateKey(ctx context.Context, id, role, label string) (Key, error) {
	var made Key
	err := c.do(ctx, http.MethodPost, organisationURL(id, "keys"), nil, map[string]string{"role": role, "label": label}, &made)
	return made, wrap("create a key of the organisation "+id, err)
}

// RevokeKey takes a key's rights away.
func (c *Client) RevokeKey(ctx context.Context, id, key string) error {
	return wrap("revoke the key "+key, c.do(ctx, http.MethodDelete, organisationURL(id, "keys", key), nil, nil, nil))
}
