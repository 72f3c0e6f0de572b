package webhook

import (
	"math/rand/v2"
	"time"

	"millrace/cluster"
)

// Schedule says when a failed delivery is tried again.
type Schedule struct {
	// Pauses are the mean pauses after the first try, the second, …; the last
	// one repeats. A pause is drawn evenly from half to one and a half of its
	// mean, so that events that failed together don't come back together.
	Pauses []time.Duration
	// GiveUpAfter is counted from an event's first try. The last try comes then.
	GiveUpAfter time.Duration
}

// DefaultSchedule tries for three days: seconds apart at first, for an
// endpoint that is being deployed; in the end every eight hours, for one whose
// people must wake up first. About 18 tries.
var DefaultSchedule = Schedule{
	Pauses: []time.Duration{
		5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour,
	},
	GiveUpAfter: 72 * time.Hour,
}

// maxRetryAfter bounds how long an endpoint may ask us to wait.
const maxRetryAfter = 12 * time.Hour

// next is when to try again after a try that began at "first" for the first
// time and has now failed for the tries-th time (from 1); false when it is
// given up. The endpoint may have asked for a longer pause (Retry-After).
func (s Schedule) next(first, now time.Time, tries int, asked time.Duration, jitter *rand.Rand) (time.Time, bool) {
	end := first.Add(s.GiveUpAfter)
	if !now.Before(end) {
		return time.Time{}, false
	}
	mean := s.Pauses[min(tries, len(s.Pauses))-1]
	pause := max(mean/2+time.Duration(jitter.Int64N(int64(mean)+1)), min(asked, maxRetryAfter))
	if at := now.Add(pause); at.Before(end) {
		return at, true
	}
	return end, true
}

// round is the tries of an event since it was last put into the outbox: a try
// that isn't to be repeated ends a round, and a redelivery begins a new one.
func round(deliveries []cluster.Delivery) []cluster.Delivery {
	for i := len(deliveries) - 1; i >= 0; i-- {
		if deliveries[i].NextAt.IsZero() {
			return deliveries[i+1:]
		}
	}
	return deliveries
}

// due is when an undelivered event is to be tried; the zero time is at once.
func due(event *cluster.Event) time.Time {
	tries := round(event.Deliveries)
	if len(tries) == 0 {
		return time.Time{}
	}
	return tries[len(tries)-1].NextAt
}
