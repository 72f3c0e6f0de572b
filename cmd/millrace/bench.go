package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"millrace/bench"
)

// benchCommand measures this machine.
type benchCommand struct {
	Node      benchNodeCommand      `cmd:"" help:"Time jobs on one peer against plain ffmpeg, in turn."`
	Cluster   benchClusterCommand   `cmd:"" help:"Time submissions on three voters against bare raft, in turn."`
	Failover  benchFailoverCommand  `cmd:"" help:"Kill the leaders of three peers, and time how long each time no writes are taken."`
	Workers   benchWorkersCommand   `cmd:"" help:"Time a lone job on one worker of one core, and on two."`
	Scheduler benchSchedulerCommand `cmd:"" help:"Simulate placement on a rack, against a lower bound and other policies."`
}

// benchClip is what runs jobs on a clip have in common.
type benchClip struct {
	Clip   string `arg:"" type:"existingfile" help:"A 1080p clip of a minute or more; make bench has one."`
	FFmpeg string `name:"ffmpeg" default:"ffmpeg" placeholder:"PATH" help:"The ffmpeg to run."`
	Dir    string `placeholder:"DIR" help:"Folder for outputs, some hundred MB; default: the system's for temporary files."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// programAndClip are the files of this program and of the clip, wherever they are
// named from.
func (c benchClip) programAndClip() (program, clip string, err error) {
	if clip, err = filepath.Abs(c.Clip); err != nil {
		return "", "", fmt.Errorf("find the clip: %w", err)
	}
	program, err = ownProgram()
	return program, clip, err
}

// ownProgram is the file of this program, which benches run as peers.
func ownProgram() (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program's own file: %w", err)
	}
	return program, nil
}

// benchNodeCommand compares a peer of its own with plain ffmpeg.
type benchNodeCommand struct {
	benchClip
	Rounds int `default:"5" placeholder:"N" help:"How often all competitors run."`
}

// Run prints the ratios.
func (c *benchNodeCommand) Run(ctx context.Context, std streams) error {
	if c.Rounds < 1 {
		return usagef("--rounds is %d: it must be at least 1", c.Rounds)
	}
	program, clip, err := c.programAndClip()
	if err != nil {
		return err
	}
	report, err := bench.Node(ctx, bench.NodeConfig{
		Millrace: program, FFmpeg: c.FFmpeg, Clip: clip, Rounds: c.Rounds, Dir: c.Dir, Log: std.err,
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return std.writeJSON(report)
	}
	fmt.Fprintf(std.out, `medians of %d rounds            wall   CPU
to five plain ffmpeg runs      %.2f   %.2f
to one hand-written run        %.2f   %.2f
idle peer: %.1f MB resident, %.2f %% of one core
`, c.Rounds, report.ToPlainRuns, report.CPUToPlainRuns, report.ToHandWritten, report.CPUToHandWritten,
		float64(report.IdleRSSBytes)/1e6, report.IdleCPUPercent)
	return nil
}
