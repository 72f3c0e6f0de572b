package main

import (
	"context"
	"fmt"

	"millrace/bench"
)

// benchFailoverCommand measures how long a cluster is without a leader.
type benchFailoverCommand struct {
	Runs int    `default:"20" placeholder:"N" help:"How many leaders are killed."`
	Dir  string `placeholder:"DIR" help:"Folder for the data folders; default: the system's for temporary files."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run prints the median.
func (c *benchFailoverCommand) Run(ctx context.Context, std streams) error {
	if c.Runs < 1 {
		return usagef("--runs is %d: it must be at least 1", c.Runs)
	}
	program, err := ownProgram()
	if err != nil {
		return err
	}
	report, err := bench.Failover(ctx, bench.FailoverConfig{Millrace: program, Runs: c.Runs, Dir: c.Dir, Log: std.err})
	if err != nil {
		return err
	}
	if c.JSON {
		return std.writeJSON(report)
	}
	fmt.Fprintf(std.out, "from the leader's SIGKILL to the next accepted write: %.2f s (median of %d), longest %.2f s\n",
		report.Median, len(report.Seconds), report.Longest)
	return nil
}
