package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"millrace/job"
)

const (
	// pollInterval is how often a job is read where its events can't be had.
	pollInterval = 2 * time.Second
	// firstBackoff and lastBackoff bound the wait before connecting again.
	firstBackoff = 500 * time.Millisecond
	lastBackoff  = 15 * time.Second
	// silence is how long a stream may say nothing before it is taken for
	// dead: three of the peer's heartbeats.
	silence = 45 * time.Second
)

// errNoStream: what answered doesn't give events.
var errNoStream = errors.New("the server gives no event stream")

// Watch calls seen with the job as it is and then at each change of its status
// or progress, until it has ended; that state is the last one seen. It
// connects again when the stream breaks and polls where there is none. It
// returns nil when the job has ended, the context's error, or a *Problem that
// trying again can't cure.
func (c *Client) Watch(ctx context.Context, id job.ID, seen func(job.View)) error {
	watcher := &watch{client: c, id: id, seen: seen}
	follow, backoff := watcher.stream, firstBackoff
	for {
		err := follow(ctx)
		if errors.Is(err, errNoStream) {
			follow = watcher.look
			continue
		}
		var problem *Problem
		switch {
		case watcher.ended:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("watch job %s: %w", id, ctx.Err())
		case errors.As(err, &problem) && !problem.Temporary():
			return fmt.Errorf("watch job %s: %w", id, err)
		case watcher.heard:
			backoff, watcher.heard = firstBackoff, false
		}
		wait := backoff
		if err == nil { // polled
			wait = pollInterval
		}
		if problem != nil {
			wait = max(wait, problem.RetryAfter)
		}
		if err := pause(ctx, wait); err != nil {
			return fmt.Errorf("watch job %s: %w", id, err)
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// watch is one job being watched over any number of connections.
type watch struct {
	client *Client
	id     job.ID
	seen   func(job.View)
	lastID string // of the last event that had one
	heard  bool   // an event came over the latest connection
	ended  bool
}

// look reads the job once.
func (w *watch) look(ctx context.Context) error {
	found, err := w.client.Job(ctx, w.id)
	if err == nil {
		w.tell(found)
	}
	return err
}

func (w *watch) tell(j job.View) {
	w.heard = true
	w.ended = j.Status.Terminal()
	w.seen(j)
}

// stream follows the job's events until it ends or the connection does.
func (w *watch) stream(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	header := http.Header{"Accept": {"text/event-stream"}}
	if w.lastID != "" {
		header.Set("Last-Event-ID", w.lastID)
	}
	address := w.client.orgURL("transcoding_jobs", string(w.id), "events")
	response, err := w.client.send(ctx, http.MethodGet, address, header, nil, true)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case response.StatusCode == http.StatusMethodNotAllowed || response.StatusCode == http.StatusNotAcceptable:
		return errNoStream
	case response.StatusCode != http.StatusOK:
		return readProblem(response, response.Body)
	case kind != "text/event-stream":
		return errNoStream
	}
	// Reading has no deadline of its own; cancelling the request ends it.
	alive := time.AfterFunc(silence, stop)
	defer alive.Stop()
	events := newEventReader(response.Body)
	for !w.ended {
		event, err := events.next(func() { alive.Reset(silence) })
		if err != nil {
			if errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read events: %w", err)
		}
		if event.id != "" {
			w.lastID = event.id
		}
		var j job.View
		if err := json.Unmarshal(event.data, &j); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		if j.ID == w.id {
			w.tell(j)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
