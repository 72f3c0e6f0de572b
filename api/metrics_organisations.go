package api

import (
	"cmp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace/cluster"
)

// maxOrganisationSeries is how many organisations have series of their own.
const maxOrganisationSeries = 100

// organisationGauges collects what the organisations have when it is asked. Only
// the peer that leads tells it, since all would tell the same, and only of those
// with most to do: whoever makes thousands of organisations makes no more series.
type organisationGauges struct {
	cluster ClusterInfo
	state   State
	now     func() time.Time
}

func organisationDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("millrace_"+name, help, labels, nil)
}

var (
	organisationsDesc = organisationDesc("organisations", "Organisations in the state; on the leader.")
	orgRunningDesc    = organisationDesc("organisation_running_jobs", "Jobs that run, of the 100 organisations with most to do; on the leader.", "organisation")
	orgQueuedDesc     = organisationDesc("organisation_queued_jobs", "Jobs that wait to begin, of the 100 organisations with most to do; on the leader.", "organisation")
	orgMinutesDesc    = organisationDesc("organisation_minutes_today", "Minutes of video that the organisation's jobs have begun to encode today (UTC), where limits have been set; on the leader.", "organisation")
)

// Describe implements prometheus.Collector.
func (organisationGauges) Describe(descriptions chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{organisationsDesc, orgRunningDesc, orgQueuedDesc, orgMinutesDesc} {
		descriptions <- desc
	}
}

// Collect implements prometheus.Collector.
func (c organisationGauges) Collect(metrics chan<- prometheus.Metric) {
	status := c.cluster.ClusterStatus()
	if status.Leader == nil || status.Leader.ID != status.Peer.ID {
		return
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	view, now := c.state.Stale(), c.now()
	all := view.Organisations()
	gauge(organisationsDesc, float64(len(all)))
	for _, org := range busiest(view, all, now) {
		tally := view.Tally(org.ID)
		gauge(orgRunningDesc, float64(tally.Running), org.ID)
		gauge(orgQueuedDesc, float64(tally.Queued), org.ID)
		if org.Use != nil {
			gauge(orgMinutesDesc, org.UsedOn(now).Minutes(), org.ID)
		}
	}
}

// busiest is the organisations with most jobs that haven't ended, then those that
// have had most video today.
func busiest(view cluster.View, orgs []*cluster.Organisation, now time.Time) []*cluster.Organisation {
	if len(orgs) <= maxOrganisationSeries {
		return orgs
	}
	jobs := make(map[string]int, len(orgs))
	for _, org := range orgs {
		tally := view.Tally(org.ID)
		jobs[org.ID] = tally.Running + tally.Queued
	}
	slices.SortFunc(orgs, func(a, b *cluster.Organisation) int {
		return cmp.Or(cmp.Compare(jobs[b.ID], jobs[a.ID]), cmp.Compare(b.UsedOn(now), a.UsedOn(now)), cmp.Compare(a.ID, b.ID))
	})
	return orgs[:maxOrganisationSeries]
}
