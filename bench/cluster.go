package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"millrace/cluster"
	"millrace/job"
)

// ClusterConfig says what Cluster measures.
type ClusterConfig struct {
	// Millrace is the program, for the part that goes through its API; "" leaves
	// that part out.
	Millrace string
	// Clients wait for acknowledgements at the same time.
	Clients int
	// Jobs are submitted in each round.
	Jobs   int
	Rounds int
	// Requests are the POSTs and the GETs whose latency is taken.
	Requests int
	// Dir is where the data folders lie: their disk is what is measured.
	Dir string
	// Log takes a line about each step.
	Log io.Writer
}

// ClusterReport is what Cluster found.
type ClusterReport struct {
	Clients int            `json:"clients"`
	Jobs    int            `json:"jobs"`
	Rounds  []ClusterRound `json:"rounds"`
	// ToBareRaft is the median of the rounds' ratios: durable submissions a
	// second of three Millrace voters to those of bare raft with an entry for each.
	ToBareRaft float64 `json:"to_bare_raft"`
	// ToGroupedRaft is the same to bare raft that has the submissions in groups.
	ToGroupedRaft float64 `json:"to_grouped_raft"`
	// CPUToBareRaft and CPUToGroupedRaft are of the CPU time that one takes: less
	// is better.
	CPUToBareRaft    float64 `json:"cpu_to_bare_raft"`
	CPUToGroupedRaft float64 `json:"cpu_to_grouped_raft"`
	// EntryBytes is the mean size of a submission in the log.
	EntryBytes int `json:"entry_bytes"`
	// API is nil where it was left out.
	API *APIReport `json:"api,omitempty"`
}

// ClusterRound is one turn of each: submissions a second, and the CPU time that
// all three voters together took for one, in microseconds.
type ClusterRound struct {
	Millrace       float64 `json:"millrace"`
	BareRaft       float64 `json:"bare_raft"`
	GroupedRaft    float64 `json:"grouped_raft"`
	MillraceCPU    float64 `json:"millrace_cpu"`
	BareRaftCPU    float64 `json:"bare_raft_cpu"`
	GroupedRaftCPU float64 `json:"grouped_raft_cpu"`
}

