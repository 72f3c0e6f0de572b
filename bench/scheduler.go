package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sync/errgroup"

	"millrace/bench/simulator"
)

// SchedulerConfig is a run of the simulator.
type SchedulerConfig struct {
	// Rack and Workload are JSON files; empty is the mixed rack and a batch.
	Rack, Workload string
	// Devices, if not 0, makes a mixed rack of so many in place of Rack, and a batch
	// for its size.
	Devices int
	Seed    uint64
	// Policy is one of simulator.Policies; empty is all of them.
	Policy string
	Log    io.Writer

	speed speedCase // the zero one is usualSpeed
}

// SchedulerReport is what came out. The first figures are of Millrace's own
// policy, or of the one that was asked for.
type SchedulerReport struct {
	// MakespanToBound is against the lower bound of all schedules, MakespanToWholeBound
	// against the higher one of those that divide no ladder (see simulator.Result).
	MakespanToBound      float64 `json:"makespan_to_bound"`
	MakespanToWholeBound float64 `json:"makespan_to_whole_bound"`
	PlacementsPerSecond  float64 `json:"placements_per_second"`
	Utilisation          float64 `json:"utilisation"`
	JainFairness         float64 `json:"jain_fairness"`
	// MakespanToRoundRobin is Millrace's makespan to round robin's; 0 if they
	// weren't both run.
	MakespanToRoundRobin float64 `json:"makespan_to_round_robin,omitempty"`
	Devices              int     `json:"devices"`
	Jobs                 int     `json:"jobs"`
	Seed                 uint64  `json:"seed"`
	// BoundSeconds is the larger of what the rack can do and of ChainSeconds, what the
	// upload with the longest sound takes; WholeBoundSeconds likewise.
	BoundSeconds      float64            `json:"bound_seconds"`
	WholeBoundSeconds float64            `json:"whole_bound_seconds"`
	ChainSeconds      float64            `json:"chain_seconds"`
	Policies          []simulator.Result `json:"policies"`
	// Online is the same rack with uploads in bursts at 80 % of what it can do.
	Online *simulator.Result `json:"online,omitempty"`
	Speed  simulator.Speed   `json:"speed"`
}

// speedCase is what the speed of decisions is measured with.
type speedCase struct{ devices, tasks, placements int }

var usualSpeed = speedCase{devices: 10_000, tasks: 1_000_000, placements: 500_000}

// A batch for a rack of any size has so many jobs at least, for its tail to be short
// beside it, and at most, for the simulation to end.
const fewestJobs, mostJobs = 300, 30_000

// Scheduler simulates, and measures how fast decisions are.
func Scheduler(ctx context.Context, config SchedulerConfig) (SchedulerReport, error) {
	rack, err := readRack(config.Rack)
	if err != nil {
		return SchedulerReport{}, fmt.Errorf("read the rack: %w", err)
	}
	workload := simulator.Batch
	if config.Devices > 0 {
		rack = simulator.Mixed(config.Devices)
		workload.Jobs = min(max(workload.Jobs*config.Devices/simulator.MixedRack.Devices(), fewestJobs), mostJobs)
	}
	if err := readJSON(config.Workload, &workload); err != nil {
		return SchedulerReport{}, fmt.Errorf("read the workload: %w", err)
	}
	report := SchedulerReport{Devices: rack.Devices(), Jobs: workload.Jobs, Seed: config.Seed}
	batch, err := simulator.NewCase(rack, workload, config.Seed)
	if err != nil {
		return report, err
	}
	report.BoundSeconds, report.WholeBoundSeconds, report.ChainSeconds = batch.Bounds.Least(), batch.Bounds.LeastWhole(), batch.Bounds.Chain
	var plays []*play
	for _, name := range simulator.Policies {
		if config.Policy == "" || config.Policy == name {
			plays = append(plays, &play{of: batch, policy: name, what: name})
		}
	}
	bursts := &play{policy: "millrace", what: "uploads in bursts"}
	if config.Policy == "" && config.Workload == "" && config.Devices == 0 {
		if bursts.of, err = simulator.NewCase(rack, simulator.Online, config.Seed); err != nil {
			return report, err
		}
		report.Online = &bursts.result
		plays = append([]*play{bursts}, plays...) // the longest first
	}
	if err := playAll(ctx, plays, config.Log); err != nil {
		return report, err
	}
	makespans := make(map[string]float64)
	for _, p := range plays {
		if p != bursts {
			makespans[p.policy] = p.result.Makespan
			report.Policies = append(report.Policies, p.result)
		}
	}
	first := report.Policies[0]
	report.MakespanToBound, report.MakespanToWholeBound = first.MakespanToBound, first.MakespanToWholeBound
	report.Utilisation, report.JainFairness = first.Utilisation, first.JainFairness
	if makespans["round-robin"] > 0 {
		report.MakespanToRoundRobin = makespans["millrace"] / makespans["round-robin"]
	}
	fmt.Fprintln(config.Log, "measuring the speed of decisions")
	speed := cmp.Or(config.speed, usualSpeed)
	report.Speed = simulator.MeasureSpeed(speed.devices, speed.tasks, speed.placements)
	report.PlacementsPerSecond = report.Speed.PerSecond
	return report, nil
}

// play is one policy's run of a case.
type play struct {
	of           *simulator.Case
	policy, what string
	result       simulator.Result
}

// playAll runs all of them, as many at once as there are CPUs: what they find is
// by a virtual clock, and none sees another.
func playAll(ctx context.Context, plays []*play, log io.Writer) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range plays {
		group.Go(func() (err error) {
			p.result, err = p.of.Run(ctx, p.policy)
			return err
		})
		fmt.Fprintf(log, "simulating %s\n", p.what)
	}
	return group.Wait()
}

// readRack is the rack of a file, or the usual one without a file. The file's
// nodes are all there are: JSON would add them to a map that has some.
func readRack(file string) (simulator.Rack, error) {
	if file == "" {
		return simulator.MixedRack, nil
	}
	var rack simulator.Rack
	err := readJSON(file, &rack)
	return rack, err
}

// readJSON reads a file into value; no file leaves it as it is.
func readJSON(file string, value any) error {
	if file == "" {
		return nil
	}
	text, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = text.Close() }() // it was only read
	decoder := json.NewDecoder(text)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(value); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
