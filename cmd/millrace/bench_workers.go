package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"millrace/bench"
)

// benchWorkersCommand measures what a second machine is worth to a lone job.
type benchWorkersCommand struct {
	Clip   string `arg:"" type:"existingfile" help:"A clip of a minute or more; make bench has one."`
	Rounds int    `default:"3" placeholder:"N" help:"How often one worker and two run the job."`
	FFmpeg string `name:"ffmpeg" default:"ffmpeg" placeholder:"PATH" help:"The ffmpeg to run."`
	Dir    string `placeholder:"DIR" help:"Folder for data and outputs; default: the system's for temporary files."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run prints the ratio.
func (c *benchWorkersCommand) Run(ctx context.Context, std streams) error {
	if c.Rounds < 1 {
		return usagef("--rounds is %d: it must be at least 1", c.Rounds)
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own file: %w", err)
	}
	clip, err := filepath.Abs(c.Clip)
	if err != nil {
		return fmt.Errorf("find the clip: %w", err)
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
