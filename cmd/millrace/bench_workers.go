package main

import (
	"context"
	"fmt"

	"millrace/bench"
)

// benchWorkersCommand measures what a second machine is worth to a lone job.
type benchWorkersCommand struct {
	benchClip
	Rounds int `default:"3" placeholder:"N" help:"How often one worker and two run the job."`
}

// Run prints the ratio.
func (c *benchWorkersCommand) Run(ctx context.Context, std streams) error {
	if c.Rounds < 1 {
		return usagef("--rounds is %d: it must be at least 1", c.Rounds)
	}
	program, clip, err := c.programAndClip()
	if err != nil {
		return err
	}
	report, err := bench.Workers(ctx, bench.WorkersConfig{
		Millrace: program, FFmpeg: c.FFmpeg, Clip: clip, Rounds: c.Rounds, Dir: c.Dir, Log: std.err,
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return std.writeJSON(report)
	}
	fmt.Fprintf(std.out, "two workers of one core each finish a lone job in %.2f of one's time (median of %d)\n", report.Ratio, c.Rounds)
	return nil
}
