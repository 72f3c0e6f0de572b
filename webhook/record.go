package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace/cluster"
)

// recordRetry is the pause before the outcome of a try is proposed again.
const recordRetry = time.Second

// handle makes one try and records what came of it. It returns without a
// record only when ctx ends or the webhook is deleted.
func (d *Dispatcher) handle(ctx context.Context, webhook *cluster.Webhook, event *cluster.Event) {
	log := d.config.Logger.With("job", event.Job.ID, "webhook", webhook.ID, "event", event.ID)
	began := d.config.Now()
	if webhook.Paused != "" {
		log.Info("gave up an event of a paused webhook")
		d.record(ctx, cluster.RecordDelivery{Event: event.Number, Done: true, Delivery: cluster.Delivery{
			At: began, Error: "not delivered: the webhook was paused for too long"}})
		return
	}
	result := d.post(ctx, webhook, event, began)
	if ctx.Err() != nil {
		return // another leader tries it anew
	}
	command := d.outcome(event, began, d.config.Now(), result)
	switch {
	case result.err == nil:
		log.Debug("delivered an event", "status", result.status, "elapsed", command.Delivery.Elapsed)
	case command.PauseWebhook != "":
		log.Warn("paused a webhook", "reason", command.PauseWebhook)
	default:
		log.Info("an event was not delivered", "error", result.err, "next_at", command.Delivery.NextAt)
	}
	d.record(ctx, command)
}

// outcome is the command that a try leads to.
func (d *Dispatcher) outcome(event *cluster.Event, began, ended time.Time, result answer) cluster.RecordDelivery {
	command := cluster.RecordDelivery{
		Event:    event.Number,
		Delivery: cluster.Delivery{At: began, Elapsed: ended.Sub(began), StatusCode: result.status},
	}
	if result.err == nil {
		command.Done = true
		return command
	}
	command.Delivery.Error = result.err.Error()
	if result.gone() {
		command.Done = true
		command.PauseWebhook = "The endpoint answered 410 Gone: it wants no more events. Put the webhook again to resume."
		return command
	}
	earlier := round(event.Deliveries)
	first := began
	if len(earlier) > 0 {
		first = earlier[0].At
	}
	d.jitterMutex.Lock()
	next, again := d.config.Schedule.next(first, ended, len(earlier)+1, result.retryAfter, d.config.Jitter)
	d.jitterMutex.Unlock()
	if again {
		command.Delivery.NextAt = next
		return command
	}
	command.Done = true
	command.PauseWebhook = fmt.Sprintf(
		"Event %s failed %d times in %s, the last time because %s. Mend the endpoint, then put the webhook again to resume.",
		event.ID, len(earlier)+1, ended.Sub(first).Round(time.Second), result.err)
	return command
}

// record proposes the outcome of a try until the cluster has taken it.
func (d *Dispatcher) record(ctx context.Context, command cluster.RecordDelivery) {
	for {
		_, err := d.config.State.Propose(ctx, command)
		if err == nil || errors.Is(err, cluster.ErrNotFound) || ctx.Err() != nil {
			return
		}
		d.config.Logger.Warn("the outcome of a delivery could not be recorded, trying again", "event", command.Event, "error", err)
		pause := time.NewTimer(recordRetry)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}
