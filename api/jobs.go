package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"millrace/cluster"
	"millrace/job"
)

func (s *Server) listJobs(c *call) error {
	filter, err := parseJobFilter(c.r.URL.Query())
	if err != nil {
		return err
	}
	var chosen []*job.Job
	for j := range c.view.Jobs(c.org()) {
		if filter.matches(j) {
			chosen = append(chosen, j)
		}
	}
	if filter.oldestFirst {
		slices.Reverse(chosen)
	}
	s.refresh(c, chosen...)
	return writePage(s, c, filter.pageRequest, chosen, func(j *job.Job) job.View { return s.show(j) })
}

// refresh brings the progress of jobs that are about to be shown up to date.
func (s *Server) refresh(c *call, jobs ...*job.Job) {
	if slices.ContainsFunc(jobs, func(j *job.Job) bool {
		return j.Status == job.Transcoding || len(j.Spec.Requires) > 0 && !j.Status.Terminal()
	}) {
		s.config.Progress.Refresh(c.r.Context())
	}
}

// show is a job as its clients see it now.
func (s *Server) show(j *job.Job) job.View {
	progress, _ := s.config.Progress.Progress(j.ID)
	return job.NewView(j, progress)
}

// findJob finds the job that the path names.
func (s *Server) findJob(c *call) (*job.Job, error) {
	id := job.ID(c.part("id"))
	if !id.Valid() {
		return nil, notFound()
	}
	found, exists := c.view.Job(c.org(), id)
	if !exists {
		return nil, notFound()
	}
	return found, nil
}

func (s *Server) getJob(c *call) error {
	found, err := s.findJob(c)
	if err != nil {
		return err
	}
	s.refresh(c, found)
	view := s.show(found)
	for _, expand := range c.r.URL.Query()["expand"] {
		if expand != "tasks" {
			wrong := fieldErrors{}
			wrong.add("expand", "%s is not a valid choice; use tasks.", quote(expand))
			return wrong.problem()
		}
		if record, exists := c.view.Record(found.ID); exists {
			view.Tasks = showTasks(record.Tasks)
		}
	}
	return s.writeJSON(c, http.StatusOK, view)
}

// showTasks leaves out the tasks' results: the checksums of thousands of
// segments are for the peers.
func showTasks(tasks []*job.Task) []job.Task {
	shown := make([]job.Task, len(tasks))
	for i, task := range tasks {
		shown[i] = *task
		shown[i].Result = nil
	}
	return shown
}

// message is an answer that is nothing but a sentence.
type message struct {
	Message string `json:"message"`
}

// alreadyEnded is what cancelling a job that has ended answers.
var alreadyEnded = map[job.Status]message{
	job.Completed: {"Job is already completed."},
	job.Error:     {"Job has already failed."},
	job.Cancelled: {"Job is already cancelled."},
}

func (s *Server) cancelJob(c *call) error {
	found, err := s.findJob(c)
	if err != nil {
		return err
	}
	if answer, ended := alreadyEnded[found.Status]; ended {
		return s.writeJSON(c, http.StatusOK, answer)
	}
	_, err = propose[*job.Job](c.r.Context(), s, cluster.CancelJob{Org: c.org(), ID: found.ID, At: s.config.Now().UTC()})
	if errors.Is(err, job.ErrEnded) {
		// It ended between the look and the command.
		return s.alreadyEndedNow(c, found.ID)
	}
	if err != nil {
		return err
	}
	return s.writeJSON(c, http.StatusOK, message{"Job cancelled successfully."})
}

func (s *Server) alreadyEndedNow(c *call, id job.ID) error {
	view, err := s.config.State.View(c.r.Context())
	if err != nil {
		return err
	}
	found, exists := view.Job(c.org(), id)
	if !exists {
		return notFound()
	}
	answer, ended := alreadyEnded[found.Status]
	if !ended { // and was retried at once
		answer = message{"Job had already ended."}
	}
	return s.writeJSON(c, http.StatusOK, answer)
}

func (s *Server) retryJob(c *call) error {
	found, err := s.findJob(c)
	if err != nil {
		return err
	}
	body, err := readBody(c.w, c.r)
	if err != nil {
		return err
	}
	command := cluster.RetryJob{Org: c.org(), ID: found.ID, At: s.config.Now().UTC()}
	if len(body) > 0 {
		if command.Resolutions, err = s.readRetryRequest(body, found); err != nil {
			return err
		}
	}
	queued, err := propose[*job.Job](c.r.Context(), s, command)
	if err != nil {
		return err
	}
	return s.writeJSON(c, http.StatusAccepted, s.show(queued))
}

// readRetryRequest reads which of the job's rungs are wanted; none means all.
func (s *Server) readRetryRequest(body []byte, of *job.Job) ([]job.Resolution, error) {
	fields, wrong, err := decodeObject(body, s.retryRules)
	if err != nil {
		return nil, err
	}
	var request createRequest
	request.readResolutions(fields["resolutions"], wrong)
	for _, resolution := range request.Resolutions {
		if !slices.Contains(of.Spec.Resolutions, resolution) {
			had, _ := json.Marshal(of.Spec.Resolutions)
			wrong.add("resolutions", "The job has no %s; it has %s.", resolution, had)
		}
	}
	return request.Resolutions, wrong.problem()
}
