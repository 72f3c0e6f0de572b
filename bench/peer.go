package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"millrace/api/client"
	"millrace/job"
)

// peer is a millrace serve of its own, on free ports and a fresh data folder.
type peer struct {
	command *exec.Cmd
	client  *client.Client
	clip    string
	logFile string
}

// readyTimeout is for the first start, with its trial encodes.
const readyTimeout = 2 * time.Minute

func startPeer(ctx context.Context, config NodeConfig, work string) (*peer, error) {
	addresses, err := freeAddresses(ctx, 3)
	if err != nil {
		return nil, fmt.Errorf("find free ports: %w", err)
	}
	p, err := launch(ctx, config.Millrace, work, "peer", addresses, (*exec.Cmd).Start,
		"--source-root", filepath.Dir(config.Clip), "--output-root", work, "--ffmpeg", config.FFmpeg)
	if err != nil {
		return nil, err
	}
	p.clip = config.Clip
	data := filepath.Join(work, "peer")
	if p.client, err = connect(ctx, "http://"+addresses[0], filepath.Join(data, "admin.key")); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for the peer: %w (its log: %s)", err, tail(p.logFile)), p.stop())
	}
	// Trial encodes go on after that; a job that waits for them would be
	// charged with what happens only once in a machine's life. The file is
	// written when they end.
	return p, waitFor(ctx, readyTimeout, func() bool {
		_, err := os.Stat(filepath.Join(data, "profiles.json"))
		return err == nil
	})
}

// launch starts a peer with a name of its own among those of a folder, where its
// data and its log are. addresses are for its API, gossip and raft; start starts the
// process.
func launch(ctx context.Context, program, dir, name string, addresses []string, start func(*exec.Cmd) error, flags ...string) (*peer, error) {
	p := &peer{logFile: filepath.Join(dir, name+".log")}
	logFile, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p.command = exec.CommandContext(ctx, program, append([]string{
		"serve", "--data", filepath.Join(dir, name), "--http", addresses[0], "--gossip", addresses[1], "--raft", addresses[2],
	}, flags...)...)
	p.command.Stdout, p.command.Stderr = logFile, logFile
	if err := errors.Join(start(p.command), logFile.Close()); err != nil { // the peer has its own copy
		return nil, fmt.Errorf("start a peer: %w", err)
	}
	return p, nil
}

func connect(ctx context.Context, server, keyFile string) (*client.Client, error) {
	var c *client.Client
	var last error
	err := waitFor(ctx, readyTimeout, func() bool {
		key, err := os.ReadFile(keyFile)
		if err == nil {
			c, err = client.New(server, strings.TrimSpace(string(key)), "default")
		}
		if err == nil {
			err = c.Ready(ctx)
		}
		last = err
		return err == nil
	})
	return c, errors.Join(err, last)
}

// waitFor asks ten times a second: what is waited for is another process.
func waitFor(ctx context.Context, timeout time.Duration, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

// job runs the clip once. The wall time is the peer's own: from when it took
// the job to when it was completed.
func (p *peer) job(ctx context.Context, dir string) (job.View, usage, error) {
	before, err := p.cpu()
	if err != nil {
		return job.View{}, usage{}, err
	}
	names := make([]string, len(rungs))
	for i, rung := range rungs {
		names[i] = rung.String()
	}
	posted, err := p.client.CreateJob(ctx, client.CreateRequest{
		InputURL: "file://" + p.clip, OutputPath: "file://" + dir + "/", Resolutions: names,
	})
	if err != nil {
		return posted, usage{}, fmt.Errorf("post the job: %w", err)
	}
	if err := p.client.Watch(ctx, posted.ID, func(job.View) {}); err != nil {
		return posted, usage{}, fmt.Errorf("watch the job: %w", err)
	}
	view, err := p.client.JobWithTasks(ctx, posted.ID)
	if err != nil {
		return view, usage{}, fmt.Errorf("read the job: %w", err)
	}
	if view.Status != job.Completed || view.EndTime == nil {
		return view, usage{}, fmt.Errorf("the job ended as %s (the peer's log: %s)", view.Status, tail(p.logFile))
	}
	after, err := p.cpu()
	if err != nil {
		return view, usage{}, err
	}
	used := usage{wall: time.Time(*view.EndTime).Sub(time.Time(view.Created)), cpu: after - before}
	used.bytes, err = folderBytes(dir)
	return view, used, err
}

// idle watches the peer for idleTime.
func (p *peer) idle(ctx context.Context) (rssBytes int64, cpuPercent float64, err error) {
	before, err := p.cpu()
	if err != nil {
		return 0, 0, err
	}
	timer := time.NewTimer(idleTime)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	case <-timer.C:
	}
	after, err := p.cpu()
	if err != nil {
		return 0, 0, err
	}
	rss, err := p.rss()
	return rss, 100 * (after - before).Seconds() / idleTime.Seconds(), err
}

// ticksPerSecond is the unit of /proc/<pid>/stat: USER_HZ, 100 on every Linux
// architecture that Go runs on.
const ticksPerSecond = 100

// cpu is the time that the peer and the children it has waited for have used.
func (p *peer) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.command.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the peer's CPU time: %w", err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return 0, fmt.Errorf("read the peer's CPU time: unexpected %q", text)
	}
	ticks := int64(0)
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the peer's CPU time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

// rss is the peer's resident memory in bytes.
func (p *peer) rss() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.command.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the peer's memory: %w", err)
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("read the peer's memory: unexpected %q", text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// stop stops the peer as an operator would.
func (p *peer) stop() error {
	if p.client != nil {
		p.client.CloseIdleConnections()
	}
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the peer: %w", err)
	}
	if err := p.command.Wait(); err != nil {
		return fmt.Errorf("stop the peer: %w", err)
	}
	return nil
}

// freeAddresses are loopback addresses that nothing listens on. All stay taken
// until all are drawn.
func freeAddresses(ctx context.Context, count int) (addresses []string, err error) {
	var listeners []net.Listener
	defer func() {
		for _, listener := range listeners {
			err = errors.Join(err, listener.Close())
		}
	}()
	for range count {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, listener)
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

// tail is the end of a log, for an error.
func tail(file string) string {
	const most = 2000
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}
