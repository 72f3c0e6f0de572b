package api

import (
	"encoding/json"
	"net/http"

	"millrace/cluster"
	"millrace/job"
)

// limitsView is what an organisation may have of the cluster, and what it has.
// Null is any number.
type limitsView struct {
	Weight        float64   `json:"weight"` // its share to the others'
	MaxRunning    *int      `json:"max_running"`
	MaxQueued     *int      `json:"max_queued"`
	MinutesPerDay *int      `json:"minutes_per_day"` // of video, by the day in UTC
	Usage         usageView `json:"usage"`
}

// usageView is what an organisation has now.
type usageView struct {
	Running int `json:"running"` // jobs
	Queued  int `json:"queued"`
	// MinutesToday is the video of the jobs that have begun to encode today; null
	// for an organisation of which limits were never set, where it isn't counted.
	MinutesToday *float64 `json:"minutes_today"`
	DayEnds      job.Time `json:"day_ends"` // when the minutes begin anew
}

func (s *Server) showLimits(view cluster.View, org *cluster.Organisation) limitsView {
	now := s.config.Now().UTC()
	tally := view.Tally(org.ID)
	shown := limitsView{
		Weight: org.Weight, MaxRunning: numberOrNull(org.MaxRunning), MaxQueued: numberOrNull(org.MaxQueued), MinutesPerDay: numberOrNull(org.MinutesPerDay),
		Usage: usageView{
			Running: tally.Running, Queued: tally.Queued,
			DayEnds: job.Time(cluster.DayEnds(now)),
		},
	}
	if shown.Weight == 0 {
		shown.Weight = 1
	}
	if org.Use != nil {
		minutes := org.UsedOn(now).Minutes()
		shown.Usage.MinutesToday = &minutes
	}
	return shown
}

func numberOrNull(limit int) *int {
	if limit == 0 {
		return nil
	}
	return &limit
}

// ownLimits shows an organisation what it may have.
func (s *Server) ownLimits(c *call) error { return s.answerLimits(c, c.view, c.org()) }

// getLimits shows the operator what an organisation may have.
func (s *Server) getLimits(c *call) error { return s.answerLimits(c, c.view, c.part("organisation")) }

func (s *Server) answerLimits(c *call, view cluster.View, id string) error {
	org, exists := view.Organisation(id)
	if !exists {
		return notFound()
	}
	return s.writeJSON(c, http.StatusOK, s.showLimits(view, org))
}

// putLimits replaces all of an organisation's limits: what isn't said is no limit.
func (s *Server) putLimits(c *call) error {
	id := c.part("organisation")
	body, err := readBody(c.w, c.r)
	if err != nil {
		return err
	}
	if _, exists := c.view.Organisation(id); !exists {
		return notFound()
	}
	limits, err := s.readLimits(body)
	if err != nil {
		return err
	}
	set, err := propose[*cluster.Organisation](c.r.Context(), s, cluster.SetLimits{Org: id, Limits: limits, At: s.config.Now().UTC()})
	if err != nil {
		return err
	}
	s.log.InfoContext(c.r.Context(), "an organisation's limits were set", "organisation", id, "key", c.key.ID,
		"weight", limits.Weight, "max_running", limits.MaxRunning, "max_queued", limits.MaxQueued, "minutes_per_day", limits.MinutesPerDay)
	return s.writeJSON(c, http.StatusOK, s.showLimits(c.view, set))
}

func (s *Server) readLimits(body []byte) (limits cluster.Limits, err error) {
	fields, wrong, err := decodeObject(body, s.limitsRules)
	if err != nil {
		return limits, err
	}
	for name, into := range map[string]*int{
		"max_running": &limits.MaxRunning, "max_queued": &limits.MaxQueued, "minutes_per_day": &limits.MinutesPerDay,
	} {
		if raw, given := fields[name]; given && wrong[name] == nil {
			*into = wholeNumber(raw)
		}
	}
	if raw, given := fields["weight"]; given && wrong["weight"] == nil {
		_ = json.Unmarshal(raw, &limits.Weight)
	}
	return limits, wrong.problem()
}
