package node

import (
	"github.com/prometheus/client_golang/prometheus"
)

// estimateGauges collects, on the peer that leads, how well the scheduler knows
// how long work takes. Other peers show none: they estimate nothing.
type estimateGauges struct{ leader *leader }

var (
	estimateErrorDesc = prometheus.NewDesc("millrace_scheduler_estimate_error_ratio",
		"On the leader: the median, over the latest attempts that finished (512 at most), of how far the estimate of an attempt's time was off, as a share of the time that it took.", nil, nil)
	estimatesDesc = prometheus.NewDesc("millrace_scheduler_estimates",
		"On the leader: the attempts that the estimates' error is over.", nil, nil)
)

// Describe implements prometheus.Collector.
func (estimateGauges) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- estimateErrorDesc
	descriptions <- estimatesDesc
}

// Collect implements prometheus.Collector.
func (g estimateGauges) Collect(metrics chan<- prometheus.Metric) {
	g.leader.mu.Lock()
	leads := g.leader.leading && g.leader.rack != nil
	var median float64
	var over int
	if leads {
		median, over = g.leader.rack.engine.EstimateError()
	}
	g.leader.mu.Unlock()
	if !leads {
		return
	}
	metrics <- prometheus.MustNewConstMetric(estimatesDesc, prometheus.GaugeValue, float64(over))
	if over > 0 { // of none, 0 would look like the best there is
		metrics <- prometheus.MustNewConstMetric(estimateErrorDesc, prometheus.GaugeValue, median)
	}
}
