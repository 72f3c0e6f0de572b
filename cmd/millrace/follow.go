package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace/api/client"
	"millrace/job"
)

// follow waits for a job's end, shows its progress, and returns how it ended:
// nil when it completed, a *jobError when it didn't, *detached when ctx ended.
func follow(ctx context.Context, peer *client.Client, j job.View, std streams, asJSON bool) error {
	show := newProgress(std, time.Now)
	last := j
	show.see(j)
	err := peer.Watch(ctx, j.ID, func(now job.View) {
		last = now
		show.see(now)
	})
	show.end()
	switch {
	case ctx.Err() != nil && !last.Status.Terminal():
		return &detached{id: j.ID}
	case err != nil && !errors.Is(err, context.Canceled):
		return err
	}
	if asJSON {
		if err := std.writeJSON(last); err != nil {
			return err
		}
	}
	if last.Status != job.Completed {
		return &jobError{job: last}
	}
	if asJSON {
		return nil
	}
	return printCompleted(std, last)
}

// printCompleted says what a completed job has made and where it lies.
func printCompleted(std streams, j job.View) error {
	took := ""
	if j.StartTime != nil && j.EndTime != nil {
		took = " in " + time.Time(*j.EndTime).Sub(time.Time(*j.StartTime)).Round(time.Second/10).String()
	}
	fmt.Fprintf(std.out, "Job %s completed%s\n", j.ID, took)
	for _, r := range j.Renditions {
		note := ""
		if r.Note != "" {
			note = "  (" + r.Note + ")"
		}
		fmt.Fprintf(std.out, "  %-6s %dx%d %s%s\n", printable(r.Name), r.Width, r.Height, printable(r.Encoder), printable(note))
	}
	for _, warning := range j.Warnings {
		fmt.Fprintf(std.out, "  warning: %s\n", printable(warning))
	}
	for _, output := range j.Outputs {
		fmt.Fprintf(std.out, "  %s\n", printable(output.URL))
	}
	return nil
}
