package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"millrace/api/client"
)

// webhooksCommand has the commands about webhooks.
type webhooksCommand struct {
	List       webhooksListCommand       `cmd:"" default:"withargs" help:"List webhooks."`
	Add        webhooksAddCommand        `cmd:"" help:"Add a webhook."`
	Remove     webhooksRemoveCommand     `cmd:"" help:"Remove a webhook and what is still to be delivered to it."`
	Resume     webhooksResumeCommand     `cmd:"" help:"Let a paused webhook deliver again."`
	Deliveries webhooksDeliveriesCommand `cmd:"" help:"Show a webhook's events and the tries to deliver them, newest first."`
	Redeliver  webhooksRedeliverCommand  `cmd:"" help:"Send an event again."`
}

type webhooksListCommand struct{ remote }

// Run lists the webhooks; it doesn't show their secrets, except in JSON.
func (c *webhooksListCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	found := []client.Webhook{}
	for webhook, err := range peer.Webhooks(ctx) {
		if err != nil {
			return err
		}
		found = append(found, webhook)
	}
	if c.JSON {
		return std.writeJSON(found)
	}
	rows := make([][]string, len(found))
	for i, webhook := range found {
		state := "delivering"
		if webhook.Paused != nil && *webhook.Paused != "" {
			state = "paused: " + *webhook.Paused
		}
		rows[i] = []string{webhook.ID, webhook.URL, state}
	}
	return std.table([]string{"ID", "URL", "STATE"}, rows)
}

type webhooksAddCommand struct {
	remote
	URL        string `arg:"" help:"Where changes of jobs' statuses are posted."`
	SecretFile string `placeholder:"FILE" help:"File with the secret token; without it one is drawn and printed."`
}

// Run adds the webhook.
func (c *webhooksAddCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	secret, drawn := drawSecret(), true
	if c.SecretFile != "" {
		text, err := os.ReadFile(c.SecretFile)
		if err != nil {
			return usagef("read the secret token: %w", err)
		}
		secret, drawn = strings.TrimSpace(string(text)), false
	}
	created, err := peer.CreateWebhook(ctx, c.URL, secret)
	if err != nil {
		return err
	}
	if c.JSON {
		return std.writeJSON(created)
	}
	fmt.Fprintln(std.out, created.ID)
	if drawn {
		fmt.Fprintf(std.out, "secret token: %s\n", secret)
	}
	return nil
}

// drawSecret makes a secret token of 256 random bits in the form of Standard Webhooks.
func drawSecret() string {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails: it would end the program
	return "whsec_" + base64.StdEncoding.EncodeToString(key[:])
}

type webhooksRemoveCommand struct {
	remote
	ID string `arg:"" help:"The webhook's id."`
}

// Run removes the webhook.
func (c *webhooksRemoveCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	if err := peer.DeleteWebhook(ctx, c.ID); err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "webhook %s is removed\n", c.ID)
	return err
}

type webhooksResumeCommand struct {
	remote
	ID string `arg:"" help:"The webhook's id."`
}

// Run puts the webhook again as it is, which ends its pause.
func (c *webhooksResumeCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	found, err := peer.Webhook(ctx, c.ID)
	if err != nil {
		return err
	}
	resumed, err := peer.UpdateWebhook(ctx, c.ID, found.URL, found.SecretToken)
	if err != nil {
		return err
	}
	if c.JSON {
		return std.writeJSON(resumed)
	}
	_, err = fmt.Fprintf(std.out, "webhook %s delivers again\n", c.ID)
	return err
}

type webhooksDeliveriesCommand struct {
	remote
	ID    string `arg:"" help:"The webhook's id."`
	Limit int    `default:"20" placeholder:"N" help:"How many events at most; 0: all."`
}

// Run shows the delivery log.
func (c *webhooksDeliveriesCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	events := []client.Delivery{}
	for event, err := range peer.Deliveries(ctx, c.ID) {
		if err != nil {
			return err
		}
		if events = append(events, event); len(events) == c.Limit {
			break
		}
	}
	if c.JSON {
		return std.writeJSON(events)
	}
	rows := make([][]string, len(events))
	for i, event := range events {
		rows[i] = append([]string{event.ID, string(event.Job), string(event.Status)}, deliveryCells(event)...)
	}
	return std.table([]string{"EVENT", "JOB", "STATUS", "TRIES", "LAST TRY", "OUTCOME"}, rows)
}

// deliveryCells are the number of tries, the time of the last one, and what
// has become of the event.
func deliveryCells(event client.Delivery) []string {
	if len(event.Attempts) == 0 {
		return []string{"0", "-", "waiting"}
	}
	last := event.Attempts[len(event.Attempts)-1]
	outcome := "delivered"
	switch {
	case last.Error != nil && *last.Error != "" && event.Done:
		outcome = "given up: " + *last.Error
	case last.Error != nil && *last.Error != "":
		outcome = *last.Error
		if last.NextAt != nil {
			outcome += "; again at " + last.NextAt.Local().Format(time.DateTime)
		}
	case !event.Done:
		outcome = "waiting"
	}
	return []string{strconv.Itoa(len(event.Attempts)), last.At.Local().Format(time.DateTime), outcome}
}

type webhooksRedeliverCommand struct {
	remote
	ID    string `arg:"" help:"The webhook's id."`
	Event string `arg:"" help:"The event's id: evt_…"`
}

// Run sends the event again.
func (c *webhooksRedeliverCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	if err := peer.Redeliver(ctx, c.ID, c.Event); err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "event %s is sent again\n", c.Event)
	return err
}
