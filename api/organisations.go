package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"millrace/cluster"
	"millrace/job"
)

// organisationView is an organisation as the operator sees it.
type organisationView struct {
	ID      string   `json:"id"`
	Created job.Time `json:"created"`
	limitsView
}

// newOrganisation is an organisation that was just made, with its first key.
type newOrganisation struct {
	organisationView
	Key keyView `json:"key"`
}

func (s *Server) showOrganisation(view cluster.View, org *cluster.Organisation) organisationView {
	return organisationView{ID: org.ID, Created: job.Time(org.Created), limitsView: s.showLimits(view, org)}
}

func (s *Server) listOrganisations(c *call) error {
	wrong := fieldErrors{}
	wanted := parsePage(c.r.URL.Query(), wrong)
	if err := wrong.problem(); err != nil {
		return err
	}
	return writePage(s, c, wanted, c.view.Organisations(), func(org *cluster.Organisation) organisationView {
		return s.showOrganisation(c.view, org)
	})
}

func (s *Server) getOrganisation(c *call) error {
	org, exists := c.view.Organisation(c.part("organisation"))
	if !exists {
		return notFound()
	}
	return s.writeJSON(c, http.StatusOK, s.showOrganisation(c.view, org))
}

// createOrganisation makes an organisation and its first key, an admin's, whose
// text this answer alone has. Where only the key couldn't be made, or the answer
// was lost, createKey makes another.
func (s *Server) createOrganisation(c *call) error {
	body, err := readBody(c.w, c.r)
	if err != nil {
		return err
	}
	fields, wrong, err := decodeObject(body, s.organisationRules)
	if err != nil {
		return err
	}
	var id string
	if wrong["id"] == nil {
		_ = json.Unmarshal(fields["id"], &id) // the schema has seen that it is a string
		if sentence := checkOrganisationID(id); sentence != "" {
			wrong.add("id", "%s", sentence)
		}
	}
	if err := wrong.problem(); err != nil {
		return err
	}
	if _, exists := c.view.Organisation(id); exists {
		return newProblem("organisation_exists", "There is an organisation %s already; POST to its keys/ makes another key of it.", quote(id))
	}
	made := &cluster.Organisation{ID: id, Created: s.config.Now().UTC()}
	if _, err := s.config.State.Propose(c.r.Context(), cluster.CreateOrganisation{Organisation: *made}); err != nil {
		return fmt.Errorf("create the organisation %s: %w", id, err)
	}
	key, err := s.makeKey(c, id, cluster.RoleAdmin, "made with the organisation")
	if err != nil {
		return err
	}
	s.log.InfoContext(c.r.Context(), "an organisation was created", "organisation", id, "key", c.key.ID)
	c.w.Header().Set("Location", organisationsPath+id+"/")
	return s.writeJSON(c, http.StatusCreated, newOrganisation{s.showOrganisation(c.view, made), key})
}

// checkOrganisationID says why an organisation can't be called so: its id stands
// in paths, metrics and logs as it is.
func checkOrganisationID(id string) string {
	for i, r := range id {
		letter := 'a' <= r && r <= 'z' || '0' <= r && r <= '9'
		if !letter && (i == 0 || r != '-' && r != '_') {
			return "This may have lower-case letters, digits, dashes and underscores, and begins with a letter or digit."
		}
	}
	if slices.Contains(cluster.ReservedOrganisations, id) {
		return fmt.Sprintf("The API itself uses %s; no organisation can be called so.", strings.Join(cluster.ReservedOrganisations, ", "))
	}
	return ""
}
