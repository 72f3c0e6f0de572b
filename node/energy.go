package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"millrace/hwaccel"
	"millrace/job"
)

// energyMetrics counts the energy of encodes by device and encoder, and the
// video that it was for. Attempts whose energy can't be read are in neither, so
// that their ratio is true.
type energyMetrics struct {
	joules, seconds *prometheus.CounterVec
	perMinute       *prometheus.HistogramVec
	trials          *prometheus.GaugeVec
}

func newEnergyMetrics() *energyMetrics {
	labels := []string{"device", "encoder"}
	return &energyMetrics{
		joules: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "millrace_encode_energy_joules_total", Help: "Energy of this node's encode attempts, failed ones included, where it can be read.",
		}, labels),
		seconds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "millrace_encode_energy_video_seconds_total", Help: "Video that those of them that worked have encoded, whatever the number of rungs: joules ÷ this × 60 is the joules per video minute.",
		}, labels),
		perMinute: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "millrace_joules_per_video_minute", Help: "Energy of each encode attempt that worked, for each minute of its video, whatever the number of rungs.",
			Buckets: prometheus.ExponentialBuckets(50, 2, 12), // 50 J … 100 kJ
		}, labels),
		trials: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "millrace_trial_joules_per_frame", Help: "What a frame of each rung took of the device's energy in the latest trial, beyond what the device draws at rest; jobs that prefer energy are placed by it.",
		}, append(labels, "rung")),
	}
}

func (m *energyMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.joules, m.seconds, m.perMinute, m.trials}
}

// noteTrials takes what the latest trials of the node's devices measured.
func (m *energyMetrics) noteTrials(devices []hwaccel.Profile) {
	if m == nil {
		return
	}
	m.trials.Reset()
	for _, device := range devices {
		for _, encoder := range device.Encoders {
			for rung, joules := range encoder.JoulesPerFrame {
				m.trials.WithLabelValues(device.Device.ID, encoder.Encoder, rung).Set(joules)
			}
		}
	}
}

func (m *energyMetrics) note(order Order, ended Ended) {
	if m == nil || ended.EnergyJoules <= 0 || order.Task.Kind != job.EncodeTask || order.Plan == nil || order.Task.Chunk == nil {
		return
	}
	m.joules.WithLabelValues(order.Device, order.Encoder).Add(ended.EnergyJoules)
	rate := order.Plan.Timeline.Rate
	if ended.Result == nil || rate.Num <= 0 {
		return
	}
	seconds := float64(order.Task.Chunk.Frames.Len()) * float64(rate.Den) / float64(rate.Num)
	m.seconds.WithLabelValues(order.Device, order.Encoder).Add(seconds)
	if seconds > 0 {
		m.perMinute.WithLabelValues(order.Device, order.Encoder).Observe(ended.EnergyJoules / seconds * 60)
	}
}
