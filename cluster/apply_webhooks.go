package cluster

import (
	"errors"
	"fmt"
	"slices"
)

// maxDeliveriesKept bounds an event's memory of its tries. Three days of
// retries with backoff are about fifteen.
const maxDeliveriesKept = 32

func (c PutWebhook) apply(t *tx) (any, error) {
	if err := t.requireOrganisation(c.Webhook.Org); err != nil {
		return nil, err
	}
	if c.Webhook.ID == "" {
		return nil, errors.New("put a webhook without an id")
	}
	webhook := c.Webhook
	if old, ok := first[*Webhook](t.txn, tableWebhooks, indexID, webhookKey(webhook.Org, webhook.ID)); ok {
		webhook.Created = old.Created // its place in the list stays
	}
	t.put(tableWebhooks, &webhook)
	return &webhook, nil
}

func (c DeleteWebhook) apply(t *tx) (any, error) {
	key := webhookKey(c.Org, c.ID)
	old, ok := first[*Webhook](t.txn, tableWebhooks, indexID, key)
	if !ok {
		return nil, fmt.Errorf("webhook %s: %w", c.ID, ErrNotFound)
	}
	for _, event := range slices.Collect(scan[*Event](t.txn, tableEvents, indexWebhook, key)) {
		t.remove(tableEvents, event)
	}
	t.remove(tableWebhooks, old)
	return nil, nil
}

func (c RecordDelivery) apply(t *tx) (any, error) {
	old, ok := first[*Event](t.txn, tableEvents, indexID, number(nil, c.Event))
	if !ok {
		return nil, fmt.Errorf("event %d: %w", c.Event, ErrNotFound)
	}
	event := *old
	kept := old.Deliveries[max(0, len(old.Deliveries)-maxDeliveriesKept+1):]
	event.Deliveries = append(slices.Clone(kept), c.Delivery)
	event.Done = c.Done
	t.put(tableEvents, &event)
	if c.PauseWebhook != "" {
		if webhook, ok := first[*Webhook](t.txn, tableWebhooks, indexID, webhookKey(event.Org, event.Webhook)); ok {
			paused := *webhook
			paused.Paused = c.PauseWebhook
			t.put(tableWebhooks, &paused)
		}
	}
	return nil, nil
}

func (c Redeliver) apply(t *tx) (any, error) {
	old, ok := first[*Event](t.txn, tableEvents, indexID, number(nil, c.Event))
	if !ok || old.Org != c.Org || old.Webhook != c.Webhook {
		return nil, fmt.Errorf("event %d of webhook %s: %w", c.Event, c.Webhook, ErrNotFound)
	}
	if old.Done {
		event := *old
		event.Done = false
		t.put(tableEvents, &event)
	}
	return nil, nil
}
