package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"millrace/api"
	"millrace/cluster"
	"millrace/hwaccel"
	"millrace/job"
	"millrace/media"
	"millrace/media/ffmpeg"
	"millrace/storage"
	"millrace/webhook"
)

// Config is what a peer is made of. cmd/millrace fills it from the settings,
// which docs/settings.md explains.
type Config struct {
	DataDir string
	// HTTPAddr, GossipAddr and RaftAddr are host:port; port 0 takes a free one.
	HTTPAddr, GossipAddr, RaftAddr string
	// Advertise is the host that other peers are told in place of those, where
	// they are unspecified; "" for none.
	Advertise string
	// Expect, Join, Bundle and MaxVoters are as in cluster.Config.
	Expect    int
	Join      []string
	Bundle    string
	MaxVoters int

	Storage         storage.Config // CacheDir is set by Run
	WebhookNetworks []netip.Prefix
	WebhookTimeout  time.Duration

	FFmpegPath, FFprobePath string
	// Slots bounds the encodes at once on the CPU, 0: its threads.
	Slots int
	// Labels are what jobs can require of this node, Taints what they must require to
	// come to it. Hours are when it takes work, by this machine's clock and time zone.
	Labels, Taints    []string
	Hours             WorkHours
	FirstFrameTimeout time.Duration
	StallTimeout      time.Duration
	// DrainTimeout is how long attempts may go on once Run's context has ended.
	DrainTimeout time.Duration

	Retention Retention
	Version   string
	Logger    *slog.Logger
	// Started, if set, is called once the API is served, with its address.
	Started func(httpAddr string)
}

// parts is everything that a running peer has to close at its end.
type parts struct {
	peer     *cluster.Peer
	session  string // names this run of the process
	store    *storage.Store
	loopback *storage.Loopback
	listener net.Listener
	tools    *ffmpeg.Tools
	energy   *energyMetrics
	// probes holds a token while somebody wants the devices to be measured again.
	probes chan struct{}
}

// Run runs a peer until ctx ends, drains it, and closes everything. It gives an
// error when the peer couldn't start or has stopped by itself.
func Run(ctx context.Context, config Config) (err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	p, err := open(ctx, config, stop)
	if err != nil {
		return fmt.Errorf("start the peer: %w", err)
	}
	defer func() { err = errors.Join(err, p.close()) }()

	log := config.Logger.With("node", p.peer.ID())
	leader := newLeader(p.peer.Office(), log, time.Now)
	board := &progressBoard{leader: leader, ask: leaderCalls{p.peer}.progresses, now: time.Now}
	forward := p.peer.ForwardHTTP()
	server, err := api.New(api.Config{
		State: p.peer, Sealer: p.peer.Keyring(), Progress: board, Explain: leaderCalls{p.peer}.explain,
		Locations: locations{config.Storage.SourceRoots, config.Storage.OutputRoots},
		Cluster:   clusterView{p.peer}, Control: clusterView{p.peer}, Operator: DefaultOrganisation,
		Elsewhere: func() http.Handler {
			if p.peer.HoldsState() {
				return nil
			}
			return forward
		},
		Ready:      func(context.Context) error { return p.ready(ctx) },
		Collectors: append(p.energy.collectors(), estimateGauges{leader}, backupCounters{leader}),
		Logger:     log, Version: config.Version,
	})
	if err != nil {
		return fmt.Errorf("make the API: %w", err)
	}
	hooks := storage.NewHTTPClient(storage.DialRules{Allowed: config.WebhookNetworks}, storage.HTTPOptions{})
	defer hooks.CloseIdleConnections()
	answerCalls(p.peer, leader, p.session)
	answerProbes(p.peer, p.probes)
	p.peer.HandleHTTP(server)

	// The worker stops first: its last reports need the leader, and clients
	// may go on asking meanwhile.
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	group, failed := errgroup.WithContext(serving)
	context.AfterFunc(failed, func() { stop(context.Cause(failed)) })
	group.Go(func() error { return api.Serve(serving, p.listener, server) })
	group.Go(func() error {
		return p.peer.Lead(serving, func(ctx context.Context) error {
			if err := bootstrapLeader(ctx, p.peer.Office(), p.peer.ID(), config.DataDir, log); err != nil {
				return err
			}
			board.handOver()
			dispatcher := webhook.New(webhook.Config{
				State: p.peer.Office(), Sealer: p.peer.Keyring(), Client: hooks, Timeout: config.WebhookTimeout,
				Version: config.Version, Logger: log,
			})
			duties, ctx := errgroup.WithContext(ctx)
			duties.Go(func() error { return leader.lead(ctx) })
			duties.Go(func() error { return leader.vigil(ctx, peerWitness{p.peer}) })
			duties.Go(func() error { return dispatcher.Run(ctx) })
			duties.Go(func() error { return upkeep(ctx, p.peer.Office(), config.Retention, log) })
			return duties.Wait()
		})
	})
	group.Go(func() error { return p.lookForKey(serving, config.DataDir, log) })
	group.Go(func() error {
		defer stopServing()
		return p.work(ctx, config, leaderCalls{p.peer}, log)
	})
	if config.Started != nil {
		config.Started(p.listener.Addr().String())
	}
	log.Info("peer started", "http", p.listener.Addr().String(), "raft", p.peer.RaftAddr(), "data", config.DataDir)
	err = group.Wait()
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	log.Info("peer stopped")
	return err
}

