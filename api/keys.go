package api

import (
	"encoding/json"
	"fmt"
	"net/http"

	"millrace/cluster"
	"millrace/job"
)

// keyView is an API key as the operator sees it.
type keyView struct {
	ID      string       `json:"id"`
	Role    cluster.Role `json:"role"`
	Label   string       `json:"label"`
	Created job.Time     `json:"created"`
	Revoked *job.Time    `json:"revoked"` // null while it holds
	// Key is its text, in the answer to its making only: it is kept nowhere.
	Key string `json:"key,omitempty"`
}

func showKey(key *cluster.Key) keyView {
	shown := keyView{ID: key.ID, Role: key.Role, Label: key.Label, Created: job.Time(key.Created)}
	if !key.Revoked.IsZero() {
		revoked := job.Time(key.Revoked)
		shown.Revoked = &revoked
	}
	return shown
}

// makeKey draws a key of an organisation and commits its hash.
func (s *Server) makeKey(c *call, org string, role cluster.Role, label string) (keyView, error) {
	text, key, err := NewKey(s.config.Random, org, role, label, s.config.Now().UTC())
	if err != nil {
		return keyView{}, err
	}
	if _, err := s.config.State.Propose(c.r.Context(), cluster.CreateKey{Key: key}); err != nil {
		return keyView{}, fmt.Errorf("create a key of the organisation %s: %w", org, err)
	}
	s.log.InfoContext(c.r.Context(), "an API key was made", "organisation", org, "made", key.ID, "role", role, "key", c.key.ID)
	shown := showKey(&key)
	shown.Key = text
	return shown, nil
}

func (s *Server) createKey(c *call) error {
	org := c.part("organisation")
	body, err := readBody(c.w, c.r)
	if err != nil {
		return err
	}
	if _, exists := c.view.Organisation(org); !exists {
		return notFound()
	}
	fields, wrong, err := decodeObject(body, s.keyRules)
	if err != nil {
		return err
	}
	if err := wrong.problem(); err != nil {
		return err
	}
	role, label := cluster.RoleSubmit, ""
	for name, into := range map[string]any{"role": &role, "label": &label} {
		if raw, given := fields[name]; given {
			_ = json.Unmarshal(raw, into) // the schema has seen that it is a string
		}
	}
	made, err := s.makeKey(c, org, role, label)
	if err != nil {
		return err
	}
	return s.writeJSON(c, http.StatusCreated, made)
}

func (s *Server) listKeys(c *call) error {
	wrong := fieldErrors{}
	wanted := parsePage(c.r.URL.Query(), wrong)
	if err := wrong.problem(); err != nil {
		return err
	}
	org := c.part("organisation")
	if _, exists := c.view.Organisation(org); !exists {
		return notFound()
	}
	return writePage(s, c, wanted, c.view.Keys(org), showKey)
}

// revokeKey takes a key's rights away. The operator's last admin key stays: without
// it nobody could make another.
func (s *Server) revokeKey(c *call) error {
	if err := s.readNothing(c); err != nil {
		return err
	}
	org, id := c.part("organisation"), c.part("key")
	var found *cluster.Key
	admins := 0
	for _, key := range c.view.Keys(org) {
		if key.ID == id {
			found = key
		}
		if key.Role == cluster.RoleAdmin && key.Revoked.IsZero() {
			admins++
		}
	}
	switch {
	case found == nil:
		return notFound()
	case org == s.config.Operator && found.Role == cluster.RoleAdmin && found.Revoked.IsZero() && admins == 1:
		return newProblem("last_admin_key", "%s is the last key that may manage the cluster; make another first.", found.ID)
	}
	if _, err := s.config.State.Propose(c.r.Context(), cluster.RevokeKey{Org: org, ID: id, At: s.config.Now().UTC()}); err != nil {
		return fmt.Errorf("revoke the key %s: %w", id, err)
	}
	s.log.InfoContext(c.r.Context(), "an API key was revoked", "organisation", org, "revoked", id, "key", c.key.ID)
	return s.writeJSON(c, http.StatusOK, message{fmt.Sprintf("Key %s is revoked.", id)})
}
