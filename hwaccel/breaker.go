package hwaccel

import (
	"fmt"
	"time"
)

const (
	// breakerFailures in a row take an encoder out: one is an accident and two
	// may come of one bad source.
	breakerFailures = 3
	// The first trial comes at once, since what failed may have been the sources;
	// then the pause doubles with each trial that fails.
	breakerPause    = 30 * time.Second
	breakerMaxPause = 16 * time.Minute
)

// breaker takes one encoder of one device out of use while it fails, until a
// trial encode works. The zero value is closed: the encoder is in use. It is a
// state machine without a clock of its own.
//
//	closed ──3 failures in a row──▶ open ──trial works──▶ closed
//	                                 │ ▲
//	                                 └─┘ trial fails: a longer pause before the next
type breaker struct {
	failures int // in a row
	opened   bool
	reason   string // of the latest failure
	trials   int    // that failed since it opened
	due      time.Time
}

// failed takes an attempt's failure; the answer is whether that opened the breaker.
func (b *breaker) failed(now time.Time, reason string) bool {
	b.failures++
	b.reason = reason
	if b.opened || b.failures < breakerFailures {
		return false
	}
	b.trip(now, reason)
	return true
}

// trip opens the breaker, whatever came before.
func (b *breaker) trip(now time.Time, reason string) {
	*b = breaker{failures: max(b.failures, 1), opened: true, reason: reason, due: now}
}

// worked takes an attempt's success. One that began before the breaker opened
// doesn't close it.
func (b *breaker) worked() {
	if !b.opened {
		*b = breaker{}
	}
}

// trialDue says whether a trial should be made now.
func (b *breaker) trialDue(now time.Time) bool { return b.opened && !now.Before(b.due) }

// tried takes the end of a trial: an empty reason closes the breaker.
func (b *breaker) tried(now time.Time, reason string) {
	if reason == "" {
		*b = breaker{}
		return
	}
	pause := breakerPause << min(b.trials, 10)
	b.trials++
	b.reason = reason
	b.due = now.Add(min(pause, breakerMaxPause))
}

// why says for people why the encoder is out; empty while it isn't.
func (b *breaker) why() string {
	switch {
	case !b.opened:
		return ""
	case b.trials > 0:
		return fmt.Sprintf("it is out of use, and %d trial encodes since have failed: %s", b.trials, b.reason)
	}
	return fmt.Sprintf("it is out of use until a trial encode works: %d attempts in a row have failed, the last one: %s", b.failures, b.reason)
}
