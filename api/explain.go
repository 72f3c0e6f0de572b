package api

import (
	"net/http"

	"millrace/job"
)

// explanation is the answer to why a job is where it is.
type explanation struct {
	ID     job.ID          `json:"id"`
	Status job.Status      `json:"status"`
	Tasks  []job.Placement `json:"tasks"`
}

// explainJob says why a job's tasks run where they do or why they wait. A job
// that has ended has none.
func (s *Server) explainJob(c *call) error {
	found, err := s.findJob(c)
	if err != nil {
		return err
	}
	answer := explanation{ID: found.ID, Status: found.Status, Tasks: []job.Placement{}}
	if s.config.Explain != nil && !found.Status.Terminal() {
		told, err := s.config.Explain(c.r.Context(), found.ID)
		if err != nil {
			return err
		}
		answer.Tasks = append(answer.Tasks, told...)
	}
	return s.writeJSON(c, http.StatusOK, answer)
}
