package webhook

import (
	"context"
	"net/http"
	"sync"
	"time"

	"millrace/cluster"
)

const (
	// scanEvery bounds how often the outbox is looked through: the state
	// changes with every task of every job, most changes bring no event.
	scanEvery = 25 * time.Millisecond
	// rescanAfter bounds how long the clock is trusted to stand still or go on
	// evenly while the next retry is waited for.
	rescanAfter = time.Minute
	// keepPaused is how long events wait for a paused webhook to be put again:
	// a schedule that failed and a long weekend.
	keepPaused = 7 * 24 * time.Hour
)

// Dispatcher delivers the outbox. Make one with New for each term of
// leadership, and Run it once.
type Dispatcher struct {
	config Config
	client *http.Client // never follows a redirect

	// What is being tried now; only Run's goroutine touches it.
	running     map[lane]bool
	ofWebhook   map[string]int
	ofOrg       map[string]int
	jitterMutex sync.Mutex
}

// lane is what events keep their order in: one job's events to one webhook.
type lane struct{ webhook, job string }

// New makes a Dispatcher. It does nothing before Run.
func New(config Config) *Dispatcher {
	client := *config.Client
	client.Timeout = 0 // the try's context has it
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Dispatcher{
		config:    config.withDefaults(),
		client:    &client,
		running:   make(map[lane]bool),
		ofWebhook: make(map[string]int),
		ofOrg:     make(map[string]int),
	}
}

// Run delivers until ctx ends, and returns ctx's error when every try has
// stopped. A try that ctx's end interrupts is not recorded: it is made again.
func (d *Dispatcher) Run(ctx context.Context) error {
	var tries sync.WaitGroup
	defer tries.Wait()
	ended := make(chan *cluster.Event)

	for {
		scanned := d.config.Now()
		view := d.config.State.Stale()
		wake := d.scan(view, scanned, func(webhook *cluster.Webhook, event *cluster.Event) {
			tries.Go(func() {
				d.handle(ctx, webhook, event)
				select {
				case ended <- event:
				case <-ctx.Done():
				}
			})
		})
		if err := d.wait(ctx, view.Changed(), ended, wake); err != nil {
			return err
		}
	}
}

// wait returns when the outbox should be looked through again: something
// changed or ended (but not before scanEvery has passed), or wake has.
func (d *Dispatcher) wait(ctx context.Context, changed <-chan struct{}, ended <-chan *cluster.Event, wake time.Duration) error {
	retry := time.NewTimer(wake)
	defer retry.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case event := <-ended:
		d.release(event)
	case <-changed:
	case <-retry.C:
	}
	rest := time.NewTimer(scanEvery)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event := <-ended:
			d.release(event)
		case <-rest.C:
			return nil
		}
	}
}

// scan starts what is due and has room, and says after how long something else
// will be due.
func (d *Dispatcher) scan(view cluster.View, now time.Time, start func(*cluster.Webhook, *cluster.Event)) time.Duration {
	wake := rescanAfter
	blocked := make(map[lane]bool) // an earlier event of the lane waits
	for event := range view.Outbox() {
		l := laneOf(event)
		if blocked[l] || d.running[l] {
			continue
		}
		webhook, found := view.Webhook(event.Org, event.Webhook)
		if !found {
			continue // deleted: its events go with it
		}
		if webhook.Paused != "" && !stale(event, now) {
			blocked[l] = true
			continue
		}
		if in := due(event).Sub(now); webhook.Paused == "" && in > 0 {
			wake = min(wake, in)
			blocked[l] = true
			continue
		}
		if d.ofWebhook[event.Webhook] >= triesPerWebhook || d.ofOrg[event.Org] >= triesPerOrganisation {
			blocked[l] = true // there will be room when a try ends
			continue
		}
		d.running[l] = true
		d.ofWebhook[event.Webhook]++
		d.ofOrg[event.Org]++
		start(webhook, event)
	}
	return wake
}

// release makes room again after a try.
func (d *Dispatcher) release(event *cluster.Event) {
	delete(d.running, laneOf(event))
	if d.ofWebhook[event.Webhook]--; d.ofWebhook[event.Webhook] == 0 {
		delete(d.ofWebhook, event.Webhook)
	}
	if d.ofOrg[event.Org]--; d.ofOrg[event.Org] == 0 {
		delete(d.ofOrg, event.Org)
	}
}

// stale says that an event has waited for a paused webhook for longer than
// keepPaused: it is given up, or the outbox would grow for ever.
func stale(event *cluster.Event, now time.Time) bool {
	j := event.Job
	last := j.Created
	for _, t := range []time.Time{j.Started, j.Ended} {
		if t.After(last) {
			last = t
		}
	}
	for _, try := range event.Deliveries {
		if try.At.After(last) {
			last = try.At
		}
	}
	return now.Sub(last) > keepPaused
}

func laneOf(event *cluster.Event) lane {
	return lane{webhook: event.Webhook, job: string(event.Job.ID)}
}
