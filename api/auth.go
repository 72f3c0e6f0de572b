package api

import (
	"net/http"
	"strings"

	"millrace/cluster"
)

// rank orders the roles: each has the rights of those below it.
var rank = map[cluster.Role]int{cluster.RoleRead: 1, cluster.RoleSubmit: 2, cluster.RoleAdmin: 3}

// authenticate finds the request's key, checks that it may do what role may in
// the path's organisation, and leaves the view that it was found in for the
// endpoint. Where the organisation is another's it says what it says of
// anything that doesn't exist.
func (s *Server) authenticate(c *call, route route, role cluster.Role) error {
	if role == "" {
		return nil
	}
	text, err := keyText(c.r)
	if err != nil {
		return err
	}
	key, err := s.findKey(c, route, HashKey(text))
	if err != nil {
		return err
	}
	if org := c.part("org"); org != "" && org != key.Org {
		return notFound()
	}
	if route.cluster && key.Org != s.config.Operator {
		return newProblem("forbidden", "The cluster is managed with keys of the organisation %s.", quote(s.config.Operator))
	}
	if rank[key.Role] < rank[role] {
		return newProblem("forbidden", "This needs a key with the role %s; this key has the role %s.", role, key.Role)
	}
	c.key = key
	return nil
}

// findKey takes the view that the request is answered from and finds its key
// there. Where the route is local, what this peer has in its own state is
// enough, so that it answers without a leader; only a key that isn't there, and
// may have been made a moment ago, is looked for in the agreed state.
func (s *Server) findKey(c *call, route route, hash []byte) (*cluster.Key, error) {
	strong, err := wantsStrong(c.r)
	if err != nil {
		return nil, err
	}
	if route.local || !strong {
		c.view = s.config.State.Stale()
		key, known := c.view.KeyByHash(hash)
		if known {
			return key, nil
		}
		if !strong {
			return nil, unauthenticated("Invalid token.")
		}
	}
	if c.view, err = s.config.State.View(c.r.Context()); err != nil {
		return nil, err
	}
	key, known := c.view.KeyByHash(hash)
	if !known {
		return nil, unauthenticated("Invalid token.")
	}
	return key, nil
}

// wantsStrong says whether the request is to see everything that was
// acknowledged before it, or only what this peer has.
func wantsStrong(r *http.Request) (bool, error) {
	switch consistency := r.URL.Query().Get("consistency"); consistency {
	case "", "strong":
		return true, nil
	case "stale":
		return false, nil
	default:
		wrong := fieldErrors{}
		wrong.add("consistency", "%s is not a valid choice; use one of strong, stale.", quote(consistency))
		return false, wrong.problem()
	}
}

// keyText is the key in "Authorization: Token <key>"; the scheme may also be
// Bearer, in any case.
func keyText(r *http.Request) (string, error) {
	given := r.Header.Values("Authorization")
	if len(given) == 0 {
		return "", unauthenticated("Authentication credentials were not provided.")
	}
	scheme, text, _ := strings.Cut(given[0], " ")
	text = strings.TrimSpace(text)
	known := strings.EqualFold(scheme, "Token") || strings.EqualFold(scheme, "Bearer")
	if len(given) > 1 || !known || text == "" {
		return "", unauthenticated("The Authorization header is not like “Token <key>”.")
	}
	return text, nil
}

func unauthenticated(sentence string) *problem {
	return &problem{code: "not_authenticated", detail: sentence,
		header: http.Header{"Www-Authenticate": {`Token realm="millrace"`}}}
}