// ready says why this peer takes no jobs, nil if it does as far as it knows; ctx
// is Run's.
func (p *parts) ready(ctx context.Context) error {
	status := p.peer.Status()
	switch {
	case ctx.Err() != nil:
		return errDrained
	case status.Cluster == "" && status.Detached != "":
		return fmt.Errorf("this peer is in no cluster yet: %s", status.Detached)
	case status.Cluster == "":
		return errors.New("this peer is in no cluster yet")
	case !p.peer.HoldsState():
		return nil // the peer that answers in its place knows
	case !bootstrapped(p.peer.Stale()):
		return errors.New("the first start is still making the admin key")
	}
	return nil
}

// lookForKey waits until the cluster has its first key and says where that is.
func (p *parts) lookForKey(ctx context.Context, dataDir string, log *slog.Logger) error {
	for {
		changed := p.peer.Stale().Changed()
		// What this peer has of the state may lack the latest keys.
		view, err := p.peer.View(ctx)
		if err == nil && bootstrapped(view) {
			return announceKey(view, dataDir, log)
		}
		if err == nil {
			changed = view.Changed()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// open makes the parts that need closing.
func open(ctx context.Context, config Config, stop context.CancelCauseFunc) (_ *parts, err error) {
	p := &parts{probes: make(chan struct{}, 1), energy: newEnergyMetrics()}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	session, err := job.NewID(rand.Reader)
	if err != nil {
		return nil, err
	}
	p.session = string(session)
	if p.tools, err = ffmpeg.Find(ctx, config.FFmpegPath, config.FFprobePath); err != nil {
		return nil, err
	}
	p.tools.Sandbox = &ffmpeg.Sandbox{}
	if _, missing := ffmpeg.SandboxSupport(); missing != "" {
		config.Logger.Warn("this kernel confines ffmpeg less than it should", "missing", missing)
	}
	// The others are told the port that the API really has.
	if p.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", config.HTTPAddr); err != nil {
		return nil, err
	}
	if p.peer, err = cluster.Open(ctx, cluster.Config{
		DataDir: config.DataDir, RaftAddr: config.RaftAddr, GossipAddr: config.GossipAddr,
		HTTPAddr: config.toldHTTP(p.listener.Addr()), Advertise: config.advertised(),
		Expect: config.Expect, Join: config.Join, Bundle: config.Bundle, MaxVoters: config.MaxVoters,
		Version: config.Version, Logger: config.Logger, Fatal: func(err error) { stop(err) },
	}); err != nil {
		return nil, err
	}
	config.warnOfTrust()
	config.Storage.CacheDir = filepath.Join(config.DataDir, "cache")
	config.Storage.Logger = config.Logger
	if p.store, err = storage.New(config.Storage); err != nil {
		return nil, err
	}
	// It serves attempts, which outlive ctx by the drain time.
	p.loopback, err = storage.NewLoopback(context.WithoutCancel(ctx))
	return p, err
}

func (p *parts) close() error {
	var errs []error
	if p.listener != nil {
		if err := p.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if p.loopback != nil {
		errs = append(errs, p.loopback.Close())
	}
	if p.store != nil {
		errs = append(errs, p.store.Close())
	}
	if p.peer != nil {
		errs = append(errs, p.peer.Close())
	}
	return errors.Join(errs...)
}

// work measures the machine and runs a worker on it until ctx ends.
func (p *parts) work(ctx context.Context, config Config, leader leaderClient, log *slog.Logger) error {
	scratch, err := emptyFolder(filepath.Join(config.DataDir, "scratch"))
	if err != nil {
		return fmt.Errorf("empty the scratch folder: %w", err)
	}
	trials := hwaccel.Trials{Tools: p.tools, Cache: filepath.Join(config.DataDir, "profiles.json"), Scratch: scratch, Machine: &hwaccel.Machine{}, Logger: log}
	inventory := hwaccel.NewInventory(hwaccel.InventoryConfig{Machine: &hwaccel.Machine{}, Trials: trials, Threads: config.Slots, ScratchBytes: scratchFor(scratch), Logger: log})
	err = inventory.Start(ctx)
	if ctx.Err() != nil {
		return nil // stopped before it had begun
	}
	if err != nil {
		return fmt.Errorf("measure the machine: %w", err)
	}
	w := &worker{
		node: p.peer.ID(), session: p.session, profiles: inventory.Profiles(),
		leader: leader, log: log, now: time.Now, drainTimeout: config.DrainTimeout,
		marks: marks{labels: config.Labels, taints: config.Taints, hours: config.Hours},
	}
	w.executor = &uses{inventory: inventory, energy: p.energy, executor: &tasks{
		toolbox: &media.Toolbox{
			FFmpeg: p.tools, Limits: media.DefaultLimits, Scratch: scratch, Nice: workNice, Logger: log,
			FirstFrameTimeout: config.FirstFrameTimeout, StallTimeout: config.StallTimeout,
		},
		store: p.store, loopback: p.loopback, secrets: p.peer.Keyring(), lease: w, log: log, devices: w.devices,
	}}
	tell := &teller{
		to: p.peer, worker: w, log: log, energy: p.energy, asked: p.probes, since: writtenAt(trials.Cache), devices: inventory, measure: inventory.Measure,
		machine: machineLoad(os.DirFS("/"), config.DataDir, w.threads()),
	}
	var watching sync.WaitGroup
	defer watching.Wait()
	// Attempts outlive ctx by the drain time, and so does what they use.
	working, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatching()
	watching.Go(func() { inventory.Run(working) })
	watching.Go(func() { tell.run(ctx) })
	return w.run(ctx)
}

// workNice lets the peer itself go before its encodes, so that it stays
// responsive, and raft's heartbeats in time, on a machine that is fully used.
const workNice = 5

// emptyFolder makes the folder, without what an earlier run has left in it.
func emptyFolder(dir string) (string, error) {
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o700)
}
