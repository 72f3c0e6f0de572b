package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// WorkersConfig says what Workers measures.
type WorkersConfig struct {
	Millrace, FFmpeg string // the binaries
	Clip             string // that a lone job makes a ladder of
	Rounds           int
	Dir              string // for data folders and outputs, some hundred MB
	Log              io.Writer
}

// WorkersReport is how much sooner two machines of one core each finish a lone
// job than one of them. Times are in seconds, from when the job was taken to
// when it was completed.
type WorkersReport struct {
	Rounds []WorkersRound `json:"rounds"`
	// Ratio is the median of the rounds' ratios.
	Ratio float64 `json:"ratio"`
}

// WorkersRound is the same job on one worker and on two.
type WorkersRound struct {
	One float64 `json:"one"`
	Two float64 `json:"two"`
}

// Workers runs a job alone on a peer that is held to one core, and on two such
// peers that form a cluster, in turn.
func Workers(ctx context.Context, config WorkersConfig) (report WorkersReport, err error) {
	work, err := os.MkdirTemp(config.Dir, "bench-")
	if err != nil {
		return report, fmt.Errorf("make the bench's folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	var racks [2][]*peer
	defer func() {
		for _, p := range slices.Concat(racks[0], racks[1]) {
			err = errors.Join(err, p.stop())
		}
	}()
	for i := range racks {
		fmt.Fprintf(config.Log, "%d peers of one core each are starting, with their trial encodes\n", i+1)
		if racks[i], err = startRack(ctx, config, filepath.Join(work, fmt.Sprint(i+1)), i+1); err != nil {
			return report, err
		}
	}
	for n := -1; n < config.Rounds; n++ { // the first isn't counted: caches are cold, speeds not learned
		var took [2]float64
		for i := range racks {
			which := (i + n + 2) % 2
			dir := filepath.Join(work, fmt.Sprint(which+1), "out", fmt.Sprint(n))
			_, used, err := racks[which][0].job(ctx, dir)
			if err != nil {
				return report, err
			}
			if err := os.RemoveAll(dir); err != nil {
				return report, err
			}
			took[which] = used.wall.Seconds()
		}
		fmt.Fprintf(config.Log, "round %d: one worker %.1f s, two %.1f s\n", n+1, took[0], took[1])
		if n >= 0 {
			report.Rounds = append(report.Rounds, WorkersRound{took[0], took[1]})
		}
	}
	report.Ratio = medianOf(report.Rounds, func(r WorkersRound) float64 { return r.Two / r.One })
	return report, nil
}

// startRack starts a cluster of so many peers, each on a core of its own.
func startRack(ctx context.Context, config WorkersConfig, dir string, size int) (rack []*peer, err error) {
	defer func() {
		if err == nil {
			return
		}
		for _, p := range rack {
			err = errors.Join(err, p.stop())
		}
		rack = nil
	}()
	flags := []string{"--source-root", filepath.Dir(config.Clip), "--output-root", dir, "--ffmpeg", config.FFmpeg}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	for core := range size {
		addresses, err := freeAddresses(ctx, 3)
		if err != nil {
			return rack, fmt.Errorf("find free ports: %w", err)
		}
		name := fmt.Sprintf("peer%d", core+1)
		p, err := launch(ctx, config.Millrace, dir, name, addresses, func(command *exec.Cmd) error { return startOn(core, command) }, flags...)
		if err != nil {
			return rack, err
		}
		p.clip = config.Clip
		if rack = append(rack, p); core > 0 {
			continue
		}
		// The others join the first, which is a cluster alone.
		flags = append(flags, "--join", addresses[1])
		if p.client, err = connect(ctx, "http://"+addresses[0], filepath.Join(dir, name, "admin.key")); err != nil {
			return rack, fmt.Errorf("wait for the peer: %w (its log: %s)", err, tail(p.logFile))
		}
	}
	if err := waitFor(ctx, readyTimeout, func() bool { return rack[0].sees(ctx, size) }); err != nil {
		return rack, fmt.Errorf("wait for %d measured nodes: %w (a log: %s)", size, err, tail(rack[size-1].logFile))
	}
	return rack, nil
}

// sees says whether a peer knows so many nodes and what their devices do.
func (p *peer) sees(ctx context.Context, size int) bool {
	measured := 0
	for node, err := range p.client.Nodes(ctx, false) {
		if err != nil {
			return false
		}
		if node.Alive && node.Measured != nil {
			measured++
		}
	}
	return measured == size
}

// startOn starts a command that may use one core only, with all of its children.
func startOn(core int, command *exec.Cmd) error {
	// The child has the mask of the thread that it is forked from.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("read this thread's cores: %w", err)
	}
	allowed := 0
	for cpu := range len(before) * 64 {
		if before.IsSet(cpu) {
			if allowed == core {
				one.Set(cpu)
			}
			allowed++
		}
	}
	if one.Count() == 0 {
		return fmt.Errorf("this machine has %d cores: %d are needed", allowed, core+1)
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("hold the peer to a core: %w", err)
	}
	return errors.Join(command.Start(), unix.SchedSetaffinity(0, &before))
}
