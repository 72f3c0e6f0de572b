package hwaccel

import (
	"slices"
	"time"
)

// meter shares a device's energy out among the attempts that run on it.
//
// Between two readings of the device's counter its power is taken to be even,
// and at each moment is shared in proportion to the attempts' weights: on a CPU
// the threads that they take up, on a GPU one each. So all that the device draws
// while something of ours runs is somebody's, what it draws at rest and for other
// programs too; what it draws while nothing of ours runs is nobody's. A reading
// is taken when an attempt begins and when one ends, so that short ones get their
// own power and not that of before.
type meter struct {
	at     time.Time
	joules *float64 // the counter at that time, nil if it couldn't be read
	shares []*share
}

// integrator stands in for the energy counter of a device that only says its
// power: old NVIDIA GPUs, AMD's. Between two readings the power is taken to go
// in a straight line.
type integrator struct {
	at     time.Time
	watts  *float64
	joules float64
}

// counter is the device's own counter, or what its power adds up to; nil where it
// tells neither. After a reading without power it begins anew.
func (i *integrator) counter(health Health, now time.Time) *float64 {
	if health.EnergyJoules != nil {
		return health.EnergyJoules
	}
	before, at := i.watts, i.at
	i.watts, i.at = health.PowerWatts, now
	switch {
	case health.PowerWatts == nil:
		return nil
	case before == nil:
		i.joules = 0
	default:
		i.joules += (*before + *health.PowerWatts) / 2 * now.Sub(at).Seconds()
	}
	return number(i.joules)
}

// share is one attempt's part.
type share struct {
	weight       float64
	begun, ended time.Time // ended is zero while it runs
	joules       float64
	// unknown says that the counter couldn't be read for a part of the time.
	unknown bool
}

func (m *meter) begin(weight float64, now time.Time) *share {
	s := &share{weight: max(weight, 1), begun: now, unknown: m.joules == nil}
	m.shares = append(m.shares, s)
	return s
}

// read takes a reading of the counter. Shares that have ended are complete with
// the first reading after that, and are forgotten.
func (m *meter) read(joules *float64, now time.Time) {
	spent, known := 0.0, joules != nil && m.joules != nil && *joules >= *m.joules
	if known {
		spent = *joules - *m.joules
	}
	if span := now.Sub(m.at).Seconds(); known && span > 0 {
		m.share(spent/span, now)
	}
	for _, s := range m.shares {
		s.unknown = s.unknown || !known
	}
	m.at, m.joules = now, joules
	m.shares = slices.DeleteFunc(m.shares, func(s *share) bool { return !s.ended.IsZero() })
}

// share gives out watts from the last reading until now, piece by piece between
// the moments at which an attempt begins or ends.
func (m *meter) share(watts float64, now time.Time) {
	moments := []time.Time{m.at, now}
	for _, s := range m.shares {
		for _, at := range []time.Time{s.begun, s.ended} {
			if at.After(m.at) && at.Before(now) {
				moments = append(moments, at)
			}
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	for i, from := range moments[:len(moments)-1] {
		to, weights := moments[i+1], 0.0
		for _, s := range m.shares {
			if s.covers(from, to) {
				weights += s.weight
			}
		}
		for _, s := range m.shares {
			if s.covers(from, to) {
				s.joules += watts * to.Sub(from).Seconds() * s.weight / weights
			}
		}
	}
}

// covers says whether the attempt ran from the one moment to the other.
func (s *share) covers(from, to time.Time) bool {
	return !s.begun.After(from) && (s.ended.IsZero() || !s.ended.Before(to)) && from.Before(to)
}
