package simulator

import (
	"fmt"
	"testing"
)

// TestBatchesStayNearTheBoundOnManyRacks is a net below the figures of
// docs/scheduling.md: no constant is right on one rack and with one seed only.
// Racks are small, so that tails are long: the bounds are loose.
func TestBatchesStayNearTheBoundOnManyRacks(t *testing.T) {
	w := Workload{Jobs: 150, Orgs: 3, MedianSeconds: 120, Sigma: 0.8, LongestSeconds: 900}
	for name, nodes := range map[string]map[string]int{
		"CPUs of two sizes":         {"cpu8": 6, "cpu64": 1},
		"GPUs of one kind":          {"l4": 2},
		"GPUs and CPUs":             {"t4": 1, "cpu8": 6},
		"all kinds":                 {"l4": 1, "arc": 1, "a10": 1, "h100": 1, "cpu8": 2},
		"decoders without encoders": {"h100": 1, "arc": 2},
	} {
		for _, seed := range []uint64{1, 2} {
			t.Run(fmt.Sprintf("%s, seed %d", name, seed), func(t *testing.T) {
				t.Parallel()
				c, err := NewCase(Rack{Nodes: nodes}, w, seed)
				if err != nil {
					t.Fatal(err)
				}
				result, err := c.Run(t.Context(), "millrace")
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%.3f of the bound of %.0f s, fairness %.3f", result.MakespanToBound, c.Bounds.Least(), result.JainFairness)
				if result.MakespanToBound > 1.6 || result.JainFairness < 0.95 {
					t.Errorf("%.2f of the bound of %.0f s, fairness %.3f", result.MakespanToBound, c.Bounds.Least(), result.JainFairness)
				}
			})
		}
	}
}

// TestShortJobsHardlyWaitAtHighLoad is at 80 % of what the rack can do, in bursts.
func TestShortJobsHardlyWaitAtHighLoad(t *testing.T) {
	w := Workload{Jobs: 200, Orgs: 3, MedianSeconds: 180, Sigma: 1, LongestSeconds: 1800, Load: 0.8}
	rack := Rack{Nodes: map[string]int{"l4": 2, "t4": 2, "arc": 2, "cpu8": 10}}
	for _, seed := range []uint64{1, 2} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			c, err := NewCase(rack, w, seed)
			if err != nil {
				t.Fatal(err)
			}
			result, err := c.Run(t.Context(), "millrace")
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("p99 %.2f", result.ShortWaitToAlone)
			if result.ShortWaitToAlone > 3 {
				t.Errorf("short jobs wait for %.1f times as long as they take alone", result.ShortWaitToAlone)
			}
		})
	}
}
