package node

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"millrace/cluster"
)

// The calls between nodes, by the peers' port (see cluster.Handler).
const (
	callPoll     = "node/poll"
	callProgress = "node/progress"
	callProbe    = "node/probe"
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

// progresses asks how far the running jobs have come.
func (c leaderCalls) progresses(ctx context.Context) (Progresses, error) {
	var told Progresses
	err := c.peer.CallLeader(ctx, callProgress, nil, &told)
	return told, err
}

// answerCalls lets the leader's half answer the other nodes. A peer that
// doesn't lead answers cluster.ErrNotLeader.
func answerCalls(peer *cluster.Peer, leader *leader) {
	peer.Handle(callPoll, func(ctx context.Context, from string, in json.RawMessage) (any, error) {
		var report Report
		if err := json.Unmarshal(in, &report); err != nil {
			return nil, fmt.Errorf("read the report: %w", err)
		}
		if report.Node != from {
			return nil, fmt.Errorf("a report of node %q came from %q", report.Node, from)
		}
		return leader.Poll(ctx, report)
	})
	peer.Handle(callProgress, func(context.Context, string, json.RawMessage) (any, error) {
		return leader.progresses()
	})
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
