package main

import (
	"context"
	"fmt"

	"millrace/job"
)

// explainCommand says why a job is where it is.
type explainCommand struct {
	remote
	ID job.ID `arg:"" help:"The job's id."`
}

// Run prints a line for each task, or for those that wait for the same.
func (c *explainCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	tasks, err := peer.Explain(ctx, c.ID)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return std.writeJSON(tasks)
	case len(tasks) == 0:
		_, err = fmt.Fprintln(std.out, "nothing of this job runs or waits")
		return err
	}
	for _, t := range tasks {
		if t.Running {
			fmt.Fprintf(std.out, "%s runs on %s/%s, for about %.0f s: %s\n", printable(string(t.Task)), printable(t.Node), printable(t.Device), t.ExpectedSeconds, printable(t.Reason))
			continue
		}
		more := ""
		if t.Count > 1 {
			more = fmt.Sprintf(" and %d more", t.Count-1)
		}
		fmt.Fprintf(std.out, "%s%s: waits: %s\n", printable(string(t.Task)), more, printable(t.Reason))
	}
	return nil
}
