package hwaccel

import "time"

// limitFor is how long a learned limit holds: sessions that nobody counts may
// have held a part of it.
const limitFor = 10 * time.Minute

// sessionLimits are how many encode sessions drivers open, as learned from their
// refusals; no table of products says it as truly. A driver counts the sessions
// of all its consumer cards in a host together and those of others not at all, so
// devices share a limit once each of them has refused.
type sessionLimits struct {
	limit   int // of all devices in refused together
	until   time.Time
	refused map[string]bool // device IDs
}

// learn takes a refusal of a device, while open sessions are open on all devices
// for which [sessionLimits.shared] holds, and wanted more were asked for at once,
// any of which may be the one that was refused.
func (l *sessionLimits) learn(device string, open, wanted int, now time.Time) {
	limit := max(0, open+wanted-1)
	if l.known(now) && l.refused[device] {
		limit = min(limit, max(0, l.limit-1)) // what was believed was too much
	}
	if !l.known(now) {
		l.refused = nil
	}
	if l.refused == nil {
		l.refused = make(map[string]bool)
	}
	l.refused[device] = true
	l.limit, l.until = limit, now.Add(limitFor)
}

// of is the limit that a device shares; false if none is known.
func (l *sessionLimits) of(device string, now time.Time) (int, bool) {
	if !l.known(now) || !l.refused[device] {
		return 0, false
	}
	return l.limit, true
}

// shared says whether two devices count against the same limit.
func (l *sessionLimits) shared(a, b string) bool { return l.refused[a] && l.refused[b] }

func (l *sessionLimits) known(now time.Time) bool { return now.Before(l.until) }
