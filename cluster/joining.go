package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"
)

// joinRequest asks the leader to have a peer in raft's configuration, at its
// present address.
type joinRequest struct {
	ID      string `json:"id"`
	Address string `json:"address"`
	// Fresh: the peer was never one of raft's, as far as its folder tells. If it
	// had a vote, it has forgotten it.
	Fresh bool `json:"fresh"`
	// Run is drawn at each start of the peer.
	Run string `json:"run"`
	// Forwarded requests are not passed on once more.
	Forwarded bool `json:"forwarded,omitempty"`
}

// stay makes sure that raft's leader knows this peer at its present address.
func (p *Peer) stay(ctx context.Context) error {
	leader, _ := p.leader.now()
	servers := p.servers()
	at := slices.IndexFunc(servers, func(s raft.Server) bool { return string(s.ID) == p.id })
	if leader == p.id || leader != "" && at >= 0 && string(servers[at].Address) == p.RaftAddr() {
		return nil
	}
	if p.gossip() == nil {
		return nil // alone
	}
	p.forming.Lock()
	founder := p.pledge != nil && p.pledge.Cluster == p.Cluster()
	p.forming.Unlock()
	empty := p.raft.LastIndex() == 0
	if founder && empty {
		return errors.New("waiting for the founders to elect a leader")
	}
	fresh := empty || !p.started && !founder // the log's first entry names the founders
	addresses := p.otherAddresses()
	if len(addresses) == 0 && at >= 0 && len(servers) == 1 {
		return nil // it is about to elect itself
	}
	request := joinRequest{ID: p.id, Address: p.RaftAddr(), Fresh: fresh, Run: p.run}
	errs := []error{errors.New("no leader is in sight")}
	for _, address := range addresses {
		err := p.callAt(ctx, address, callJoin, request, nil)
		if err == nil || errors.Is(err, ErrRemoved) {
			return err
		}
		errs = append(errs, fmt.Errorf("ask %s: %w", address, err))
	}
	return errors.Join(errs...)
}

