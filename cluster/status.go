package cluster

import "github.com/hashicorp/raft"

// Status is how a peer stands in the cluster.
type Status struct {
	ID    string `json:"id"`
	State string `json:"state"` // "leader", "follower", "candidate", "shutdown"
	Term  uint64 `json:"term"`
	// Leader and LeaderAddr are the ID and raft address of the leader, "" while
	// none is known.
	Leader     string  `json:"leader"`
	LeaderAddr string  `json:"leader_addr"`
	Voters     []Voter `json:"voters"`
	// LastIndex is of the latest entry in this peer's log, CommitIndex of the
	// latest that a majority has, Applied of the latest command in its state.
	LastIndex   uint64 `json:"last_index"`
	CommitIndex uint64 `json:"commit_index"`
	Applied     uint64 `json:"applied"`
	// Halted says why the peer has stopped, "" while it hasn't.
	Halted string `json:"halted,omitempty"`
}

// Voter is a peer that holds the log.
type Voter struct {
	ID      string `json:"id"`
	Address string `json:"address"` // of its raft, host:port
}

var stateNames = map[raft.RaftState]string{
	raft.Leader: "leader", raft.Follower: "follower", raft.Candidate: "candidate", raft.Shutdown: "shutdown",
}

// Status tells how the peer stands now, from what it knows itself.
func (p *Peer) Status() Status {
	address, leader := p.raft.LeaderWithID()
	status := Status{
		ID: p.id, State: stateNames[p.raft.State()], Term: p.raft.CurrentTerm(),
		Leader: string(leader), LeaderAddr: string(address),
		LastIndex: p.raft.LastIndex(), CommitIndex: p.raft.CommitIndex(), Applied: p.Stale().Index(),
	}
	if err := p.machine.haltError(); err != nil {
		status.Halted = err.Error()
	}
	if future := p.raft.GetConfiguration(); future.Error() == nil {
		for _, server := range future.Configuration().Servers {
			if server.Suffrage == raft.Voter {
				status.Voters = append(status.Voters, Voter{ID: string(server.ID), Address: string(server.Address)})
			}
		}
	}
	return status
}

// Leads says whether this peer is the leader now, as far as it knows, and has
// applied what earlier leaders acknowledged.
func (p *Peer) Leads() bool {
	present, _ := p.lead.now()
	return present != nil && present.ctx.Err() == nil
}
