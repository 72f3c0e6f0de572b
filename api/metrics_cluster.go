package api

import (
	"github.com/prometheus/client_golang/prometheus"
)

// clusterGauges collects how this peer sees the cluster when it is asked. None
// of them has a label with a peer's name: a thousand peers that each tell of a
// thousand would be a million series.
type clusterGauges struct {
	cluster ClusterInfo
	state   State
}

func clusterDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("millrace_cluster_"+name, help, labels, nil)
}

var (
	leadsDesc      = clusterDesc("leader", "1 on the peer that leads, 0 on the others.")
	hasLeaderDesc  = clusterDesc("has_leader", "1 while this peer knows a leader.")
	healthyDesc    = clusterDesc("healthy", "1 while there is a leader and a majority of the voters is well.")
	termDesc       = clusterDesc("term", "The term of the agreement; it grows with each election.")
	votersDesc     = clusterDesc("voters", "Peers with a vote.")
	votersWellDesc = clusterDesc("voters_healthy", "Peers with a vote that are well.")
	peersDesc      = clusterDesc("peers", "Peers that gossip sees alive, by role.", "role")
	drainingDesc   = clusterDesc("nodes_draining", "Nodes that get nothing new to do.")
	indexDesc      = clusterDesc("log_index", "This peer's place in the log: its latest entry, the latest that a majority has, the latest in its state.", "of")
	expiryDesc     = clusterDesc("certificate_expiry_timestamp_seconds", "When this peer's certificate ends; absent where peers use none.")
)

// Describe implements prometheus.Collector.
func (clusterGauges) Describe(descriptions chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		leadsDesc, hasLeaderDesc, healthyDesc, termDesc, votersDesc, votersWellDesc, peersDesc, drainingDesc, indexDesc, expiryDesc,
	} {
		descriptions <- desc
	}
}

// Collect implements prometheus.Collector.
func (c clusterGauges) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	status := c.cluster.ClusterStatus()
	gauge(leadsDesc, oneIf(status.Leader != nil && status.Leader.ID == status.Peer.ID))
	gauge(hasLeaderDesc, oneIf(status.Leader != nil))
	gauge(healthyDesc, oneIf(status.Healthy))
	gauge(termDesc, float64(status.Term))
	gauge(votersDesc, float64(len(status.Voters)))
	well := 0
	for _, voter := range status.Voters {
		if voter.Healthy {
			well++
		}
	}
	gauge(votersWellDesc, float64(well))
	alive := map[NodeRole]int{NodeLeader: 0, NodeVoter: 0, NodeFollower: 0, NodeWorker: 0}
	for _, node := range c.cluster.Nodes() {
		if node.Alive {
			alive[node.Role]++
		}
	}
	for role, count := range alive {
		gauge(peersDesc, float64(count), string(role))
	}
	draining := 0
	for _, state := range c.state.Stale().NodeStates() {
		if state.Draining {
			draining++
		}
	}
	gauge(drainingDesc, float64(draining))
	gauge(indexDesc, float64(status.Peer.LastIndex), "last")
	gauge(indexDesc, float64(status.Peer.CommitIndex), "commit")
	gauge(indexDesc, float64(status.Peer.AppliedIndex), "applied")
	if end := status.Peer.CertificateExpires; end != nil {
		gauge(expiryDesc, float64(end.Unix()))
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
