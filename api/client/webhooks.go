package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"

	"millrace/job"
)

// Webhook is where an organisation wants its jobs' changes of status posted.
type Webhook struct {
	ID  string `json:"id"`
	URL string `json:"url"`
	// SecretToken is "***" for a key that isn't an admin's.
	SecretToken string    `json:"secret_token"`
	Created     time.Time `json:"created"`
	// Paused says why nothing is delivered, nil while deliveries go out.
	Paused *string `json:"paused"`
}

// Delivery is one event and the tries to deliver it.
type Delivery struct {
	ID       string     `json:"id"` // "evt_42", the webhook-id that the receiver sees
	Job      job.ID     `json:"job_id"`
	Status   job.Status `json:"status"` // the job's, that the event tells of
	Done     bool       `json:"done"`   // delivered or given up
	Attempts []Try      `json:"attempts"`
}

// Try is one try to deliver an event.
type Try struct {
	At             time.Time  `json:"at"`
	ElapsedSeconds float64    `json:"elapsed_seconds"`
	StatusCode     *int       `json:"status_code"` // nil when the receiver didn't answer
	Error          *string    `json:"error"`
	NextAt         *time.Time `json:"next_at"` // nil when it isn't tried again
}

type webhookRequest struct {
	URL         string `json:"url"`
	SecretToken string `json:"secret_token"`
}

// CreateWebhook adds a webhook.
func (c *Client) CreateWebhook(ctx context.Context, address, secretToken string) (Webhook, error) {
	var created Webhook
	err := c.do(ctx, http.MethodPost, c.orgURL("webhooks"), nil, webhookRequest{address, secretToken}, &created)
	return created, wrap("create the webhook", err)
}

// Webhook reads a webhook.
func (c *Client) Webhook(ctx context.Context, id string) (Webhook, error) {
	var found Webhook
	err := c.do(ctx, http.MethodGet, c.orgURL("webhooks", id), nil, nil, &found)
	return found, wrap("read webhook "+id, err)
}

// Webhooks lists the organisation's webhooks, oldest first.
func (c *Client) Webhooks(ctx context.Context) iter.Seq2[Webhook, error] {
	return pages[Webhook](ctx, c, c.orgURL("webhooks"), url.Values{})
}

// UpdateWebhook changes a webhook's address and secret token, and lets a
// paused one deliver again. A secret that it replaces is signed with, beside
// the new one, for another day.
func (c *Client) UpdateWebhook(ctx context.Context, id, address, secretToken string) (Webhook, error) {
	var updated Webhook
	err := c.do(ctx, http.MethodPut, c.orgURL("webhooks", id), nil, webhookRequest{address, secretToken}, &updated)
	return updated, wrap("update webhook "+id, err)
}

// DeleteWebhook removes a webhook and what was still to be delivered to it.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	return wrap("delete webhook "+id, c.do(ctx, http.MethodDelete, c.orgURL("webhooks", id), nil, nil, nil))
}

// Deliveries lists a webhook's events, newest first.
func (c *Client) Deliveries(ctx context.Context, webhook string) iter.Seq2[Delivery, error] {
	return pages[Delivery](ctx, c, c.orgURL("webhooks", webhook, "deliveries"), url.Values{})
}

// Redeliver sends an event again.
func (c *Client) Redeliver(ctx context.Context, webhook, event string) error {
	err := c.do(ctx, http.MethodPost, c.orgURL("webhooks", webhook, "deliveries", event, "redeliver"), nil, nil, nil)
	return wrap("redeliver "+event, err)
}
