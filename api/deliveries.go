package api

import (
	"net/http"

	"millrace/cluster"
	"millrace/job"
)

// deliveryView is one event of a webhook's delivery log.
type deliveryView struct {
	ID       string     `json:"id"` // the webhook-id that the receiver sees
	Job      job.ID     `json:"job_id"`
	Status   job.Status `json:"status"` // the job's, that the event tells of
	Done     bool       `json:"done"`   // delivered or given up
	Attempts []tryView  `json:"attempts"`
}

// tryView is one try to deliver an event.
type tryView struct {
	At             job.Time  `json:"at"`
	ElapsedSeconds float64   `json:"elapsed_seconds"`
	StatusCode     *int      `json:"status_code"` // null when the receiver didn't answer
	Error          *string   `json:"error"`
	NextAt         *job.Time `json:"next_at"` // null when it isn't tried again
}

func showDelivery(event *cluster.Event) deliveryView {
	view := deliveryView{ID: event.ID, Job: event.Job.ID, Status: event.Job.Status, Done: event.Done,
		Attempts: make([]tryView, len(event.Deliveries))}
	for i, try := range event.Deliveries {
		shown := tryView{At: job.Time(try.At), ElapsedSeconds: try.Elapsed.Seconds()}
		if try.StatusCode != 0 {
			shown.StatusCode = &try.StatusCode
		}
		if try.Error != "" {
			shown.Error = &try.Error
		}
		if !try.NextAt.IsZero() {
			next := job.Time(try.NextAt)
			shown.NextAt = &next
		}
		view.Attempts[i] = shown
	}
	return view
}

func (s *Server) listDeliveries(c *call) error {
	found, err := s.findWebhook(c)
	if err != nil {
		return err
	}
	wrong := fieldErrors{}
	wanted := parsePage(c.r.URL.Query(), wrong)
	if err := wrong.problem(); err != nil {
		return err
	}
	var events []*cluster.Event
	for event := range c.view.Deliveries(c.org(), found.ID) {
		events = append(events, event)
	}
	return writePage(s, c, wanted, events, showDelivery)
}

// redeliver puts an event back into the outbox; one that is still there stays.
func (s *Server) redeliver(c *call) error {
	found, err := s.findWebhook(c)
	if err != nil {
		return err
	}
	for event := range c.view.Deliveries(c.org(), found.ID) {
		if event.ID != c.part("event") {
			continue
		}
		command := cluster.Redeliver{Org: c.org(), Webhook: found.ID, Event: event.Number}
		if _, err := s.config.State.Propose(c.r.Context(), command); err != nil {
			return err
		}
		return s.writeJSON(c, http.StatusAccepted, message{"The event will be delivered again."})
	}
	return notFound()
}
