package hwaccel

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func after(seconds float64) time.Time {
	return noon.Add(time.Duration(seconds * float64(time.Second)))
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6*(1+math.Abs(b)) }

func TestEnergyIsSharedByWeightAndTime(t *testing.T) {
	var m meter
	m.read(number(100.0), noon)
	one := m.begin(3, after(2))
	two := m.begin(1, after(4))
	m.read(number(180.0), after(8)) // 10 W: 2 s of nobody's, 2 s of one's, 4 s of both
	if !near(one.joules, 20+30) || !near(two.joules, 10) {
		t.Errorf("got %g and %g J", one.joules, two.joules)
	}
	one.ended = after(9)
	m.read(number(220.0), after(10)) // 20 W: 1 s of both, 1 s of two's
	if !near(one.joules, 50+15) || !near(two.joules, 10+5+20) {
		t.Errorf("got %g and %g J", one.joules, two.joules)
	}
	m.read(number(1000.0), after(11))
	if !near(one.joules, 65) {
		t.Errorf("an attempt that has ended got more: %g J", one.joules)
	}
	if one.unknown || two.unknown {
		t.Error("energy that was read counts as unknown")
	}
}

func TestEnergyThatWasNotReadThroughoutIsUnknown(t *testing.T) {
	for name, readings := range map[string][]*float64{
		"never":                    {nil, nil, nil},
		"not at first":             {nil, number(1.0), number(2.0)},
		"not at the end":           {number(1.0), number(2.0), nil},
		"the counter began anew":   {number(100.0), number(2.0), number(3.0)},
		"the driver was reloading": {number(1.0), nil, number(3.0)},
	} {
		var m meter
		m.read(readings[0], noon)
		s := m.begin(1, noon)
		m.read(readings[1], after(1))
		s.ended = after(2)
		m.read(readings[2], after(2))
		if !s.unknown {
			t.Errorf("%s: got %g J", name, s.joules)
		}
	}
}

func TestPowerStandsInForAMissingCounter(t *testing.T) {
	var i integrator
	for k, c := range []struct {
		health Health
		want   *float64
	}{
		{Health{EnergyJoules: number(7.0), PowerWatts: number(50.0)}, number(7.0)},
		{Health{PowerWatts: number(50.0)}, number(0.0)},
		{Health{PowerWatts: number(100.0)}, number(75.0)},
		{Health{PowerWatts: number(100.0)}, number(175.0)},
		{Health{}, nil},
		{Health{PowerWatts: number(100.0)}, number(0.0)},
	} {
		got := i.counter(c.health, after(float64(k)))
		if (got == nil) != (c.want == nil) || got != nil && !near(*got, *c.want) {
			t.Errorf("reading %d: got %v, want %v", k, got, c.want)
		}
	}
}

func TestNoEnergyIsMadeOrGivenTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m meter
		now, counter := noon, 0.0
		m.read(number(counter), now)
		all := []*share{m.begin(1, now)} // so that none is nobody's
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				all = append(all, m.begin(float64(rapid.IntRange(1, 16).Draw(t, "weight")), now))
			case 1:
				if i := rapid.IntRange(0, len(all)-1).Draw(t, "which"); i > 0 && all[i].ended.IsZero() {
					all[i].ended = now
				}
			case 2:
				counter += float64(rapid.IntRange(0, 100000).Draw(t, "joules"))
				m.read(number(counter), now)
			}
		}
		now = now.Add(time.Second)
		m.read(number(counter), now)
		sum := 0.0
		for _, s := range all {
			sum += s.joules
		}
		if !near(sum, counter) {
			t.Fatalf("%g J were shared out as %g J", counter, sum)
		}
	})
}
