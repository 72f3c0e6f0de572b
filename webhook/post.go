package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"millrace/cluster"
	"millrace/job"
)

// answer is what came of one try.
type answer struct {
	status int   // 0 when the endpoint did not answer
	err    error // nil when the event is delivered
	// retryAfter is the pause that the endpoint asked for, 0 for none.
	retryAfter time.Duration
}

// gone says that the endpoint wants no more events, ever.
func (a answer) gone() bool { return a.status == http.StatusGone }

// post tries once to deliver an event. The endpoint has taken it when it
// answers with any 2xx.
func (d *Dispatcher) post(ctx context.Context, webhook *cluster.Webhook, event *cluster.Event, at time.Time) answer {
	ctx, cancel := context.WithTimeout(ctx, d.config.Timeout)
	defer cancel()
	request, err := d.request(ctx, webhook, event, at)
	if err != nil {
		return answer{err: err}
	}
	response, err := d.client.Do(request)
	if err != nil {
		return answer{err: withoutURL(err, d.config.Timeout)}
	}
	// An answer that is read to its end frees its connection for the next
	// event; what can't be read is no failure, the status has been said.
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxResponseBytes))
	_ = response.Body.Close()

	result := answer{status: response.StatusCode, retryAfter: retryAfter(response.Header)}
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
	case code >= 300 && code < 400:
		result.err = fmt.Errorf("the endpoint answered %s: redirects are not followed, set the webhook's url to where it leads", status(code))
	default:
		result.err = fmt.Errorf("the endpoint answered %s", status(code))
	}
	return result
}

func (d *Dispatcher) request(ctx context.Context, webhook *cluster.Webhook, event *cluster.Event, at time.Time) (*http.Request, error) {
	body, err := json.Marshal(job.NewView(event.Job, job.Progress{}))
	if err != nil {
		return nil, fmt.Errorf("write job %s as JSON: %w", event.Job.ID, err)
	}
	secrets, err := d.secrets(webhook, at)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, webhook.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("address the webhook: %w", withoutURL(err, 0))
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "Millrace/"+d.config.Version)
	return request, sign(request.Header, event.ID, at, body, secrets...)
}

// secrets are the webhook's current secret and, while it is being rotated, the
// one before.
func (d *Dispatcher) secrets(webhook *cluster.Webhook, at time.Time) ([]string, error) {
	current, err := d.config.Sealer.Open(webhook.Secret, SecretContext)
	if err != nil {
		return nil, fmt.Errorf("open the secret of webhook %s: %w", webhook.ID, err)
	}
	secrets := []string{string(current)}
	if len(webhook.PreviousSecret) > 0 && at.Before(webhook.PreviousUntil) {
		previous, err := d.config.Sealer.Open(webhook.PreviousSecret, SecretContext)
		if err != nil {
			return nil, fmt.Errorf("open the previous secret of webhook %s: %w", webhook.ID, err)
		}
		secrets = append(secrets, string(previous))
	}
	return secrets, nil
}

// withoutURL takes the address out of a client's error: it may hold a secret,
// and the reader of the delivery log knows it.
func withoutURL(err error, timeout time.Duration) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the endpoint did not answer within %s", timeout)
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// status is "404 Not Found".
func status(code int) string {
	if text := http.StatusText(code); text != "" {
		return strconv.Itoa(code) + " " + text
	}
	return strconv.Itoa(code)
}

// retryAfter reads the header in its form of seconds; what is not of that form
// is ignored.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
}
