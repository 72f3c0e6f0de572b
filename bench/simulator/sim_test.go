package simulator

import (
	"reflect"
	"testing"
)

// few is a small case for tests: a rack with every kind of device, a batch that
// takes some minutes of its time.
func few(t *testing.T, change func(*Workload)) *Case {
	t.Helper()
	w := Workload{Jobs: 150, Orgs: 3, MedianSeconds: 120, Sigma: 0.8, LongestSeconds: 1200}
	if change != nil {
		change(&w)
	}
	c, err := NewCase(Rack{Nodes: map[string]int{"l4": 1, "t4": 1, "h100": 1, "arc": 1, "cpu8": 4}}, w, 7)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNoPolicyBeatsTheBound(t *testing.T) {
	c := few(t, nil)
	for _, name := range Policies {
		result, err := c.Run(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if result.Makespan < c.Bounds.Least() {
			t.Errorf("%s took %.1f s, less than the bound of %.1f s", name, result.Makespan, c.Bounds.Least())
		}
	}
}

func TestMillraceTakesLessThanTheSimplePolicies(t *testing.T) {
	c := few(t, nil)
	own, err := c.Run(t.Context(), "millrace")
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.Run(t.Context(), "round-robin")
	if err != nil {
		t.Fatal(err)
	}
	if own.Makespan > 0.6*other.Makespan {
		t.Errorf("millrace took %.1f s, round robin %.1f s", own.Makespan, other.Makespan)
	}
}

func TestTheSameSeedGivesTheSameRun(t *testing.T) {
	var runs []Result
	for range 2 {
		result, err := few(t, func(w *Workload) { w.Losses = 2 }).Run(t.Context(), "millrace")
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, Result{Makespan: result.Makespan, Attempts: result.Attempts, Orgs: result.Orgs})
	}
	if !reflect.DeepEqual(runs[0], runs[1]) {
		t.Errorf("one run took %.3f s with %d attempts, the other %.3f s with %d", runs[0].Makespan, runs[0].Attempts, runs[1].Makespan, runs[1].Attempts)
	}
}

func TestEveryJobEndsAlthoughNodesDie(t *testing.T) {
	c := few(t, func(w *Workload) { w.Losses = 6 })
	result, err := c.Run(t.Context(), "millrace") // an error if a job never ends
	if err != nil {
		t.Fatal(err)
	}
	if result.Lost == 0 {
		t.Error("no attempt was lost with its node: the test tests nothing")
	}
}
