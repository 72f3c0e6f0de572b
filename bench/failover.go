package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"millrace/api/client"
)

// FailoverConfig says what Failover measures.
type FailoverConfig struct {
	Millrace string // the binary
	Runs     int    // leaders that are killed
	Dir      string // for the data folders
	Log      io.Writer
}

// FailoverReport is how long three peers with default settings took no writes
// when their leader was killed: seconds from its SIGKILL to the first write that
// one of the others acknowledged.
type FailoverReport struct {
	Seconds []float64 `json:"seconds"` // of each run
	Median  float64   `json:"median"`
	Longest float64   `json:"longest"`
}

// Failover kills a leader again and again, and starts it anew each time.
func Failover(ctx context.Context, config FailoverConfig) (report FailoverReport, err error) {
	dir, err := os.MkdirTemp(config.Dir, "bench-")
	if err != nil {
		return report, fmt.Errorf("make the bench's folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	t, err := newTrio(ctx, config, dir)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	for run := range config.Runs {
		took, err := t.failOver(ctx, run)
		if err != nil {
			return report, fmt.Errorf("run %d: %w", run+1, err)
		}
		fmt.Fprintf(config.Log, "run %d: %.2f s\n", run+1, took.Seconds())
		report.Seconds = append(report.Seconds, took.Seconds())
	}
	if _, err := t.leader(ctx); err != nil { // so that all can be stopped well
		return report, err
	}
	report.Median, report.Longest = percentile(report.Seconds, 50), percentile(report.Seconds, 100)
	return report, nil
}

// trio is three peers that form a cluster.
type trio struct {
	program, dir string
	addresses    []string // http, gossip, raft of each
	peers        []*peer
	webhook      string // that is written
}

func newTrio(ctx context.Context, config FailoverConfig, dir string) (t *trio, err error) {
	t = &trio{program: config.Millrace, dir: dir, peers: make([]*peer, len(peerNames))}
	if t.addresses, err = freeAddresses(ctx, 3*len(peerNames)); err != nil {
		return nil, fmt.Errorf("find free ports: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.stop())
		}
	}()
	fmt.Fprintln(config.Log, "three peers are starting, each with its trial encodes")
	for n := range peerNames {
		if err := t.start(ctx, n); err != nil {
			return nil, err
		}
	}
	key, err := adminKey(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("wait for the peers: %w (a log: %s)", err, tail(t.peers[0].logFile))
	}
	for n, p := range t.peers {
		if p.client, err = client.New("http://"+t.addresses[3*n], key, "default"); err != nil {
			return nil, err
		}
	}
	if _, err := t.leader(ctx); err != nil {
		return nil, err
	}
	made, err := t.peers[0].client.CreateWebhook(ctx, "https://example.com/0", "secret")
	if err != nil {
		return nil, fmt.Errorf("make a webhook: %w", err)
	}
	t.webhook = made.ID
	return t, nil
}

// start starts a peer, the first time or again.
func (t *trio) start(ctx context.Context, n int) error {
	var join []string
	for n := range peerNames {
		join = append(join, t.addresses[3*n+1])
	}
	p, err := launch(ctx, t.program, t.dir, peerNames[n], t.addresses[3*n:], (*exec.Cmd).Start,
		"--expect", fmt.Sprint(len(peerNames)), "--join", strings.Join(join, ","))
	if err != nil {
		return err
	}
	if t.peers[n] != nil {
		p.client = t.peers[n].client
	}
	t.peers[n] = p
	return nil
}

// leader waits until all peers are well, have done their trial encodes and name
// the same leader, and returns which of them it is.
func (t *trio) leader(ctx context.Context) (leader int, err error) {
	var last error
	err = waitFor(ctx, readyTimeout, func() bool {
		leader, last = t.agreed(ctx)
		return last == nil
	})
	return leader, errors.Join(err, last)
}

func (t *trio) agreed(ctx context.Context) (leader int, err error) {
	leads := ""
	for n, p := range t.peers {
		if _, err := os.Stat(filepath.Join(t.dir, peerNames[n], "profiles.json")); err != nil {
			return 0, err
		}
		if err := p.client.Ready(ctx); err != nil {
			return 0, err
		}
		status, err := p.client.Cluster(ctx)
		switch {
		case err != nil:
			return 0, err
		case status.Leader == nil || !status.Healthy || len(status.Voters) != len(t.peers):
			return 0, errors.New("the cluster isn't well")
		case leads != "" && status.Leader.Address != leads:
			return 0, errors.New("the peers name different leaders")
		}
		leads = status.Leader.Address
		if leads == t.addresses[3*n] {
			leader = n
			for _, voter := range status.Voters {
				if !voter.Healthy {
					return 0, fmt.Errorf("voter %s isn't well", voter.ID)
				}
			}
		}
	}
	return leader, nil
}

// writeEvery is how long a client waits after a refusal, far less than what is
// measured.
const writeEvery = 10 * time.Millisecond

// failOver kills the leader, and returns how long it took until one of the
// others acknowledged a write that was sent after that.
func (t *trio) failOver(ctx context.Context, run int) (time.Duration, error) {
	leader, err := t.leader(ctx)
	if err != nil {
		return 0, err
	}
	writing, stop := context.WithTimeout(ctx, readyTimeout)
	defer stop()
	begun := time.Now()
	if err := t.peers[leader].command.Process.Kill(); err != nil {
		return 0, fmt.Errorf("kill the leader: %w", err)
	}
	written := make(chan error, len(t.peers))
	var writers sync.WaitGroup
	for n, p := range t.peers {
		if n != leader {
			writers.Go(func() { written <- write(writing, p.client, t.webhook, fmt.Sprintf("https://example.com/%d", run+1)) })
		}
	}
	err = <-written
	took := time.Since(begun)
	stop()
	writers.Wait()
	_ = t.peers[leader].command.Wait()
	if err != nil {
		return 0, fmt.Errorf("write after the leader's death: %w", err)
	}
	return took, t.start(ctx, leader)
}

// write sends the same change until it is acknowledged.
func write(ctx context.Context, c *client.Client, webhook, url string) error {
	for {
		_, err := c.UpdateWebhook(ctx, webhook, url, "secret")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(writeEvery):
		}
	}
}

func (t *trio) stop() error {
	var errs []error
	for _, p := range t.peers {
		if p != nil {
			errs = append(errs, p.stop())
		}
	}
	return errors.Join(errs...)
}
