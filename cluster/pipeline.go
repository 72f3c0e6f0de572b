package cluster

import (
	"time"

	"github.com/hashicorp/raft"
)

// raftTransport is raft's own, except that no request waits for ever for its
// place in a pipeline. Raft stops reading answers once one of them names a newer
// term, and then may go on sending: with the answers that nobody takes, its
// sender waits for a place that never gets free, and the peer can neither
// replicate to that follower in a later term nor shut down. A leader that was
// frozen or cut off, and comes back, meets just that.
type raftTransport struct {
	*raft.NetworkTransport
	// patience is longer than any request can rightly wait: the answers before
	// it come, or their connection fails, within the transport's own time-out.
	patience time.Duration
}

// AppendEntriesPipeline implements raft.Transport.
func (t *raftTransport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err // compared by raft, so not wrapped
	}
	return &boundedPipeline{inner, t.patience}, nil
}

// boundedPipeline closes itself rather than wait longer than its patience.
type boundedPipeline struct {
	raft.AppendPipeline
	patience time.Duration
}

// AppendEntries implements raft.AppendPipeline. After an error raft makes a new
// pipeline, if it still leads.
func (p *boundedPipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	stuck := time.AfterFunc(p.patience, func() { _ = p.Close() })
	defer stuck.Stop()
	return p.AppendPipeline.AppendEntries(args, resp)
}
