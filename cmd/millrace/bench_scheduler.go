package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"millrace/bench"
	"millrace/bench/simulator"
)

// benchSchedulerCommand simulates racks that nobody has at hand.
type benchSchedulerCommand struct {
	Rack     string `type:"existingfile" placeholder:"FILE" help:"JSON: how many nodes of each kind, as {\"nodes\": {\"l4\": 4, \"cpu8\": 32}}; default: a mixed rack of 134 devices."`
	Devices  int    `placeholder:"N" help:"A mixed rack of so many devices, with a batch for its size, in place of --rack."`
	Workload string `type:"existingfile" placeholder:"FILE" help:"JSON: jobs, orgs, median_seconds, sigma, longest_seconds, films, load, losses; default: a batch."`
	Seed     uint64 `default:"1" placeholder:"N" help:"The same seed gives the same run."`
	Policy   string `placeholder:"NAME" help:"Only this one: millrace, fifo, round-robin, least-loaded, one-resolution."`
	Plot     string `placeholder:"FILE" help:"Draw what a placement costs against how many came before, as SVG, into this file."`
	JSON     bool   `name:"json" help:"Print JSON."`
}

// Run prints the figures.
func (c *benchSchedulerCommand) Run(ctx context.Context, std streams) error {
	if c.Policy != "" && !slices.Contains(simulator.Policies, c.Policy) {
		return usagef("--policy is %q: use one of %s", c.Policy, strings.Join(simulator.Policies, ", "))
	}
	if c.Devices < 0 || c.Devices > 0 && c.Rack != "" {
		return usagef("--devices is %d: it must be more than 0, and not together with --rack", c.Devices)
	}
	report, err := bench.Scheduler(ctx, bench.SchedulerConfig{
		Rack: c.Rack, Devices: c.Devices, Workload: c.Workload, Seed: c.Seed, Policy: c.Policy, Log: std.err,
	})
	if err != nil {
		return err
	}
	if c.Plot != "" {
		if err := c.plot(report.Speed); err != nil {
			return err
		}
	}
	if c.JSON {
		return std.writeJSON(report)
	}
	fmt.Fprintf(std.out, "%d jobs on %d devices; no schedule takes less than %.0f s, none with whole ladders less than %.0f s\n",
		report.Jobs, report.Devices, report.BoundSeconds, report.WholeBoundSeconds)
	if report.BoundSeconds == report.ChainSeconds {
		fmt.Fprintln(std.out, "(by the upload with the longest sound, which is one task; the rack could do all in less)")
	}
	fmt.Fprintf(std.out, "%-15s %9s %9s %14s %9s\n", "policy", "makespan", "to bound", "to whole bound", "fairness")
	for _, r := range report.Policies {
		fmt.Fprintf(std.out, "%-15s %7.0f s %9.2f %14.2f %9.3f\n", r.Policy, r.Makespan, r.MakespanToBound, r.MakespanToWholeBound, r.JainFairness)
	}
	if report.Online != nil {
		fmt.Fprintf(std.out, "in bursts at 80 %% load, short jobs wait at most %.2f times what they take alone (99th percentile)\n", report.Online.ShortWaitToAlone)
	}
	fmt.Fprintf(std.out, "%.0f placements a second of one core's time, %.0f by the clock; an event to its decision: %.0f µs (99th percentile)\n",
		report.Speed.PerSecond, report.Speed.PerSecondWall, report.Speed.EventP99Micros)
	fmt.Fprintf(std.out, "a placement costs %.2f times as much in the later half of %d as in the earlier\n", report.Speed.LaterToEarlier, report.Speed.Placed)
	return nil
}

// plot draws the curve of costs into the file that was asked for.
func (c *benchSchedulerCommand) plot(speed simulator.Speed) error {
	var svg bytes.Buffer
	if err := bench.PlotCost(&svg, speed); err != nil {
		return err
	}
	if err := os.WriteFile(c.Plot, svg.Bytes(), 0o644); err != nil { // a picture for all to see
		return fmt.Errorf("write the plot: %w", err)
	}
	return nil
}
