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
func (s *Server) authenticate(c *call, role cluster.Role) error {
	if role == "" {
		return nil
	}
	text, err := keyText(c.r)
	if err != nil {
		return err
	}
	if c.view, err = s.viewFor(c.r); err != nil {
		return err
	}
	key, known := c.view.KeyByHash(HashKey(text))
	if !known {
		return unauthenticated("Invalid token.")
	}
	if org := c.part("org"); org != "" && org != key.Org {
		return notFound()
	}
	if rank[key.Role] < rank[role] {
		return newProblem("forbidden", "This needs a key with the role %s; this key has the role %s.", role, key.Role)
	}
	c.key = key
	return nil
}

// viewFor takes the view that the request is answered from.
func (s *Server) viewFor(r *http.Request) (cluster.View, error) {
	switch consistency := r.URL.Query().Get("consistency"); consistency {
	case "", "strong":
		return s.config.State.View(r.Context())
	case "stale":
		return s.config.State.Stale(), nil
	default:
		wrong := fieldErrors{}
		wrong.add("consistency", "%s is not a valid choice; use one of strong, stale.", quote(consistency))
		return nil, wrong.problem()
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
