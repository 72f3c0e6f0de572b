package hwaccel

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2025, 1, 1, 12, 0, 0, 0, time.UTC)

func TestFailuresInARowOpenTheBreakerAndATrialClosesIt(t *testing.T) {
	var b breaker
	b.failed(noon, "a")
	b.failed(noon, "b")
	b.worked() // not in a row
	b.failed(noon, "c")
	if opened := b.failed(noon, "d"); opened || b.why() != "" {
		t.Fatalf("open after two failures in a row: %s", b.why())
	}
	if !b.failed(noon, "the GPU is gone") || !strings.Contains(b.why(), "3 attempts in a row have failed, the last one: the GPU is gone") {
		t.Fatalf("not open: %+v", b)
	}
	b.worked() // it had begun before
	if !b.trialDue(noon) {
		t.Error("the first trial isn't due at once")
	}
	b.tried(noon, "still gone")
	if b.trialDue(noon.Add(breakerPause-1)) || !b.trialDue(noon.Add(breakerPause)) || !strings.Contains(b.why(), "still gone") {
		t.Errorf("the second trial is due at %s: %s", b.due, b.why())
	}
	b.tried(noon, "")
	if b.why() != "" || b.trialDue(noon.Add(time.Hour)) || b.failed(noon, "e") {
		t.Errorf("not closed, or without patience: %+v", b)
	}
}

func TestBreakerOnlyClosesByATrialAndPausesGrowUpToALimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b breaker
		now, pause, inARow := noon, time.Duration(0), 0
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			was := b.opened
			switch rapid.SampledFrom([]string{"failed", "worked", "bad trial", "good trial", "time"}).Draw(t, "event") {
			case "failed":
				inARow++
				b.failed(now, "x")
				if inARow >= breakerFailures && !b.opened {
					t.Fatal("closed after enough failures")
				}
			case "worked":
				inARow = 0
				b.worked()
				if was && !b.opened {
					t.Fatal("closed without a trial")
				}
			case "bad trial":
				if !b.trialDue(now) {
					continue
				}
				b.tried(now, "no")
				if next := b.due.Sub(now); next < pause || next > breakerMaxPause || next < breakerPause {
					t.Fatalf("the pause is %s after %s", next, pause)
				}
				pause = b.due.Sub(now)
			case "good trial":
				if b.trialDue(now) {
					b.tried(now, "")
					inARow, pause = 0, 0
				}
			case "time":
				now = now.Add(time.Duration(rapid.IntRange(1, 1000).Draw(t, "seconds")) * time.Second)
			}
			if b.opened != (b.why() != "") {
				t.Fatalf("open: %v, and because of %q", b.opened, b.why())
			}
		}
	})
}
