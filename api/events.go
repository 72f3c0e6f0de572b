package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"millrace/cluster"
	"millrace/job"
)

// streamWriteTimeout is how long a client of a stream may leave what it was
// sent unread before its connection is closed.
const streamWriteTimeout = 10 * time.Second

// jobEvents streams one job: first as it is, unless the client knows that
// state, then each change.
func (s *Server) jobEvents(c *call) error {
	found, err := s.findJob(c)
	if err != nil {
		return err
	}
	last, _ := lastEventID(c)
	s.refresh(c, found)
	return s.stream(c, found.ID, last)
}

// orgEvents streams an organisation's jobs: the changes since the client's
// Last-Event-ID, or from now on.
func (s *Server) orgEvents(c *call) error {
	last, given := lastEventID(c)
	if !given {
		last = c.view.Index()
	}
	return s.stream(c, "", last)
}

// lastEventID is the revision that the client was told last. One that this
// state has not come to is of another history: it counts as none.
func lastEventID(c *call) (uint64, bool) {
	last, err := strconv.ParseUint(c.r.Header.Get("Last-Event-ID"), 10, 64)
	if err != nil || last > c.view.Index() {
		return 0, false
	}
	return last, true
}

// stream sends events until the client goes, its key is revoked or the server
// stops.
func (s *Server) stream(c *call, id job.ID, last uint64) error {
	sub, room := s.streams.subscribe(c.org(), id, last)
	if !room {
		return &problem{code: "rate_limited", detail: "This peer serves as many event streams as it can; ask another peer, or poll.", retryAfter: s.config.Heartbeat}
	}
	defer s.streams.unsubscribe(sub)
	header := c.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // nginx would hold events back
	out := &eventWriter{w: c.w, limits: http.NewResponseController(c.w)}
	_ = out.limits.SetReadDeadline(time.Time{}) // nothing more is to be read
	c.w.WriteHeader(http.StatusOK)
	if id == "" {
		// An id without data is no event, but what the client comes back with.
		fmt.Fprintf(&out.text, "id: %d\n\n", last)
	}
	out.text.WriteString(": open\n\n")
	if out.flush() != nil {
		return nil
	}
	heartbeat := time.NewTicker(s.config.Heartbeat)
	defer heartbeat.Stop()
	for {
		select {
		case <-c.r.Context().Done():
			return nil
		case <-stopping(c.r.Context()):
			return nil
		case <-heartbeat.C:
			if !s.stillAllowed(c.key) || s.config.Elsewhere() != nil {
				return nil // a peer that lost its state tells nothing more
			}
			out.text.WriteString(": heartbeat\n\n")
		case <-sub.wake:
			pending, keepsUp := sub.take()
			for i, n := range pending {
				out.add(n, i+1 == len(pending) || pending[i+1].job.Revision > n.job.Revision)
				if out.text.Len() > maxBuffered && out.flush() != nil {
					return nil
				}
			}
			if !keepsUp {
				_ = out.flush() // the connection ends either way
				return nil
			}
		}
		if out.flush() != nil {
			return nil
		}
	}
}

// stillAllowed says whether the key that opened a stream is still good.
func (s *Server) stillAllowed(key *cluster.Key) bool {
	_, known := s.config.State.Stale().KeyByHash(key.SHA256)
	return known
}

// maxBuffered is how many bytes of events are gathered before they are sent.
const maxBuffered = 64 << 10

// eventWriter writes Server-Sent Events to one client.
type eventWriter struct {
	w      http.ResponseWriter
	limits *http.ResponseController
	text   bytes.Buffer
}

// add appends an event. Only changes of the job carry an id: progress is not
// worth coming back for. Jobs that were changed together have one revision, and only
// the last of them carries it: who is cut off before that is told of all again.
func (e *eventWriter) add(n news, last bool) {
	view, err := json.Marshal(job.NewView(n.job, n.progress))
	if err != nil {
		panic(err) // nothing that is shown can't be encoded
	}
	name := "progress"
	if n.status {
		if name = "status"; last {
			fmt.Fprintf(&e.text, "id: %d\n", n.job.Revision)
		}
	}
	fmt.Fprintf(&e.text, "event: %s\ndata: %s\n\n", name, view)
}

func (e *eventWriter) flush() error {
	if e.text.Len() == 0 {
		return nil
	}
	_ = e.limits.SetWriteDeadline(time.Now().Add(streamWriteTimeout)) // see ServeHTTP
	_, err := e.w.Write(e.text.Bytes())
	if err == nil {
		err = e.limits.Flush()
	}
	if e.text.Reset(); e.text.Cap() > maxBuffered {
		e.text = bytes.Buffer{} // idle streams hold no large buffers
	}
	return err
}
