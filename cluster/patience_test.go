package cluster

import (
	"errors"
	"testing"
	"time"
)

// TestWithoutALeaderForLongNobodyIsKeptWaiting: the first call waits for an
// election or two, the later ones don't wait at all. So what is bounded is the
// number of waits, not their time, which a busy machine stretches.
func TestWithoutALeaderForLongNobodyIsKeptWaiting(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := trio(t)
	survivor := peers["c"]
	cutOff(t, peers["a"])
	cutOff(t, peers["b"])
	eventually(t, "the leader is missed", func() string {
		if survivor.leader.lostFor() > survivor.patience() {
			return ""
		}
		return "there is still one"
	})
	for range 100 {
		started := time.Now()
		if _, err := survivor.View(t.Context()); !errors.Is(err, ErrNoLeader) {
			t.Fatalf("read: %v", err)
		}
		if _, err := survivor.Propose(t.Context(), createOrg("x")); !errors.Is(err, ErrNoLeader) {
			t.Fatalf("propose: %v", err)
		}
		if time.Since(started) < survivor.patience() {
			return // once is enough: a call that waits never comes back sooner
		}
	}
	t.Errorf("each call waited for %s", survivor.patience())
}
