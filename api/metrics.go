package api

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"millrace/job"
)

// metrics is what /metrics shows. Each Server has its own registry, so that two
// peers in one process don't mix.
type metrics struct {
	handler  http.Handler
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(config Config, streams *hub) *metrics {
	registry := prometheus.NewRegistry()
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "millrace_http_requests_total", Help: "HTTP requests answered, by route, method and status code.",
		}, []string{"route", "method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "millrace_http_request_duration_seconds", Help: "Time from a request to the end of its answer, by route.",
			Buckets: []float64{.001, .005, .02, .1, .5, 2, 10},
		}, []string{"route"}),
	}
	registry.MustRegister(m.requests, m.seconds, jobCounts{config.State}, clusterGauges{config.Cluster, config.State},
		organisationGauges{config.Cluster, config.State, config.Now},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "millrace_event_streams", Help: "Event streams that are open.",
		}, func() float64 { return float64(streams.count()) }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(config.Collectors...)
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return m
}

// methods that are counted by their names; any other is "other", since a client
// can make up as many as it likes.
var countedMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions}

func (m *metrics) observe(route, method string, status int, elapsed time.Duration) {
	if !slices.Contains(countedMethods, method) {
		method = "other"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(elapsed.Seconds())
}

// jobCounts collects the number of jobs in each status when it is asked.
type jobCounts struct{ state State }

var jobsDesc = prometheus.NewDesc("millrace_jobs", "Jobs in the state, by status.", []string{"status"}, nil)

// Describe implements prometheus.Collector.
func (jobCounts) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- jobsDesc }

// Collect implements prometheus.Collector.
func (c jobCounts) Collect(metrics chan<- prometheus.Metric) {
	counts := c.state.Stale().Counts()
	for _, status := range job.Statuses {
		metrics <- prometheus.MustNewConstMetric(jobsDesc, prometheus.GaugeValue, float64(counts[status]), string(status))
	}
}

func (s *Server) showMetrics(c *call) error {
	s.metrics.handler.ServeHTTP(c.w, c.r)
	return nil
}
