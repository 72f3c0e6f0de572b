package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gorilla/mux"

	"millrace/cluster"
)

// endpoint is what answers one method of one path.
type endpoint struct {
	role  cluster.Role // that the key must have; "" for everybody, without a key
	serve func(*call) error
}

// route is one path of the API.
type route struct {
	path    string // as gorilla/mux and openapi.json write it
	stream  bool   // its answer ends when the client or the peer goes
	cluster bool   // only for the operator's organisation
	local   bool   // answered from what this peer knows itself, with or without a leader
	methods map[string]endpoint
}

// call is one request on its way through an endpoint.
type call struct {
	w    http.ResponseWriter
	r    *http.Request
	view cluster.View // the state that the key was found in; nil without a key
	key  *cluster.Key
}

// org is the organisation of the path, which is the key's.
func (c *call) org() string { return c.key.Org }

// part is a variable part of the path.
func (c *call) part(name string) string { return mux.Vars(c.r)[name] }

// organisationsPath is where the operator manages organisations.
const organisationsPath = "/api/v1/cluster/organisations/"

// routes is the whole API. openapi.json has the same paths and methods.
func (s *Server) routes() []route {
	const (
		read, submit, admin = cluster.RoleRead, cluster.RoleSubmit, cluster.RoleAdmin
		jobs                = "/api/v1/{org}/transcoding_jobs/"
		webhooks            = "/api/v1/{org}/webhooks/"
		clusterPath         = "/api/v1/cluster/"
		nodes               = clusterPath + "nodes/"
		organisation        = organisationsPath + "{organisation}/"
	)
	type methods = map[string]endpoint
	return []route{
		{path: jobs, methods: methods{"GET": {read, s.listJobs}, "POST": {submit, s.createJob}}},
		{path: jobs + "{id}/", methods: methods{"GET": {read, s.getJob}, "DELETE": {submit, s.cancelJob}}},
		{path: jobs + "{id}/retry/", methods: methods{"POST": {submit, s.retryJob}}},
		{path: jobs + "{id}/explain/", methods: methods{"GET": {read, s.explainJob}}},
		{path: jobs + "{id}/events/", stream: true, methods: methods{"GET": {read, s.jobEvents}}},
		{path: "/api/v1/{org}/events/", stream: true, methods: methods{"GET": {read, s.orgEvents}}},
		{path: "/api/v1/{org}/limits/", methods: methods{"GET": {read, s.ownLimits}}},
		{path: webhooks, methods: methods{"GET": {read, s.listWebhooks}, "POST": {admin, s.createWebhook}}},
		{path: webhooks + "{id}/", methods: methods{"GET": {read, s.getWebhook}, "PUT": {admin, s.putWebhook}, "DELETE": {admin, s.deleteWebhook}}},
		{path: webhooks + "{id}/deliveries/", methods: methods{"GET": {read, s.listDeliveries}}},
		{path: webhooks + "{id}/deliveries/{event}/redeliver/", methods: methods{"POST": {admin, s.redeliver}}},
		{path: clusterPath, cluster: true, local: true, methods: methods{"GET": {read, s.clusterStatus}}},
		{path: clusterPath + "backup/", cluster: true, stream: true, methods: methods{"GET": {admin, s.backup}}},
		{path: nodes, cluster: true, methods: methods{"GET": {read, s.listNodes}}},
		{path: nodes + "{node}/", cluster: true, methods: methods{"GET": {read, s.getNode}, "DELETE": {admin, s.removeNode}}},
		{path: nodes + "{node}/drain/", cluster: true, methods: methods{"POST": {admin, s.drainNode}}},
		{path: nodes + "{node}/resume/", cluster: true, methods: methods{"POST": {admin, s.resumeNode}}},
		{path: nodes + "{node}/probe/", cluster: true, methods: methods{"POST": {admin, s.probeNode}}},
		{path: organisationsPath, cluster: true, methods: methods{"GET": {read, s.listOrganisations}, "POST": {admin, s.createOrganisation}}},
		{path: organisation, cluster: true, methods: methods{"GET": {read, s.getOrganisation}}},
		{path: organisation + "limits/", cluster: true, methods: methods{"GET": {read, s.getLimits}, "PUT": {admin, s.putLimits}}},
		{path: organisation + "keys/", cluster: true, methods: methods{"GET": {admin, s.listKeys}, "POST": {admin, s.createKey}}},
		{path: organisation + "keys/{key}/", cluster: true, methods: methods{"DELETE": {admin, s.revokeKey}}},
		{path: "/healthz", methods: methods{"GET": {"", s.healthy}}},
		{path: "/readyz", methods: methods{"GET": {"", s.ready}}},
		{path: "/metrics", methods: methods{"GET": {"", s.showMetrics}}},
		{path: "/openapi.json", methods: methods{"GET": {"", s.showOpenAPI}}},
		{path: "/", methods: methods{"GET": {"", s.welcome}}},
	}
}

// handle makes a route into a handler: it finds the method's endpoint, lets
// nobody in without the right key, and writes what went wrong.
func (s *Server) handle(route route) http.Handler {
	allowed := make([]string, 0, len(route.methods)+2)
	for method := range route.methods {
		allowed = append(allowed, method)
		if method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	slices.Sort(allowed)
	allow := strings.Join(append(allowed, http.MethodOptions), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if seen, is := w.(*recorder); is {
			seen.route = route.path
		}
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet // net/http leaves the body out
		}
		endpoint, known := route.methods[method]
		switch {
		case known && route.stream && r.Method == http.MethodHead:
			known = false // a stream without a body would only hold a connection
		case r.Method == http.MethodOptions:
			w.Header().Set("Allow", allow)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if !known {
			refusal := newProblem("method_not_allowed", "Method %s is not allowed here; use one of %s.", quote(r.Method), allow)
			refusal.header = http.Header{"Allow": {allow}}
			s.writeProblem(w, refusal)
			return
		}
		if !route.stream {
			limited, cancel := s.withTimeout(r)
			defer cancel()
			r = limited
		}
		if away := s.elsewhere(r, route, endpoint); away != nil {
			forward(w, r, route.stream, away)
			return
		}
		c := &call{w: w, r: r}
		err := s.authenticate(c, route, endpoint.role)
		if err == nil {
			err = endpoint.serve(c)
		}
		if err != nil {
			s.writeProblem(w, s.asProblem(r, err))
		}
	})
}

func writeBytes(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone needs no answer
}

// writeJSON sends an answer.
func (s *Server) writeJSON(c *call, status int, body any) error {
	s.write(c.w, status, "application/json", body)
	return nil
}
