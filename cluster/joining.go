package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

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
	// Joined: a leader has let this peer in before, with the log or without.
	Joined bool `json:"joined,omitempty"`
	// Run is drawn at each start of the peer.
	Run string `json:"run"`
	// Forwarded requests are not passed on once more.
	Forwarded bool `json:"forwarded,omitempty"`
}

// joinAnswer is what a leader has made of a peer.
type joinAnswer struct {
	// Worker: the peer is a member without the log. Term is the leader's.
	Worker bool   `json:"worker,omitempty"`
	Term   uint64 `json:"term,omitempty"`
}

// stay makes sure that the cluster's leader knows this peer: as one of raft's,
// at its present address, or as a worker.
func (p *Peer) stay(ctx context.Context) error {
	leader, _ := p.leader.now()
	if p.works() {
		if lost := p.follow.lost.Load(); leader == "" && lost != nil && *lost != "" {
			return errors.New(*lost)
		}
		return nil // it is told when it gets the log
	}
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
	joined, err := exists(filepath.Join(p.config.DataDir, joinedFile))
	if err != nil {
		return err
	}
	request := joinRequest{ID: p.id, Address: p.RaftAddr(), Fresh: fresh, Joined: joined, Run: p.run}
	errs := []error{errors.New("no leader is in sight")}
	for _, address := range addresses {
		var answer joinAnswer
		err := p.callAt(ctx, address, callJoin, request, &answer)
		if err == nil {
			return p.noteJoined(joined, answer)
		}
		if errors.Is(err, ErrRemoved) {
			return err
		}
		errs = append(errs, fmt.Errorf("ask %s: %w", address, err))
	}
	return errors.Join(errs...)
}

// noteJoined keeps that, and how, a leader has let this peer in.
func (p *Peer) noteJoined(before bool, answer joinAnswer) error {
	if !before {
		if err := writeDurably(filepath.Join(p.config.DataDir, joinedFile), nil); err != nil {
			return fmt.Errorf("note that the peer has joined: %w", err)
		}
	}
	if !answer.Worker {
		return nil // the log tells the rest
	}
	if err := p.becomeWorker(answer.Term); err != nil {
		return err
	}
	return p.gossip().announce(p.identity())
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
		var answer joinAnswer
		err := p.Call(ctx, leader, callJoin, request, &answer)
		return answer, err
	}
	present, err := p.openTerm(ctx)
	if err != nil {
		return nil, err
	}
	holds, err := p.admit(ctx, request)
	if err != nil {
		return nil, err
	}
	return joinAnswer{Worker: !holds, Term: present.number}, nil
}

// admit makes a peer a member, and says whether it is one of raft's: while there
// are fewer than MaxVoters of those, it becomes one, at first without a vote.
func (p *Peer) admit(ctx context.Context, request joinRequest) (holds bool, err error) {
	p.changing.Lock()
	defer p.changing.Unlock()
	id, address := raft.ServerID(request.ID), raft.ServerAddress(request.Address)
	if p.expelled(request.ID) {
		if request.Joined || !request.Fresh {
			return false, fmt.Errorf("peer %s: %w", request.ID, ErrRemoved)
		}
		p.log.Warn("a peer that was removed comes as a new one", "peer", request.ID)
		if _, err := p.Propose(ctx, readmitPeer{Peer: request.ID, At: time.Now().UTC()}); err != nil {
			return false, err
		}
	}
	servers := p.servers()
	at := slices.IndexFunc(servers, func(s raft.Server) bool { return s.ID == id })
	if at >= 0 && request.Fresh && p.admitted[request.ID] != request.Run {
		// It may have voted and forgotten it, so it comes as a new one.
		p.log.Warn("a peer comes back without its data", "peer", request.ID)
		if err := p.change(ctx, func() raft.IndexFuture { return p.raft.RemoveServer(id, 0, barrierTimeout) }); err != nil {
			return false, fmt.Errorf("remove the former %s: %w", request.ID, err)
		}
		servers, at = slices.Delete(servers, at, at+1), -1
	}
	switch {
	case at < 0 && len(servers) >= p.config.MaxVoters:
		if !request.Joined || !request.Fresh {
			p.log.Info("a peer has joined as a worker", "peer", request.ID, "address", request.Address)
		}
		return false, nil
	case at >= 0 && servers[at].Address == address:
		return true, nil
	}
	if err := p.change(ctx, func() raft.IndexFuture {
		if at >= 0 && servers[at].Suffrage == raft.Voter {
			return p.raft.AddVoter(id, address, 0, barrierTimeout)
		}
		return p.raft.AddNonvoter(id, address, 0, barrierTimeout)
	}); err != nil {
		return false, fmt.Errorf("add %s at %s: %w", request.ID, request.Address, err)
	}
	p.admitted[request.ID] = request.Run
	p.log.Info("a peer has joined or moved", "peer", request.ID, "address", request.Address)
	return true, nil
}

// change waits for a change of raft's configuration. The caller holds p.changing.
func (p *Peer) change(ctx context.Context, start func() raft.IndexFuture) error {
	return p.wait(ctx, func() raft.Future { return start() })
}

type removeRequest struct {
	ID string `json:"id"`
}

// Remove takes a peer out of the cluster for good, whether it has the log or is a
// worker, whether it is well or gone. It comes back only with an empty data
// folder. The last voter can't be removed; a leader that is told to remove
// itself hands its office over first. Removing a peer twice is no error.
// Errors: ErrNotFound, ErrNodeID, ErrNoLeader, ErrClosed, or ctx's.
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
	listed := slices.ContainsFunc(p.servers(), func(s raft.Server) bool { return string(s.ID) == id })
	_, seen := p.member(id)
	_, decided := p.Stale().NodeState(id)
	if !p.expelled(id) {
		if !listed && !seen && !decided {
			return ErrNotFound
		}
		// First the word that outlives this leader: the steward does the rest if it dies here.
		if _, err := p.Propose(ctx, expelPeer{Peer: id, At: time.Now().UTC()}); err != nil {
			return err
		}
	}
	delete(p.admitted, id)
	if !listed {
		return nil
	}
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
	if err := p.Remove(ctx, p.id); err != nil {
		return fmt.Errorf("leave the cluster: %w", err)
	}
	return nil
}
