package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"millrace/job"
)

// NodeConfig is a run of the comparison of one peer with plain ffmpeg.
type NodeConfig struct {
	Millrace string // the binary
	FFmpeg   string
	Clip     string // 1080p, a minute or more
	Rounds   int    // each runs all three competitors, in turn
	Dir      string // for outputs; several hundred MB
	Log      io.Writer
}

// NodeReport is what came out. Times are in seconds.
type NodeReport struct {
	Clip   string  `json:"clip"`
	Rounds []Round `json:"rounds"`
	// ToPlainRuns and ToHandWritten are the medians of the rounds' ratios.
	ToPlainRuns   float64 `json:"to_plain_runs"`
	ToHandWritten float64 `json:"to_hand_written"`
	// The same of CPU time.
	CPUToPlainRuns   float64 `json:"cpu_to_plain_runs"`
	CPUToHandWritten float64 `json:"cpu_to_hand_written"`
	// Idle is of a peer that has nothing to do.
	IdleRSSBytes   int64   `json:"idle_rss_bytes"`
	IdleCPUPercent float64 `json:"idle_cpu_percent"` // of one core
}

// Round is one turn of all three. Wall is from POST to Completed for the peer.
type Round struct {
	Millrace         float64 `json:"millrace"`
	PlainRuns        float64 `json:"plain_runs"`
	HandWritten      float64 `json:"hand_written"`
	MillraceCPU      float64 `json:"millrace_cpu"`
	PlainRunsCPU     float64 `json:"plain_runs_cpu"`
	HandWrittenCPU   float64 `json:"hand_written_cpu"`
	MillraceBytes    int64   `json:"millrace_bytes"`
	HandWrittenBytes int64   `json:"hand_written_bytes"`
}

// usage is what a competitor took.
type usage struct {
	wall, cpu time.Duration
	bytes     int64
}

// rungs is the ladder of the comparison: one from 1080p in five.
var rungs = []job.Resolution{240, 360, 480, 720, 1080}

// idleTime is how long an idle peer is watched.
const idleTime = 10 * time.Second

// Node runs the comparison. The order rotates from round to round, so that a
// machine that gets slower or faster favours nobody.
func Node(ctx context.Context, config NodeConfig) (report NodeReport, err error) {
	report.Clip = config.Clip
	work, err := os.MkdirTemp(config.Dir, "bench-")
	if err != nil {
		return report, fmt.Errorf("make the bench's folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	peer, err := startPeer(ctx, config, work)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, peer.stop()) }()

	fmt.Fprintf(config.Log, "idle for %s\n", idleTime)
	if report.IdleRSSBytes, report.IdleCPUPercent, err = peer.idle(ctx); err != nil {
		return report, err
	}
	// A first job, not counted, warms the page cache and tells the ladder.
	fmt.Fprintln(config.Log, "warm-up")
	first, _, err := peer.job(ctx, filepath.Join(work, "out", "warm-up"))
	if err != nil {
		return report, err
	}
	made := ladder{clip: config.Clip, renditions: first.Renditions, timeline: segmentsOf(first)}

	competitors := []func(Round, string) (Round, error){
		func(r Round, dir string) (Round, error) {
			_, used, err := peer.job(ctx, dir)
			r.Millrace, r.MillraceCPU, r.MillraceBytes = used.wall.Seconds(), used.cpu.Seconds(), used.bytes
			return r, err
		},
		func(r Round, dir string) (Round, error) {
			used, err := timed(ctx, config.FFmpeg, dir, plainRuns(made, dir)...)
			r.PlainRuns, r.PlainRunsCPU = used.wall.Seconds(), used.cpu.Seconds()
			return r, err
		},
		func(r Round, dir string) (Round, error) {
			used, err := timed(ctx, config.FFmpeg, dir, handWrittenRun(made, dir))
			r.HandWritten, r.HandWrittenCPU, r.HandWrittenBytes = used.wall.Seconds(), used.cpu.Seconds(), used.bytes
			return r, err
		},
	}
	for n := range config.Rounds {
		var round Round
		for i := range competitors {
			dir := filepath.Join(work, "out", fmt.Sprintf("%d-%d", n, i))
			if round, err = competitors[(n+i)%len(competitors)](round, dir); err != nil {
				return report, err
			}
			if err := os.RemoveAll(dir); err != nil {
				return report, err
			}
		}
		fmt.Fprintf(config.Log, "round %d: millrace %.1f s (%.1f s CPU), five plain runs %.1f s (%.1f), one hand-written run %.1f s (%.1f)\n",
			n+1, round.Millrace, round.MillraceCPU, round.PlainRuns, round.PlainRunsCPU, round.HandWritten, round.HandWrittenCPU)
		report.Rounds = append(report.Rounds, round)
	}
	report.ToPlainRuns = medianOf(report.Rounds, func(r Round) float64 { return r.Millrace / r.PlainRuns })
	report.ToHandWritten = medianOf(report.Rounds, func(r Round) float64 { return r.Millrace / r.HandWritten })
	report.CPUToPlainRuns = medianOf(report.Rounds, func(r Round) float64 { return r.MillraceCPU / r.PlainRunsCPU })
	report.CPUToHandWritten = medianOf(report.Rounds, func(r Round) float64 { return r.MillraceCPU / r.HandWrittenCPU })
	return report, nil
}

// medianOf is the median of a figure of all rounds.
func medianOf[Round any](rounds []Round, figure func(Round) float64) float64 {
	figures := make([]float64, len(rounds))
	for i, round := range rounds {
		figures[i] = figure(round)
	}
	return median(figures)
}

// median is the middle value, or the mean of the two in the middle; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// segmentsOf finds the frames per segment of a finished job, which has the
// default segment duration.
func segmentsOf(view job.View) segments {
	const seconds = 4
	for _, task := range view.Tasks {
		if task.Kind == job.EncodeTask && task.Chunk != nil && task.Chunk.Segments > 1 {
			return segments{frames: task.Chunk.Frames.Len() / int64(task.Chunk.Segments), seconds: seconds}
		}
	}
	return segments{frames: 30 * seconds, seconds: seconds}
}

// timed runs ffmpeg once for each list of arguments, one after the other.
func timed(ctx context.Context, program, dir string, runs ...[]string) (usage, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return usage{}, err
	}
	var sum usage
	started := time.Now()
	for _, args := range runs {
		used, err := runFFmpeg(ctx, program, args)
		if err != nil {
			return sum, err
		}
		sum.cpu += used.cpu
	}
	sum.wall = time.Since(started)
	var err error
	sum.bytes, err = folderBytes(dir)
	return sum, err
}

func folderBytes(dir string) (int64, error) {
	sum := int64(0)
	err := filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}