// Cluster measures durable submissions on three voters in this process, over
// loopback and this machine's disk, against bare hashicorp/raft that puts the
// very same bytes into the same kind of log, with the same time-outs and number of
// clients, and keeps them: once as raft is used plainly, with one Apply and one
// entry for each submission, and once with those that come while raft is busy in one
// entry, as Millrace does it. The order turns from round to round, and each begins
// with the memory of the one before given back.
func Cluster(ctx context.Context, config ClusterConfig) (report ClusterReport, err error) {
	report.Clients, report.Jobs = config.Clients, config.Jobs
	work, err := os.MkdirTemp(config.Dir, "bench-")
	if err != nil {
		return report, fmt.Errorf("make the bench's folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()

	// A first round, not counted, makes the bytes that bare raft gets.
	fmt.Fprintln(config.Log, "warm-up")
	dir := filepath.Join(work, "first")
	if _, _, err := submitJobs(ctx, config, dir); err != nil {
		return report, err
	}
	submissions, err := readSubmissions(dir, config.Jobs)
	if err != nil {
		return report, err
	}
	for _, data := range submissions {
		report.EntryBytes += len(data)
	}
	report.EntryBytes /= len(submissions)
	for n := range config.Rounds {
		var round ClusterRound
		turns := []func() error{
			func() (err error) {
				round.Millrace, round.MillraceCPU, err = submitJobs(ctx, config, filepath.Join(work, fmt.Sprintf("millrace-%d", n)))
				return err
			},
			func() (err error) {
				round.BareRaft, round.BareRaftCPU, err = bareRaft(ctx, config, filepath.Join(work, fmt.Sprintf("raft-%d", n)), submissions, false)
				return err
			},
			func() (err error) {
				round.GroupedRaft, round.GroupedRaftCPU, err = bareRaft(ctx, config, filepath.Join(work, fmt.Sprintf("grouped-%d", n)), submissions, true)
				return err
			},
		}
		turns = slices.Concat(turns[n%len(turns):], turns[:n%len(turns)])
		for _, turn := range turns {
			if err := turn(); err != nil {
				return report, err
			}
		}
		fmt.Fprintf(config.Log, "round %d: millrace %.0f a second (%.0f µs of CPU each), bare raft %.0f (%.0f µs), ratio %.2f, in groups %.0f (%.0f µs), ratio %.2f\n",
			n+1, round.Millrace, round.MillraceCPU, round.BareRaft, round.BareRaftCPU, round.Millrace/round.BareRaft,
			round.GroupedRaft, round.GroupedRaftCPU, round.Millrace/round.GroupedRaft)
		report.Rounds = append(report.Rounds, round)
	}
	report.ToBareRaft = medianOf(report.Rounds, func(r ClusterRound) float64 { return r.Millrace / r.BareRaft })
	report.ToGroupedRaft = medianOf(report.Rounds, func(r ClusterRound) float64 { return r.Millrace / r.GroupedRaft })
	report.CPUToBareRaft = medianOf(report.Rounds, func(r ClusterRound) float64 { return r.MillraceCPU / r.BareRaftCPU })
	report.CPUToGroupedRaft = medianOf(report.Rounds, func(r ClusterRound) float64 { return r.MillraceCPU / r.GroupedRaftCPU })
	if config.Millrace == "" {
		return report, nil
	}
	report.API, err = apiLatency(ctx, config, filepath.Join(work, "api"))
	return report, err
}

// electAfter is longer than any contender's leader is unheard of on a busy machine:
// an election in a round would be measured with it.
const electAfter = 3 * time.Second

// peerNames are the three voters'.
var peerNames = []string{"a", "b", "c"}

// submitJobs has the clients submit all jobs to the leader of a new cluster and
// says how many were acknowledged in a second.
func submitJobs(ctx context.Context, config ClusterConfig, dir string) (rate, cpu float64, err error) {
	var peers []*cluster.Peer
	defer func() {
		for _, p := range slices.Backward(peers) {
			err = errors.Join(err, p.Close())
		}
	}()
	var join []string
	for _, name := range peerNames {
		p, err := cluster.Open(ctx, cluster.Config{
			ID: name, DataDir: filepath.Join(dir, name), RaftAddr: "127.0.0.1:0", GossipAddr: "127.0.0.1:0",
			Expect: len(peerNames), Join: join, Logger: slog.New(slog.DiscardHandler),
			HeartbeatTimeout: electAfter, ElectionTimeout: electAfter, LeaderLease: electAfter,
		})
		if err != nil {
			return 0, 0, err
		}
		peers = append(peers, p)
		for _, member := range p.Members() {
			if member.ID == name {
				join = append(slices.Clone(join), member.GossipAddr)
			}
		}
	}
	var leader *cluster.Peer
	for _, p := range peers {
		if err := p.Ready(ctx); err != nil {
			return 0, 0, err
		}
		if p.Leads() {
			leader = p
		}
	}
	if leader == nil {
		return 0, 0, errors.New("the leader has changed: the machine is too busy")
	}
	if _, err := leader.Propose(ctx, cluster.CreateOrganisation{Organisation: cluster.Organisation{ID: "default", Created: benchTime}}); err != nil {
		return 0, 0, err
	}
	return perSecond(config, func(n int) error {
		_, err := leader.Propose(ctx, submission(n))
		return err
	})
}

var benchTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// submission is a job as a client would send it.
func submission(n int) cluster.CreateJob {
	id := job.ID(fmt.Sprintf("%011d", n))
	return cluster.CreateJob{ID: id, Org: "default", At: benchTime, Spec: job.Spec{
		Input:       job.Location{URL: "https://media.example.com/films/" + string(id) + "/master.mp4"},
		Output:      job.Location{URL: "s3://films/" + string(id) + "/"},
		Resolutions: rungs, Outputs: []job.OutputKind{job.HLS}, Codec: job.H264,
		Quality: job.Standard, SegmentDuration: 4 * time.Second,
	}}
}

// perSecond has the clients do all jobs and says how many a second were done, and the
// microseconds of CPU that one took.
func perSecond(config ClusterConfig, do func(n int) error) (rate, cpu float64, err error) {
	var next atomic.Int64
	failed := make(chan error, config.Clients)
	var clients sync.WaitGroup
	runtime.GC()
	before, err := cpuTime()
	if err != nil {
		return 0, 0, err
	}
	begun := time.Now()
	for range config.Clients {
		clients.Go(func() {
			for n := int(next.Add(1)) - 1; n < config.Jobs; n = int(next.Add(1)) - 1 {
				if err := do(n); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	clients.Wait()
	took := time.Since(begun)
	close(failed)
	for err := range failed {
		return 0, 0, err // one is enough
	}
	after, err := cpuTime()
	return float64(config.Jobs) / took.Seconds(), float64((after - before).Microseconds()) / float64(config.Jobs), err
}

// cpuTime is what this process has used so far.
func cpuTime() (time.Duration, error) {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0, fmt.Errorf("read the CPU time: %w", err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()), nil
}
