package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"millrace/api/client"
	"millrace/job"
)

// APIReport is how long requests took that one client sent, one after the
// other, to a follower of three peers: seconds.
type APIReport struct {
	PostP50 float64 `json:"post_p50"`
	PostP99 float64 `json:"post_p99"`
	GetP50  float64 `json:"get_p50"`
	GetP99  float64 `json:"get_p99"`
}

// apiLatency starts three peers as processes and asks one that doesn't lead.
func apiLatency(ctx context.Context, config ClusterConfig, dir string) (report *APIReport, err error) {
	addresses, err := freeAddresses(ctx, 3*len(peerNames))
	if err != nil {
		return nil, fmt.Errorf("find free ports: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "out"), 0o755); err != nil {
		return nil, err
	}
	var join []string
	for n := range peerNames {
		join = append(join, addresses[3*n+1])
	}
	var peers []*peer
	defer func() {
		for _, p := range peers {
			err = errors.Join(err, p.stop())
		}
	}()
	for n, name := range peerNames {
		p, err := launch(ctx, config.Millrace, dir, name, addresses[3*n:], (*exec.Cmd).Start,
			"--expect", fmt.Sprint(len(peerNames)), "--join", strings.Join(join, ","), "--output-root", filepath.Join(dir, "out"))
		if err != nil {
			return nil, err
		}
		peers = append(peers, p)
	}
	fmt.Fprintln(config.Log, "three peers are starting, each with its trial encodes")
	key, err := adminKey(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("wait for the peers: %w (a log: %s)", err, tail(peers[0].logFile))
	}
	follower, err := readyFollower(ctx, dir, addresses, key)
	if err != nil {
		return nil, fmt.Errorf("wait for the peers: %w (a log: %s)", err, tail(peers[0].logFile))
	}
	defer follower.CloseIdleConnections()
	return measureAPI(ctx, config, dir, follower)
}

// adminKey reads the key that the first leader made.
func adminKey(ctx context.Context, dir string) (key string, err error) {
	err = waitFor(ctx, readyTimeout, func() bool {
		for _, name := range peerNames {
			if data, err := os.ReadFile(filepath.Join(dir, name, "admin.key")); err == nil && len(data) > 0 {
				key = strings.TrimSpace(string(data))
				return true
			}
		}
		return false
	})
	return key, err
}

// readyFollower closes all nodes to work, so that submitted jobs only wait, and
// returns a client of a peer that doesn't lead.
func readyFollower(ctx context.Context, dir string, addresses []string, key string) (*client.Client, error) {
	var follower *client.Client
	var last error
	err := waitFor(ctx, readyTimeout, func() bool {
		follower, last = nil, nil
		for n, name := range peerNames {
			if _, err := os.Stat(filepath.Join(dir, name, "profiles.json")); err != nil {
				last = err // its trial encodes still run
				return false
			}
			c, err := client.New("http://"+addresses[3*n], key, "default")
			if err == nil {
				err = c.Ready(ctx)
			}
			var status client.ClusterStatus
			if err == nil {
				status, err = c.Cluster(ctx)
			}
			if err == nil && status.Leader == nil {
				err = errors.New("no leader is known")
			}
			if last = err; err != nil {
				return false
			}
			if status.Leader.Address != addresses[3*n] {
				follower = c
			}
		}
		if follower == nil {
			return false
		}
		nodes := 0
		for node, err := range follower.Nodes(ctx, false) {
			if err == nil {
				nodes++
				_, err = follower.Drain(ctx, node.ID)
			}
			if last = err; err != nil {
				return false
			}
		}
		return nodes == len(peerNames)
	})
	return follower, errors.Join(err, last)
}

func measureAPI(ctx context.Context, config ClusterConfig, dir string, follower *client.Client) (*APIReport, error) {
	var posts, gets []float64
	var ids []job.ID
	for n := range config.Requests {
		begun := time.Now()
		view, err := follower.CreateJob(ctx, client.CreateRequest{
			InputURL: "https://media.example.com/film.mp4", OutputPath: fmt.Sprintf("file://%s/%d/", filepath.Join(dir, "out"), n), Resolutions: []string{"720p"},
		})
		if err != nil {
			return nil, fmt.Errorf("post a job: %w", err)
		}
		posts = append(posts, time.Since(begun).Seconds())
		ids = append(ids, view.ID)
	}
	for _, id := range ids {
		begun := time.Now()
		if _, err := follower.Job(ctx, id); err != nil {
			return nil, fmt.Errorf("get a job: %w", err)
		}
		gets = append(gets, time.Since(begun).Seconds())
	}
	return &APIReport{
		PostP50: percentile(posts, 50), PostP99: percentile(posts, 99), GetP50: percentile(gets, 50), GetP99: percentile(gets, 99),
	}, nil
}

// percentile is the value that so many of a hundred are below; 0 of none.
func percentile(values []float64, percent int) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}
