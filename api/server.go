package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gorilla/mux"
)

// Server answers the API's requests. It is safe for concurrent use; Serve runs it.
type Server struct {
	config  Config
	log     *slog.Logger
	router  http.Handler
	metrics *metrics
	streams *hub
	rates   *rateLimiter

	createRules, retryRules, webhookRules, emptyRules *schema
	organisationRules, limitsRules, keyRules          *schema
}

// New makes a Server. It starts nothing.
func New(config Config) (*Server, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{config: config, log: config.Logger}
	for name, into := range map[string]**schema{
		"CreateJob": &s.createRules, "RetryJob": &s.retryRules, "PutWebhook": &s.webhookRules,
		"Empty": &s.emptyRules, "CreateOrganisation": &s.organisationRules, "SetLimits": &s.limitsRules, "CreateKey": &s.keyRules,
	} {
		if *into, err = loadSchema(openAPI, name); err != nil {
			return nil, err
		}
	}
	s.streams = newHub(config)
	s.metrics = newMetrics(config, s.streams)
	s.rates = newRateLimiter(config.CreateRate, config.CreateBurst)
	s.router = s.newRouter()
	return s, nil
}

// newRouter gives each path of the route table to gorilla/mux, with and without
// a slash at its end.
func (s *Server) newRouter() http.Handler {
	router := mux.NewRouter()
	router.SkipClean(true) // no redirects: clients drop a POST's body and key
	for _, route := range s.routes() {
		handler := s.handle(route)
		router.Handle(route.path, handler)
		if route.path != "/" && route.path[len(route.path)-1] == '/' {
			router.Handle(route.path[:len(route.path)-1], handler)
		} else if route.path != "/" {
			router.Handle(route.path+"/", handler)
		}
	}
	router.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.writeProblem(w, notFound())
	})
	return router
}

// ServeHTTP answers one request. A panic of an endpoint ends in the log and in
// a 500 that names the line there.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	seen := &recorder{ResponseWriter: w, route: "unknown"}
	setSecurityHeaders(w.Header())
	limits := http.NewResponseController(w)
	// A writer that knows no deadlines has none to keep: it isn't a connection.
	// Streams set their own.
	_ = limits.SetReadDeadline(started.Add(s.config.BodyTimeout))
	_ = limits.SetWriteDeadline(started.Add(s.config.BodyTimeout))
	defer func() {
		if cause := recover(); cause != nil {
			s.recovered(seen, r, cause)
		}
		elapsed := time.Since(started)
		s.metrics.observe(seen.route, r.Method, seen.status, elapsed)
		s.log.DebugContext(r.Context(), "request", "method", r.Method, "path", r.URL.Path,
			"status", seen.status, "bytes", seen.bytes, "elapsed", elapsed, "remote", r.RemoteAddr)
	}()
	s.router.ServeHTTP(seen, r)
}

func (s *Server) recovered(w *recorder, r *http.Request, cause any) {
	if err, isError := cause.(error); isError && errors.Is(err, http.ErrAbortHandler) {
		panic(cause)
	}
	incident := s.incident()
	s.log.ErrorContext(r.Context(), "panic in a request", "method", r.Method, "path", r.URL.Path,
		"incident", incident, "panic", cause, "stack", string(debug.Stack()))
	if w.status != 0 {
		// Half an answer is out: cut the connection, so that nobody takes it for whole.
		panic(http.ErrAbortHandler)
	}
	s.writeProblem(w, incidentProblem(incident))
}

// setSecurityHeaders tells browsers that nothing here is to be run, framed,
// guessed at or kept.
func setSecurityHeaders(header http.Header) {
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	header.Set("Cache-Control", "no-store")
}

// write sends a JSON answer whole, with its length.
func (s *Server) write(w http.ResponseWriter, status int, contentType string, body any) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // client_metadata is shown as it came
	if err := encoder.Encode(body); err != nil {
		// Nothing that is shown can't be encoded; if it is so, it is a bug.
		panic(err)
	}
	writeBytes(w, status, contentType, text.Bytes())
}

// recorder remembers what was answered, for the log and the metrics.
type recorder struct {
	http.ResponseWriter
	route  string
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// withTimeout bounds a request that isn't a stream.
func (s *Server) withTimeout(r *http.Request) (*http.Request, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(r.Context(), s.config.RequestTimeout)
	return r.WithContext(ctx), cancel
}
