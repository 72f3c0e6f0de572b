package cluster

import (
	"testing"
	"time"
)

func TestALonelyPeerComplainsOnceEachTime(t *testing.T) {
	var l loneliness
	for n, step := range []struct {
		alone bool
		at    time.Duration
		tells bool
	}{
		{true, 0, false}, {true, aloneAfter - 1, false}, {true, aloneAfter, true}, {true, 2 * aloneAfter, false},
		{false, 3 * aloneAfter, false}, {true, 4 * aloneAfter, false}, {true, 5 * aloneAfter, true},
	} {
		if got := l.tell(step.alone, noon.Add(step.at)); got != step.tells {
			t.Errorf("step %d: %v", n, got)
		}
	}
}
