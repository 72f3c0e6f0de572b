package main

import (
	"context"
	"fmt"

	"millrace/bench"
)

// benchClusterCommand compares three voters with bare raft.
type benchClusterCommand struct {
	Clients  int    `default:"256" placeholder:"N" help:"How many clients wait for an acknowledgement at the same time."`
	Jobs     int    `default:"20000" placeholder:"N" help:"How many jobs are submitted in each round."`
	Rounds   int    `default:"5" placeholder:"N" help:"How often both run."`
	Requests int    `default:"1000" placeholder:"N" help:"How many POSTs and GETs a follower is asked; 0 leaves the API out."`
	Dir      string `placeholder:"DIR" help:"Folder for the data folders, some hundred MB: its disk is what is measured; default: the system's for temporary files."`
	JSON     bool   `name:"json" help:"Print JSON."`
}

// Run prints the ratio.
func (c *benchClusterCommand) Run(ctx context.Context, std streams) error {
	if c.Clients < 1 || c.Jobs < 1 || c.Rounds < 1 || c.Requests < 0 {
		return usagef("--clients, --jobs and --rounds must be at least 1, and --requests at least 0")
	}
	config := bench.ClusterConfig{Clients: c.Clients, Jobs: c.Jobs, Rounds: c.Rounds, Requests: c.Requests, Dir: c.Dir, Log: std.err}
	if c.Requests > 0 {
		program, err := ownProgram()
		if err != nil {
			return err
		}
		config.Millrace = program
	}
	report, err := bench.Cluster(ctx, config)
	if err != nil {
		return err
	}
	if c.JSON {
		return std.writeJSON(report)
	}
	fmt.Fprintf(std.out, `durable submissions of %d bytes, to bare raft's    a second   CPU of one
an entry for each                                     %.2f        %.2f
grouped, as Millrace does it                          %.2f        %.2f
(medians of %d rounds, %d clients)
`, report.EntryBytes, report.ToBareRaft, report.CPUToBareRaft, report.ToGroupedRaft, report.CPUToGroupedRaft, c.Rounds, c.Clients)
	if report.API != nil {
		fmt.Fprintf(std.out, "at a follower, ms    p50     p99\nPOST              %6.1f  %6.1f\nGET               %6.1f  %6.1f\n",
			1000*report.API.PostP50, 1000*report.API.PostP99, 1000*report.API.GetP50, 1000*report.API.GetP99)
	}
	return nil
}
