package node

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// gauges is what a scrape finds of the leader's estimates, by name.
func (r *rig) gauges() map[string]float64 {
	r.t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(estimateGauges{r.leader})
	families, err := registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	found := make(map[string]float64)
	for _, family := range families {
		found[family.GetName()] = family.GetMetric()[0].GetGauge().GetValue()
	}
	return found
}

func TestTheLeaderShowsHowFarItsEstimatesWereOff(t *testing.T) {
	r := newRig(t)
	r.schedule()
	if _, shown := r.gauges()["millrace_scheduler_estimate_error_ratio"]; shown {
		t.Error("an error is shown although nothing was estimated yet")
	}
	// The job's one chunk takes half as long again as was estimated.
	inspect := r.poll("s1", nil)
	r.poll("s1", ends(inspect.Start, func(order Order) Ended {
		planned := succeed(order)
		planned.Result.Plan.Timeline.Frames = 100
		return planned
	}))
	expected := 0.0
	for _, placement := range r.rack.engine.Explain(jobID) {
		if placement.Running && placement.Encoder == "libx264" {
			expected = placement.ExpectedSeconds
		}
	}
	if expected == 0 {
		t.Fatal("no encode runs")
	}
	order := r.poll("s1", nil).Start
	r.poll("s1", runs(order))
	r.time = r.time.Add(time.Duration(expected * 1.5 * float64(time.Second)))
	r.poll("s1", ends(order, succeed))
	found := r.gauges()
	if got := found["millrace_scheduler_estimate_error_ratio"]; math.Abs(got-1.0/3) > 0.02 {
		t.Errorf("the error is %.3f; an estimate of two thirds is off by a third", got)
	}
	if found["millrace_scheduler_estimates"] == 0 {
		t.Error("nothing says how many estimates that is over")
	}

	r.leader.end()
	if found := r.gauges(); len(found) != 0 {
		t.Errorf("a peer that doesn't lead shows %v", found)
	}
}