// otherAddresses is where peers of this cluster may be found.
func (p *Peer) otherAddresses() []string {
	var addresses []string
	for _, member := range p.Members() {
		if member.ID != p.id && member.Cluster != "" {
			addresses = append(addresses, member.RaftAddr)
		}
	}
	for _, server := range p.servers() {
		if address := string(server.Address); string(server.ID) != p.id && !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// serveJoin takes a peer in, or passes it on to the leader.
func (p *Peer) serveJoin(ctx context.Context, _ string, in json.RawMessage) (any, error) {
	var request joinRequest
	if err := json.Unmarshal(in, &request); err != nil {
		return nil, fmt.Errorf("read the request to join: %w", err)
	}
	if p.Cluster() == "" {
		return nil, fmt.Errorf("%w: this peer is in none yet", ErrOtherCluster)
	}
	leader, _ := p.leader.now()
	if leader != p.id && leader != "" && leader != request.ID && !request.Forwarded {
		request.Forwarded = true
		return nil, p.Call(ctx, leader, callJoin, request, nil)
	}
	if _, err := p.openTerm(ctx); err != nil {
		return nil, err
	}
	return nil, p.admit(ctx, request)
}

// admit has a peer in raft's configuration. A new one begins without a vote.
func (p *Peer) admit(ctx context.Context, request joinRequest) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	id, address := raft.ServerID(request.ID), raft.ServerAddress(request.Address)
	servers := p.servers()
	at := slices.IndexFunc(servers, func(s raft.Server) bool { return s.ID == id })
	if at >= 0 && request.Fresh && p.admitted[request.ID] != request.Run {
		// It may have voted and forgotten it, so it comes as a new one.
		p.log.Warn("a peer comes back without its data", "peer", request.ID)
		if err := p.change(ctx, func() raft.IndexFuture { return p.raft.RemoveServer(id, 0, barrierTimeout) }); err != nil {
			return fmt.Errorf("remove the former %s: %w", request.ID, err)
		}
		at = -1
	}
	switch {
	case at < 0 && !request.Fresh:
		return fmt.Errorf("peer %s: %w", request.ID, ErrRemoved)
	case at >= 0 && servers[at].Address == address:
		return nil
	}
	if err := p.change(ctx, func() raft.IndexFuture {
		if at >= 0 && servers[at].Suffrage == raft.Voter {
			return p.raft.AddVoter(id, address, 0, barrierTimeout)
		}
		return p.raft.AddNonvoter(id, address, 0, barrierTimeout)
	}); err != nil {
		return fmt.Errorf("add %s at %s: %w", request.ID, request.Address, err)
	}
	p.admitted[request.ID] = request.Run
	p.log.Info("a peer has joined or moved", "peer", request.ID, "address", request.Address)
	return nil
}

// change waits for a change of raft's configuration. The caller holds p.changing.
func (p *Peer) change(ctx context.Context, start func() raft.IndexFuture) error {
	return p.wait(ctx, func() raft.Future { return start() })
}

type removeRequest struct {
	ID string `json:"id"`
}

// Remove takes a peer out of the cluster for good, whether it is well or gone.
// It comes back only with an empty data folder. The last voter can't be removed;
// a leader that is told to remove itself hands its office over first.
// Errors: ErrNotFound, ErrNoLeader, ErrClosed, or ctx's.
func (p *Peer) Remove(ctx context.Context, id string) error {
	err := p.withLeader(ctx, func(ctx context.Context, leader string) error {
		if leader == p.id {
			return p.remove(ctx, id)
		}
		err := p.Call(ctx, leader, callRemove, removeRequest{id}, nil)
		if errors.Is(err, ErrUnreachable) || errors.Is(err, errUncertain) {
			return fmt.Errorf("%w: %w", errTryNext, err) // removed twice is removed
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove peer %s: %w", id, err)
	}
	return nil
}

func (p *Peer) serveRemove(ctx context.Context, _ string, in json.RawMessage) (any, error) {
	var request removeRequest
	if err := json.Unmarshal(in, &request); err != nil {
		return nil, fmt.Errorf("read whom to remove: %w", err)
	}
	if _, err := p.openTerm(ctx); err != nil {
		return nil, err
	}
	return nil, p.remove(ctx, request.ID)
}

func (p *Peer) remove(ctx context.Context, id string) error {
	if id == p.id {
		if err := p.handOver(ctx); err != nil {
			return err
		}
		return ErrNotLeader // the next leader does it
	}
	p.changing.Lock()
	defer p.changing.Unlock()
	if !slices.ContainsFunc(p.servers(), func(s raft.Server) bool { return string(s.ID) == id }) {
		return ErrNotFound
	}
	delete(p.admitted, id)
	return p.change(ctx, func() raft.IndexFuture { return p.raft.RemoveServer(raft.ServerID(id), 0, barrierTimeout) })
}

// handOver makes another voter the leader.
func (p *Peer) handOver(ctx context.Context) error {
	if p.otherVoters() == 0 {
		return errors.New("no other peer can lead: it is the only voter")
	}
	if err := p.wait(ctx, func() raft.Future { return p.raft.LeadershipTransfer() }); err != nil {
		return fmt.Errorf("hand the leadership over: %w", err)
	}
	return nil
}

func (p *Peer) otherVoters() int {
	n := 0
	for _, server := range p.servers() {
		if server.Suffrage == raft.Voter && string(server.ID) != p.id {
			n++
		}
	}
	return n
}

// Leave takes this peer out of the cluster for good, in good order: it hands
// over what it leads and gives its vote back. Close it afterwards; its data
// folder is of no more use. The last voter can't leave.
func (p *Peer) Leave(ctx context.Context) error {
	err := p.Remove(ctx, p.id)
	if errors.Is(err, ErrNotFound) {
		err = nil // an earlier try came through
	}
	if err != nil {
		return fmt.Errorf("leave the cluster: %w", err)
	}
	return nil
}
