package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"millrace/cluster"
)

// drainNode gives a node nothing new to do; what it runs goes on.
func (s *Server) drainNode(c *call) error { return s.setDrain(c, true) }

// resumeNode lets a drained node work again.
func (s *Server) resumeNode(c *call) error { return s.setDrain(c, false) }

func (s *Server) setDrain(c *call, draining bool) error {
	if err := s.readNothing(c); err != nil {
		return err
	}
	node, err := s.findNode(c, c.view)
	if err != nil {
		return err
	}
	state, err := propose[*cluster.NodeState](c.r.Context(), s, cluster.SetDrain{Node: node.ID, Draining: draining, At: s.config.Now().UTC()})
	if err != nil {
		return err
	}
	node.Draining = state.Draining
	return s.writeJSON(c, http.StatusOK, node)
}

// probeNode has a node measure its devices again. That takes its time; what
// comes out is in the node's devices when its "measured" has changed.
func (s *Server) probeNode(c *call) error {
	if err := s.readNothing(c); err != nil {
		return err
	}
	node, err := s.findNode(c, c.view)
	if err != nil {
		return err
	}
	if err := s.config.Control.Probe(c.r.Context(), node.ID); err != nil {
		if refusal := s.asProblem(c.r, err); refusal.code != "internal_error" {
			return refusal
		}
		return &problem{code: "node_unreachable", retryAfter: retryDelay,
			detail: fmt.Sprintf("The node %s did not take the request: %v.", node.ID, err)}
	}
	return s.writeJSON(c, http.StatusAccepted, node)
}

// removeNode takes a node out of the cluster for good. One that is up would
// only be surprised, so that has to be asked for.
func (s *Server) removeNode(c *call) error {
	wrong := fieldErrors{}
	force := false
	if given := c.r.URL.Query().Get("force"); given != "" {
		var err error
		if force, err = strconv.ParseBool(given); err != nil {
			wrong.add("force", "%s is not a valid choice; use true or false.", quote(given))
		}
	}
	if err := wrong.problem(); err != nil {
		return err
	}
	node, err := s.findNode(c, c.view)
	if err != nil {
		return err
	}
	if voters := s.status().Voters; len(voters) == 1 && voters[0].ID == node.ID {
		return newProblem("last_voter", "%s is the cluster's only voter: without it there is no cluster.", node.ID)
	}
	if node.Alive && !force {
		return newProblem("node_alive", "%s is up: drain it and stop it first, or add ?force=true.", node.ID)
	}
	if err := s.takeOut(c.r.Context(), node.ID); err != nil {
		return err
	}
	s.log.InfoContext(c.r.Context(), "a node was removed from the cluster", "node", node.ID, "key", c.key.ID, "force", force)
	return s.writeJSON(c, http.StatusOK, message{fmt.Sprintf("Node %s is removed.", node.ID)})
}

// takeOut removes a peer and then what is kept of it; of itself in the other
// order, since nothing that is proposed by a peer that was removed comes back to it.
func (s *Server) takeOut(ctx context.Context, id string) error {
	remove := func() error {
		err := s.config.Control.Remove(ctx, id)
		if errors.Is(err, cluster.ErrNotFound) {
			return nil // no peer any more, or never one
		}
		return err
	}
	forget := func() error {
		if _, err := s.config.State.Propose(ctx, cluster.ForgetNode{Node: id, At: s.config.Now().UTC()}); err != nil {
			return fmt.Errorf("forget node %s: %w", id, err)
		}
		return nil
	}
	first, then := remove, forget
	if s.status().Peer.ID == id {
		first, then = forget, remove
	}
	if err := first(); err != nil {
		return err
	}
	return then()
}

// readNothing reads the body of a request that needs none.
func (s *Server) readNothing(c *call) error {
	body, err := readBody(c.w, c.r)
	if err != nil || len(body) == 0 {
		return err
	}
	_, wrong, err := decodeObject(body, s.emptyRules)
	if err != nil {
		return err
	}
	return wrong.problem()
}
