package bench

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"millrace/bench/simulator"
)

func TestARacksFileHasAllOfItsNodes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rack.json")
	if err := os.WriteFile(file, []byte(`{"nodes": {"l4": 1, "cpu8": 2}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	rack, err := readRack(file)
	if want := map[string]int{"l4": 1, "cpu8": 2}; err != nil || !reflect.DeepEqual(rack.Nodes, want) {
		t.Errorf("the rack is %v, %v, want %v", rack.Nodes, err, want)
	}
	if rack, err = readRack(""); err != nil || !reflect.DeepEqual(rack, simulator.MixedRack) {
		t.Errorf("without a file the rack is %v, %v", rack, err)
	}
}
func TestTheSchedulersReportHasItsFiguresForEachPolicy(t *testing.T) {
	write := func(name, text string) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	report, err := Scheduler(t.Context(), SchedulerConfig{
		Rack:     write("rack.json", `{"nodes": {"l4": 1, "cpu8": 2}}`),
		Workload: write("workload.json", `{"jobs": 80, "orgs": 2, "median_seconds": 60, "longest_seconds": 300, "films": 0}`),
		Seed:     1, Log: io.Discard, speed: speedCase{devices: 20, tasks: 2000, placements: 500},
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		MakespanToBound      float64 `json:"makespan_to_bound"`
		MakespanToWholeBound float64 `json:"makespan_to_whole_bound"`
		PlacementsPerSecond  float64 `json:"placements_per_second"`
		Utilisation          float64 `json:"utilisation"`
		JainFairness         float64 `json:"jain_fairness"`
		Policies             []struct {
			Policy               string  `json:"policy"`
			Makespan             float64 `json:"makespan"`
			MakespanToBound      float64 `json:"makespan_to_bound"`
			MakespanToWholeBound float64 `json:"makespan_to_whole_bound"`
			Utilisation          float64 `json:"utilisation"`
			JainFairness         float64 `json:"jain_fairness"`
		} `json:"policies"`
	}
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if read.MakespanToBound < 1 || read.MakespanToWholeBound <= 0 || read.MakespanToWholeBound > read.MakespanToBound*(1+1e-9) || read.PlacementsPerSecond <= 0 || !isShare(read.Utilisation) || !isShare(read.JainFairness) {
		t.Errorf("the figures are %+v", read)
	}
	var names []string
	for _, p := range read.Policies {
		names = append(names, p.Policy)
		if p.Makespan <= 0 || p.MakespanToBound < 1 || p.MakespanToWholeBound <= 0 || !isShare(p.Utilisation) || !isShare(p.JainFairness) {
			t.Errorf("%s has %+v", p.Policy, p)
		}
	}
	if !slices.Equal(names, simulator.Policies) {
		t.Errorf("the policies are %v", names)
	}
}

// isShare says whether x is a share of something; a sum of many may be a hair more.
func isShare(x float64) bool { return x > 0 && x <= 1+1e-9 }
