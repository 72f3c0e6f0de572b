package api

import (
	"net/http"
	"time"
)

// ClusterStatus is who is in the cluster and whether they agree, as the peer
// that was asked sees it. It is told without a leader too: that is when it is
// needed most.
type ClusterStatus struct {
	Leader *Member `json:"leader"` // null while there is none
	Term   uint64  `json:"term"`
	Voters []Voter `json:"voters"`
	// Healthy: there is a leader, and a majority of the voters is well.
	Healthy bool `json:"healthy"`

	ID string `json:"id"` // the cluster's own, "" while the peer is in none
	// Followers hold the log without a vote, workers hold none.
	Followers []Voter  `json:"followers"`
	Workers   []Member `json:"workers"`
	// Peer is the one that answers.
	Peer PeerStatus `json:"peer"`
}

// Member is one peer.
type Member struct {
	ID      string `json:"id"`
	Address string `json:"address"` // host:port of its API, "" while nobody sees it
}

// Voter is a peer that holds the log.
type Voter struct {
	Member
	Healthy bool `json:"healthy"`
}

// PeerStatus is how the peer that answers stands.
type PeerStatus struct {
	Member
	State string `json:"state"` // "leader", "follower", "candidate", "worker", "shutdown"
	// Detached says why the peer isn't in contact with its cluster, Halted why it
	// has stopped; null while it is well.
	Detached *string `json:"detached"`
	Halted   *string `json:"halted"`
	// LastIndex is of the latest entry in the peer's log, CommitIndex of the
	// latest that a majority has, AppliedIndex of the latest in its state.
	LastIndex    uint64 `json:"last_index"`
	CommitIndex  uint64 `json:"commit_index"`
	AppliedIndex uint64 `json:"applied_index"`
	// CertificateExpires is when the certificate ends by which other peers know
	// this one; null where the peers don't use any.
	CertificateExpires *time.Time `json:"certificate_expires"`
}

// status is how the peer sees the cluster, with lists for its nulls.
func (s *Server) status() ClusterStatus {
	status := s.config.Cluster.ClusterStatus()
	if status.Voters == nil {
		status.Voters = []Voter{}
	}
	if status.Followers == nil {
		status.Followers = []Voter{}
	}
	if status.Workers == nil {
		status.Workers = []Member{}
	}
	return status
}

func (s *Server) clusterStatus(c *call) error {
	return s.writeJSON(c, http.StatusOK, s.status())
}
