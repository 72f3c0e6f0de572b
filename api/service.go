package api

import (
	_ "embed" // for openapi.json
	"errors"
	"net/http"

	"millrace/cluster"
)

// openAPI describes the API, and its schemas check requests.
//
//go:embed openapi.json
var openAPI []byte

// healthy says that this process answers; nothing else is looked at, since a
// supervisor that restarts a peer for want of a quorum makes it worse.
func (s *Server) healthy(c *call) error {
	return s.writeJSON(c, http.StatusOK, statusAnswer{"ok"})
}

type statusAnswer struct {
	Status string `json:"status"`
}

// ready says whether this peer takes jobs now; one without a state of its own,
// whether it and a peer that has it do.
func (s *Server) ready(c *call) error {
	away := s.config.Elsewhere()
	var err error
	if away == nil {
		_, err = s.config.State.View(c.r.Context())
	}
	if err == nil {
		err = s.config.Ready(c.r.Context())
	}
	if err == nil && away != nil {
		forward(c.w, c.r, false, away)
		return nil
	}
	switch {
	case errors.Is(err, cluster.ErrNoLeader), errors.Is(err, cluster.ErrClosed):
		return err
	case err != nil:
		return &problem{code: "not_ready", detail: err.Error(), retryAfter: retryDelay}
	}
	return s.writeJSON(c, http.StatusOK, statusAnswer{"ready"})
}

func (s *Server) showOpenAPI(c *call) error {
	writeBytes(c.w, http.StatusOK, "application/json", openAPI)
	return nil
}

// welcome says where things are.
func (s *Server) welcome(c *call) error {
	return s.writeJSON(c, http.StatusOK, struct {
		Name    string            `json:"name"`
		Version string            `json:"version"`
		Links   map[string]string `json:"links"`
	}{"millrace", s.config.Version, map[string]string{
		"openapi": "/openapi.json", "health": "/healthz", "ready": "/readyz", "metrics": "/metrics",
		"jobs": "/api/v1/{organisation}/transcoding_jobs/",
	}})
}
