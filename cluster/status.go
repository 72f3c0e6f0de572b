package cluster

import (
	"time"

	"github.com/hashicorp/raft"
)

// Status is how a peer stands in the cluster.
type Status struct {
	ID      string `json:"id"`
	Cluster string `json:"cluster"` // "" while the peer is in none
	State   string `json:"state"`   // "leader", "follower", "candidate", "worker", "shutdown"
	Term    uint64 `json:"term"`
	// Leader, LeaderAddr and LeaderHTTPAddr are the ID, the raft address and the
	// API's address of the leader, "" while none is known.
	Leader         string  `json:"leader"`
	LeaderAddr     string  `json:"leader_addr"`
	LeaderHTTPAddr string  `json:"leader_http_addr"`
	Voters         []Voter `json:"voters"`
	// Followers hold the log without a vote.
	Followers []Voter `json:"followers,omitempty"`
	// Members are the peers that gossip sees alive.
	Members []Member `json:"members,omitempty"`
	// LastIndex is of the latest entry in this peer's log, CommitIndex of the
	// latest that a majority has, Applied of the latest command in its state.
	LastIndex   uint64 `json:"last_index"`
	CommitIndex uint64 `json:"commit_index"`
	Applied     uint64 `json:"applied"`
	// Detached says why the peer isn't in contact with its cluster or in none
	// yet, "" while it is.
	Detached string `json:"detached,omitempty"`
	// CertificateExpires is when the peer's certificate ends; zero without a bundle.
	CertificateExpires time.Time `json:"certificate_expires,omitzero"`
	// Halted says why the peer has stopped, "" while it hasn't.
	Halted string `json:"halted,omitempty"`
}

// Voter is a peer that holds the log.
type Voter struct {
	ID       string `json:"id"`
	Address  string `json:"address"`             // of its raft, host:port
	HTTPAddr string `json:"http_addr,omitempty"` // "" where gossip doesn't see it
	// Healthy: the leader hears from it and it keeps up, if this peer leads; else
	// gossip sees it alive.
	Healthy bool `json:"healthy"`
}

var stateNames = map[raft.RaftState]string{
	raft.Leader: "leader", raft.Follower: "follower", raft.Candidate: "candidate", raft.Shutdown: "shutdown",
}

// Status tells how the peer stands now, from what it knows itself.
func (p *Peer) Status() Status {
	address, leader := p.raft.LeaderWithID()
	status := Status{
		ID: p.id, Cluster: p.Cluster(), State: stateNames[p.raft.State()], Term: p.raft.CurrentTerm(),
		Leader: string(leader), LeaderAddr: string(address), Members: p.Members(),
		LastIndex: p.raft.LastIndex(), CommitIndex: p.raft.CommitIndex(), Applied: p.Stale().Index(),
	}
	if p.bundle != nil {
		status.CertificateExpires = p.bundle.expires()
	}
	if reason := p.detached.Load(); reason != nil {
		status.Detached = *reason
	}
	if err := p.machine.haltError(); err != nil {
		status.Halted = err.Error()
	}
	seen := map[string]Member{p.id: {Identity: Identity{HTTPAddr: p.config.HTTPAddr}}}
	for _, member := range status.Members {
		seen[member.ID] = member
	}
	status.LeaderHTTPAddr = seen[status.Leader].HTTPAddr
	if p.works() && status.State != stateNames[raft.Shutdown] {
		p.tellAsWorker(&status, seen)
		return status
	}
	for _, server := range p.servers() {
		member, alive := seen[string(server.ID)]
		voter := Voter{ID: string(server.ID), Address: string(server.Address), HTTPAddr: member.HTTPAddr, Healthy: alive}
		if well, examined := p.examined(voter.ID); examined {
			voter.Healthy = well
		}
		if server.Suffrage == raft.Voter {
			status.Voters = append(status.Voters, voter)
		} else {
			status.Followers = append(status.Followers, voter)
		}
	}
	return status
}

// tellAsWorker fills in what a worker knows from a voter.
func (p *Peer) tellAsWorker(status *Status, seen map[string]Member) {
	status.State, status.Term = "worker", 0
	status.Leader, status.LeaderAddr, status.LeaderHTTPAddr = "", "", ""
	latest := p.follow.latest.Load()
	if latest == nil {
		return
	}
	status.Term = latest.Term
	if leader, _ := p.leader.now(); leader != "" && leader == latest.Leader {
		status.Leader, status.LeaderAddr, status.LeaderHTTPAddr = leader, p.addressOf(leader), latest.HTTPAddr
		if member, alive := seen[leader]; alive {
			status.LeaderHTTPAddr = member.HTTPAddr
		}
	}
	for _, voter := range latest.Voters {
		if member, alive := seen[voter.ID]; alive {
			voter.HTTPAddr, voter.Address = member.HTTPAddr, member.RaftAddr
		} else {
			voter.Healthy = false
		}
		status.Voters = append(status.Voters, voter)
	}
}

// examined is how this leader last found a peer; false while it doesn't lead
// or hasn't asked yet.
func (p *Peer) examined(id string) (well, examined bool) {
	s := p.steward.Load()
	if s == nil || !p.Leads() {
		return false, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, known := s.conditions[id]
	return c.well, known
}

// Leads says whether this peer is the leader now, as far as it knows, and has
// applied what earlier leaders acknowledged.
func (p *Peer) Leads() bool {
	present, _ := p.lead.now()
	return present != nil && present.ctx.Err() == nil
}
