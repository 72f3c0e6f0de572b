package api

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
	"unicode"

	"millrace/cluster"
	"millrace/job"
)

const (
	// maxWebhooks is how many webhooks an organisation may have: each change of
	// a job's status is delivered to each.
	maxWebhooks = 20
	// secretOverlap is how long a replaced secret is signed with besides the new one.
	secretOverlap = 24 * time.Hour
	// hidden stands for a secret that the key may not see.
	hidden = "***"
)

// webhookView is a webhook as the API shows it; the first three fields are the
// original's.
type webhookView struct {
	ID          string   `json:"id"`
	URL         string   `json:"url"`
	SecretToken string   `json:"secret_token"` // hidden but for an admin
	Created     job.Time `json:"created"`
	Paused      *string  `json:"paused"` // why nothing is delivered
}

func (s *Server) showWebhook(c *call, webhook *cluster.Webhook) (webhookView, error) {
	view := webhookView{ID: webhook.ID, URL: webhook.URL, SecretToken: hidden, Created: job.Time(webhook.Created)}
	if webhook.Paused != "" {
		view.Paused = &webhook.Paused
	}
	if c.key.Role == cluster.RoleAdmin {
		secret, err := s.config.Sealer.Open(webhook.Secret, SecretContext)
		if err != nil {
			return view, fmt.Errorf("open the secret of webhook %s: %w", webhook.ID, err)
		}
		view.SecretToken = string(secret)
	}
	return view, nil
}

func (s *Server) listWebhooks(c *call) error {
	wrong := fieldErrors{}
	wanted := parsePage(c.r.URL.Query(), wrong)
	if err := wrong.problem(); err != nil {
		return err
	}
	var views []webhookView
	for _, webhook := range c.view.Webhooks(c.org()) {
		view, err := s.showWebhook(c, webhook)
		if err != nil {
			return err
		}
		views = append(views, view)
	}
	return writePage(s, c, wanted, views, func(view webhookView) webhookView { return view })
}

// findWebhook finds the webhook that the path names.
func (s *Server) findWebhook(c *call) (*cluster.Webhook, error) {
	found, exists := c.view.Webhook(c.org(), c.part("id"))
	if !exists {
		return nil, notFound()
	}
	return found, nil
}

func (s *Server) getWebhook(c *call) error {
	found, err := s.findWebhook(c)
	if err != nil {
		return err
	}
	return s.answerWebhook(c, http.StatusOK, found)
}

func (s *Server) answerWebhook(c *call, status int, webhook *cluster.Webhook) error {
	view, err := s.showWebhook(c, webhook)
	if err != nil {
		return err
	}
	return s.writeJSON(c, status, view)
}

func (s *Server) createWebhook(c *call) error {
	address, secret, err := s.readWebhookRequest(c)
	if err != nil {
		return err
	}
	if len(c.view.Webhooks(c.org())) >= maxWebhooks {
		return newProblem("too_many_webhooks", "The organisation has %d webhooks, which is the limit; delete one first.", maxWebhooks)
	}
	id, err := newUUID(s.config.Random)
	if err != nil {
		return err
	}
	sealed, err := s.config.Sealer.Seal([]byte(secret), SecretContext)
	if err != nil {
		return fmt.Errorf("seal a webhook's secret: %w", err)
	}
	created, err := propose[*cluster.Webhook](c.r.Context(), s, cluster.PutWebhook{Webhook: cluster.Webhook{
		ID: id, Org: c.org(), URL: address, Secret: sealed, Created: s.config.Now().UTC(),
	}})
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", fmt.Sprintf("/api/v1/%s/webhooks/%s/", c.org(), id))
	return s.answerWebhook(c, http.StatusCreated, created)
}

// putWebhook changes a webhook, and lets a paused one deliver again. A secret
// that is replaced stays good for secretOverlap, so that the receiver can
// change over without refusing an event.
func (s *Server) putWebhook(c *call) error {
	found, err := s.findWebhook(c)
	if err != nil {
		return err
	}
	address, secret, err := s.readWebhookRequest(c)
	if err != nil {
		return err
	}
	changed := *found
	changed.URL, changed.Paused = address, ""
	old, err := s.config.Sealer.Open(found.Secret, SecretContext)
	if err != nil {
		return fmt.Errorf("open the secret of webhook %s: %w", found.ID, err)
	}
	if subtle.ConstantTimeCompare(old, []byte(secret)) == 0 {
		changed.PreviousSecret, changed.PreviousUntil = found.Secret, s.config.Now().UTC().Add(secretOverlap)
		if changed.Secret, err = s.config.Sealer.Seal([]byte(secret), SecretContext); err != nil {
			return fmt.Errorf("seal a webhook's secret: %w", err)
		}
	}
	put, err := propose[*cluster.Webhook](c.r.Context(), s, cluster.PutWebhook{Webhook: changed})
	if err != nil {
		return err
	}
	return s.answerWebhook(c, http.StatusOK, put)
}

func (s *Server) deleteWebhook(c *call) error {
	found, err := s.findWebhook(c)
	if err != nil {
		return err
	}
	if _, err := s.config.State.Propose(c.r.Context(), cluster.DeleteWebhook{Org: c.org(), ID: found.ID}); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// readWebhookRequest reads and checks the body of POST and PUT.
func (s *Server) readWebhookRequest(c *call) (address, secret string, err error) {
	body, err := readBody(c.w, c.r)
	if err != nil {
		return "", "", err
	}
	fields, wrong, err := decodeObject(body, s.webhookRules)
	if err != nil {
		return "", "", err
	}
	if wrong["url"] == nil {
		_ = json.Unmarshal(fields["url"], &address) // the schema has seen that it is a string
		if sentence := checkWebhookURL(address); sentence != "" {
			wrong.add("url", "%s", sentence)
		}
	}
	if wrong["secret_token"] == nil {
		_ = json.Unmarshal(fields["secret_token"], &secret)
		for _, c := range secret {
			if c < ' ' || c > '~' {
				wrong.add("secret_token", "This may only have printable ASCII characters: it is sent in a header.")
				break
			}
		}
	}
	return address, secret, wrong.problem()
}

// checkWebhookURL says why nothing can be posted to an address. Whether its
// host may be called is decided at each delivery, by what it resolves to.
func checkWebhookURL(text string) string {
	for _, c := range text {
		if unicode.IsControl(c) || unicode.IsSpace(c) {
			return "The URL contains a space or a control character."
		}
	}
	address, err := url.Parse(text)
	switch {
	case err != nil:
		return "The URL can't be read; write special characters percent-encoded."
	case address.Scheme != "http" && address.Scheme != "https":
		return "The URL must begin with https:// or http://."
	case address.Hostname() == "":
		return "The URL has no host."
	case address.User != nil:
		return "The URL holds a user name or password before the host; that is not accepted."
	}
	return ""
}

// newUUID draws a random UUID (version 4).
func newUUID(random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("draw a UUID: %w", err)
	}
	b[6] = b[6]&0x0f | 0x40 // version 4
	b[8] = b[8]&0x3f | 0x80 // RFC 9562's variant
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}
