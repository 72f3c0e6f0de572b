package rig

import (
	"testing"
	"time"
)

// Patience is how long a test waits for anything that must happen: far more
// than it takes on a slow machine that does other things as well.
const Patience = 2 * time.Minute

// A condition is looked at often at first and less so by and by: most looks are
// requests to peers that compute as well.
const (
	firstLooks = 20 * time.Millisecond
	laterLooks = 100 * time.Millisecond
)

// Eventually waits until condition holds, and fails the test with what when it
// doesn't come to that.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	look := time.NewTimer(firstLooks)
	defer look.Stop()
	for pause := firstLooks; !condition(); pause = min(pause*5/4, laterLooks) {
		look.Reset(pause)
		select {
		case <-look.C:
		case <-deadline.C:
			t.Fatalf("it never came to this: %s", what)
		case <-t.Context().Done():
			t.Fatalf("the test ended before this: %s", what)
		}
	}
}

// Pass lets time pass, where time itself is the fault that is tested.
func Pass(t testing.TB, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
