package cluster

import (
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// That is what a leader's sender does when its reader has met a newer term.
func TestASenderWhoseAnswersNobodyReadsDoesNotWaitForEver(t *testing.T) {
	follower, err := raft.NewTCPTransport("127.0.0.1:0", nil, 1, time.Minute, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = follower.Close() }()
	own, err := raft.NewTCPTransport("127.0.0.1:0", nil, 1, time.Minute, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = own.Close() }()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case rpc := <-follower.Consumer():
				rpc.Respond(&raft.AppendEntriesResponse{Term: 9}, nil)
			case <-stop:
				return
			}
		}
	}()
	leader := &raftTransport{own, 50 * time.Millisecond}
	pipeline, err := leader.AppendEntriesPipeline("follower", follower.LocalAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pipeline.Close() }()
	// As many find a place as raft lets be in flight; the next must not hang.
	const enough = 1000
	for range enough {
		if _, err := pipeline.AppendEntries(&raft.AppendEntriesRequest{Term: 8}, new(raft.AppendEntriesResponse)); err != nil {
			return
		}
	}
	t.Errorf("%d requests were sent into a pipeline whose answers nobody reads", enough)
}
