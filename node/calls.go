package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"millrace/api"
	"millrace/cluster"
	"millrace/job"
)

// The calls between nodes, by the peers' port (see cluster.Handler).
const (
	callPoll     = "node/poll"     // a worker to the leader
	callConfirm  = "node/confirm"  // a worker to the leader
	callProgress = "node/progress" // any node to the leader
	callExplain  = "node/explain"  // any node to the leader
	callPing     = "node/ping"     // the leader to a worker
	callExpel    = "node/expel"    // any node to the leader
	callProbe    = "node/probe"    // any node to any
)

// pollMargin is how much longer than the poll may wait its answer may take: the
// leader first puts what has ended into the log.
const pollMargin = 4 * time.Second

// leaderCalls is the way from a worker to whichever peer leads, its own too.
type leaderCalls struct{ peer *cluster.Peer }

// Poll implements leaderClient. It ends soon after another peer has taken over.
func (c leaderCalls) Poll(ctx context.Context, report Report) (Orders, error) {
	ctx, cancel := context.WithTimeout(ctx, report.Wait+pollMargin)
	defer cancel()
	var orders Orders
	err := c.peer.CallLeader(ctx, callPoll, report, &orders)
	return orders, err
}

// confirmTimeout is how long the leader may take to confirm a lease: a round to
// a majority.
const confirmTimeout = 3 * time.Second

// Confirm implements leaderClient.
func (c leaderCalls) Confirm(ctx context.Context, claim Claim) (held bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	err = c.peer.CallLeader(ctx, callConfirm, claim, &held)
	return held, err
}

// expel tells the leader that a node was removed from the cluster.
func (c leaderCalls) expel(ctx context.Context, node string) error {
	return c.peer.CallLeader(ctx, callExpel, node, nil)
}

// progresses asks how far the running jobs have come whose progress moved since a mark.
func (c leaderCalls) progresses(ctx context.Context, since api.ProgressMark) (Moved, error) {
	var answer json.RawMessage
	if err := c.peer.CallLeader(ctx, callProgress, since, &answer); err != nil {
		return Moved{}, err
	}
	return readMoved(answer)
}

// readMoved reads the leader's answer. Where that is of an earlier version of the
// program, it knows no marks and always tells of all jobs that run.
func readMoved(answer json.RawMessage) (told Moved, err error) {
	if err := json.Unmarshal(answer, &told); err != nil {
		return Moved{}, fmt.Errorf("read the answer: %w", err)
	}
	if told.Jobs != nil {
		return told, nil
	}
	told = Moved{All: true}
	if err := json.Unmarshal(answer, &told.Jobs); err != nil {
		return Moved{}, fmt.Errorf("read the answer: %w", err)
	}
	return told, nil
}

// tellMoved answers whoever asks for progress; one that gives no mark, as an earlier
// version of the program, gets the jobs that run and nothing else.
func (l *leader) tellMoved(question json.RawMessage) (any, error) {
	var since *api.ProgressMark
	if len(question) > 0 {
		if err := json.Unmarshal(question, &since); err != nil {
			return nil, fmt.Errorf("read the call: %w", err)
		}
	}
	if since != nil {
		return l.progresses(*since)
	}
	told, err := l.progresses(api.ProgressMark{})
	return told.Jobs, err
}

// presence is a node's answer to the question whether it lives.
type presence struct {
	Node string `json:"node"`
	// Session is the run of the process, as in its reports.
	Session string `json:"session"`
}

// peerWitness asks after workers by the peers' port and by gossip.
type peerWitness struct{ peer *cluster.Peer }

func (w peerWitness) session(ctx context.Context, node string) (string, error) {
	var answer presence
	if err := w.peer.Call(ctx, node, callPing, nil, &answer); err != nil {
		return "", err
	}
	if answer.Node != node {
		return "", nil // another peer has its former address
	}
	return answer.Session, nil
}

func (w peerWitness) inSight(node string) bool {
	return slices.ContainsFunc(w.peer.Members(), func(m cluster.Member) bool { return m.ID == node })
}

// answerCalls lets a node answer the others: as the leader, which it only does
// while it leads (else cluster.ErrNotLeader), and as a worker in this session.
func answerCalls(peer *cluster.Peer, leader *leader, session string) {
	self := presence{Node: peer.ID(), Session: session}
	peer.Handle(callPing, func(context.Context, string, json.RawMessage) (any, error) { return self, nil })
	peer.Handle(callPoll, taking(func(ctx context.Context, from string, report Report) (any, error) {
		if report.Node != from {
			return nil, fmt.Errorf("a report of node %q came from %q", report.Node, from)
		}
		return leader.Poll(ctx, report)
	}))
	peer.Handle(callConfirm, taking(func(ctx context.Context, from string, claim Claim) (any, error) {
		if claim.Node != from {
			return nil, fmt.Errorf("a claim of node %q came from %q", claim.Node, from)
		}
		return leader.Confirm(ctx, claim)
	}))
	peer.Handle(callProgress, func(_ context.Context, _ string, question json.RawMessage) (any, error) {
		return leader.tellMoved(question)
	})
	peer.Handle(callExplain, taking(func(_ context.Context, _ string, id job.ID) (any, error) {
		return leader.explain(id)
	}))
	peer.Handle(callExpel, taking(func(_ context.Context, _ string, node string) (any, error) {
		return nil, leader.expel(node)
	}))
}

// taking is a handler of calls that bring an In.
func taking[In any](answer func(ctx context.Context, from string, in In) (any, error)) cluster.Handler {
	return func(ctx context.Context, from string, data json.RawMessage) (any, error) {
		var in In
		if err := json.Unmarshal(data, &in); err != nil {
			return nil, fmt.Errorf("read the call: %w", err)
		}
		return answer(ctx, from, in)
	}
}

// answerProbes lets other nodes have this one's devices measured again. The
// answer doesn't wait for that; asking while it is asked already changes nothing.
func answerProbes(peer *cluster.Peer, asked chan<- struct{}) {
	peer.Handle(callProbe, func(context.Context, string, json.RawMessage) (any, error) {
		select {
		case asked <- struct{}{}:
		default:
		}
		return nil, nil
	})
}
