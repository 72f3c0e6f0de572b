package api

import (
	"sync"
	"time"
)

// rateLimiter is a token bucket for each organisation. Organisations exist in
// the state, so there are few of them; a bucket is 40 bytes.
type rateLimiter struct {
	perSecond float64
	burst     float64
	mutex     sync.Mutex
	buckets   map[string]bucket
}

// bucket is how many more requests are let through, as of a moment.
type bucket struct {
	tokens float64
	at     time.Time
}

func newRateLimiter(perSecond float64, burst int) *rateLimiter {
	return &rateLimiter{perSecond: perSecond, burst: float64(burst), buckets: make(map[string]bucket)}
}

// take lets a request of an organisation through (0), or says how long to wait.
func (l *rateLimiter) take(org string, now time.Time) time.Duration {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	b, known := l.buckets[org]
	if !known {
		b = bucket{tokens: l.burst, at: now}
	}
	// A clock that went back fills nothing, and takes nothing away.
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.tokens = min(l.burst, b.tokens+passed*l.perSecond)
	}
	b.at = now
	var wait time.Duration
	if b.tokens >= 1 {
		b.tokens--
	} else {
		wait = time.Duration((1 - b.tokens) / l.perSecond * float64(time.Second))
	}
	l.buckets[org] = b
	return wait
}
