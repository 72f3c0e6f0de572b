package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"millrace/api/client"
)

// orgsCommand has the commands about organisations, most of them for the operator.
type orgsCommand struct {
	List      orgsListCommand      `cmd:"" default:"withargs" help:"List organisations with their limits and what they have."`
	Add       orgsAddCommand       `cmd:"" help:"Make an organisation, and print its first key."`
	Limits    orgsLimitsCommand    `cmd:"" help:"Show an organisation's limits, or set some of them."`
	Keys      orgsKeysCommand      `cmd:"" help:"List an organisation's API keys."`
	AddKey    orgsAddKeyCommand    `cmd:"" help:"Make an API key of an organisation, and print it."`
	RevokeKey orgsRevokeKeyCommand `cmd:"" help:"Take an API key's rights away."`
}

type orgsListCommand struct{ remote }

// Run lists the organisations.
func (c *orgsListCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	found := []client.Organisation{}
	for org, err := range peer.Organisations(ctx) {
		if err != nil {
			return err
		}
		found = append(found, org)
	}
	if c.JSON {
		return std.writeJSON(found)
	}
	rows := make([][]string, len(found))
	for i, org := range found {
		rows[i] = []string{
			org.ID, number(org.Weight), ofLimit(strconv.Itoa(org.Usage.Running), org.MaxRunning),
			ofLimit(strconv.Itoa(org.Usage.Queued), org.MaxQueued), ofLimit(minutesText(org.Usage.MinutesToday), org.MinutesPerDay),
		}
	}
	return std.table([]string{"ID", "WEIGHT", "RUNNING", "QUEUED", "MINUTES TODAY"}, rows)
}

// ofLimit is what there is of how much there may be.
func ofLimit(has string, limit *int) string {
	if limit == nil {
		return has
	}
	return fmt.Sprintf("%s of %d", has, *limit)
}

func number(value float64) string { return strconv.FormatFloat(value, 'g', -1, 64) }

// minutesText is minutes to a tenth, "-" where they aren't counted.
func minutesText(minutes *float64) string {
	if minutes == nil {
		return "-"
	}
	return strconv.FormatFloat(*minutes, 'f', 1, 64)
}

type orgsAddCommand struct {
	remote
	ID string `arg:"" help:"The new organisation's id: lower-case letters, digits, dashes, underscores."`
}

// Run makes the organisation.
func (c *orgsAddCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	made, err := peer.CreateOrganisation(ctx, c.ID)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return std.writeJSON(made)
	}
	_, err = fmt.Fprintf(std.out, "organisation %s is made; its admin key, which is shown this once:\n%s\n", made.ID, made.Key.Text)
	return err
}

type orgsLimitsCommand struct {
	remote
	ID            string   `arg:"" optional:"" help:"The organisation's id; without it your own is shown."`
	Weight        *float64 `placeholder:"W" help:"Its share to the others' while all have work waiting: 0.01 to 100."`
	MaxRunning    *limit   `placeholder:"N" help:"How many of its jobs run at once, or none for any number."`
	MaxQueued     *limit   `placeholder:"N" help:"How many of its jobs may wait to begin, or none."`
	MinutesPerDay *limit   `placeholder:"N" help:"How many minutes of video its jobs may begin to encode each day (UTC), or none."`
}

// limit is a number of 1 or more, or nil for any number.
type limit struct{ number *int }

// UnmarshalText reads "12" or "none".
func (l *limit) UnmarshalText(text []byte) error {
	if string(text) == "none" {
		l.number = nil
		return nil
	}
	number, err := strconv.Atoi(string(text))
	if err != nil || number < 1 {
		return fmt.Errorf("%q is neither a number from 1 on nor none", text)
	}
	l.number = &number
	return nil
}

// Run shows the limits, or sets those that are named and keeps the others.
func (c *orgsLimitsCommand) Run(ctx context.Context, std streams) error {
	sets := c.Weight != nil || c.MaxRunning != nil || c.MaxQueued != nil || c.MinutesPerDay != nil
	if sets && c.ID == "" {
		return usagef("name the organisation whose limits are to be set: millrace orgs limits ORG …")
	}
	peer, err := c.dial()
	if err != nil {
		return err
	}
	var now client.LimitsAndUsage
	if c.ID == "" {
		now, err = peer.OwnLimits(ctx)
	} else {
		now, err = peer.LimitsOf(ctx, c.ID)
	}
	if err == nil && sets {
		now, err = peer.SetLimits(ctx, c.ID, c.changed(now.Limits))
	}
	switch {
	case err != nil:
		return err
	case c.JSON:
		return std.writeJSON(now)
	}
	return std.table([]string{"LIMIT", "IS", "NOW"}, [][]string{
		{"weight", number(now.Weight), "-"},
		{"jobs running", limitText(now.MaxRunning), strconv.Itoa(now.Usage.Running)},
		{"jobs queued", limitText(now.MaxQueued), strconv.Itoa(now.Usage.Queued)},
		{"minutes each day", limitText(now.MinutesPerDay), minutesText(now.Usage.MinutesToday)},
	})
}

func (c *orgsLimitsCommand) changed(limits client.Limits) client.Limits {
	if c.Weight != nil {
		limits.Weight = *c.Weight
	}
	for into, given := range map[**int]*limit{&limits.MaxRunning: c.MaxRunning, &limits.MaxQueued: c.MaxQueued, &limits.MinutesPerDay: c.MinutesPerDay} {
		if given != nil {
			*into = given.number
		}
	}
	return limits
}

func limitText(limit *int) string {
	if limit == nil {
		return "none"
	}
	return strconv.Itoa(*limit)
}

type orgsKeysCommand struct {
	remote
	ID string `arg:"" help:"The organisation's id."`
}

// Run lists the keys; nobody has their text but their holders.
func (c *orgsKeysCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	found := []client.Key{}
	for key, err := range peer.Keys(ctx, c.ID) {
		if err != nil {
			return err
		}
		found = append(found, key)
	}
	if c.JSON {
		return std.writeJSON(found)
	}
	rows := make([][]string, len(found))
	for i, key := range found {
		state := "holds"
		if key.Revoked != nil {
			state = "revoked"
		}
		rows[i] = []string{key.ID, key.Role, state, key.Created.Local().Format(time.DateTime), key.Label}
	}
	return std.table([]string{"ID", "ROLE", "STATE", "MADE", "LABEL"}, rows)
}

type orgsAddKeyCommand struct {
	remote
	ID    string `arg:"" help:"The organisation's id."`
	Role  string `default:"submit" enum:"admin,submit,read" help:"What it may do: admin, submit (jobs) or read."`
	Label string `placeholder:"TEXT" help:"Whatever tells its holder from others."`
}

// Run makes the key.
func (c *orgsAddKeyCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	made, err := peer.CreateKey(ctx, c.ID, c.Role, c.Label)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return std.writeJSON(made)
	}
	_, err = fmt.Fprintf(std.out, "key %s is made; its text, which is shown this once:\n%s\n", made.ID, made.Text)
	return err
}

type orgsRevokeKeyCommand struct {
	remote
	ID  string `arg:"" help:"The organisation's id."`
	Key string `arg:"" help:"The key's id: key_…"`
}

// Run revokes the key.
func (c *orgsRevokeKeyCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	if err := peer.RevokeKey(ctx, c.ID, c.Key); err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "key %s is revoked\n", c.Key)
	return err
}
