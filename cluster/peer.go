package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// maxBatch is how many commands are put into the log with one fsync.
const maxBatch = 256

const (
	// raftDialTimeout bounds a call to another peer's raft, the answer included.
	raftDialTimeout = 10 * time.Second
	// raftConnections is how many idle connections are kept to each peer.
	raftConnections = 3
)

// Peer is one member of the cluster. Its methods may be called from any goroutine.
type Peer struct {
	id      string
	config  Config
	log     *slog.Logger
	keyring *Keyring
	talk    atomic.Pointer[gossip] // see gossip
	shares  *shares

	bundle *bundle // nil without Config.Bundle

	machine   *machine
	raft      *raft.Raft
	mux       *mux
	caller    *caller
	forwarded *forwarded
	forwarder *forwarder
	committer *committer
	transport *raftTransport
	disk      *raftDisk
	lock      *os.File

	lead     leadership
	leader   currentLeader
	standing standing
	follow   following               // while it is a worker
	steward  atomic.Pointer[steward] // of the latest term that this peer led

	// run is drawn at each start.
	run      string
	cluster  atomic.Pointer[string] // nil while in none
	detached atomic.Pointer[string] // why the peer isn't in contact with its cluster
	started  bool                   // the marker is written; of seek alone, once open

	// forming guards what a peer does before it is in a cluster.
	forming     sync.Mutex
	pledge      *pledge
	founderSeen time.Time

	// changing keeps changes of raft's configuration apart.
	changing sync.Mutex
	admitted map[string]string // run of each peer that was let in by this one

	// Raft answers every call while it runs, but may forget one when it is shut
	// down; so no new call begins then, and those under way are waited for.
	mu      sync.RWMutex
	refused error // why no new call may begin
	calls   sync.WaitGroup

	alive    context.Context // ends when Close begins
	die      context.CancelFunc
	stopped  chan struct{} // closed when raft has ended
	watchers sync.WaitGroup
	close    sync.Once
	closeErr error
}

// Open starts a peer on its data folder: an empty one becomes a cluster of one,
// or forms or joins one as Expect and Join say; any other comes back as it was
// left, at whatever address. It returns before the peer leads or follows; wait
// with Ready. ctx bounds only the start.
//
// Errors: ErrLocked when another process uses the folder, ErrDamaged when it
// lacks what it once held.
func Open(ctx context.Context, config Config) (_ *Peer, err error) {
	if config, err = config.withDefaults(); err != nil {
		return nil, fmt.Errorf("open the peer: %w", err)
	}
	if err := os.MkdirAll(config.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("open the peer: make the data folder: %w", err)
	}
	p := &Peer{config: config, machine: newMachine(), stopped: make(chan struct{}), run: rand.Text(), admitted: make(map[string]string)}
	p.alive, p.die = context.WithCancel(context.WithoutCancel(ctx))
	p.lead.changed, p.leader.changed, p.standing.changed = make(chan struct{}), make(chan struct{}), make(chan struct{})
	p.leader.lost = time.Now()
	p.follow.nudge = make(chan struct{})
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open the peer in %s: %w", config.DataDir, err), p.Close())
		}
	}()
	if p.lock, err = lockFolder(config.DataDir); err != nil {
		return nil, err
	}
	if p.id, err = loadNodeID(config.DataDir, config.ID); err != nil {
		return nil, err
	}
	p.log = config.Logger.With("node", p.id)
	p.shares = newShares(p.id, p.log)
	if config.Bundle != "" {
		if p.bundle, err = openBundle(config.Bundle, p.log); err != nil {
			return nil, err
		}
	}
	if p.pledge, err = loadPledge(config.DataDir); err != nil {
		return nil, err
	}
	if p.standing.retired, err = loadRetirement(config.DataDir); err != nil {
		return nil, err
	}
	if err := p.startRaft(ctx); err != nil {
		return nil, err
	}
	if err := p.startMembership(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// startMembership opens the peer to the others.
func (p *Peer) startMembership(ctx context.Context) (err error) {
	for method, handler := range map[string]Handler{
		callPropose: p.servePropose, callReadIndex: p.serveReadIndex, callWelcome: p.serveWelcome,
		callPledge: p.servePledge, callRelease: p.serveRelease, callJoin: p.serveJoin,
		callRemove: p.serveRemove, callHealth: p.serveHealth, callProfiles: p.serveProfiles,
		callLeader: p.serveLeader,
	} {
		p.Handle(method, handler)
	}
	p.caller.serve()
	p.forwarded.serve()
	if p.config.GossipAddr == "" {
		return nil
	}
	var keys [][]byte
	if p.bundle != nil {
		if keys, err = p.bundle.gossipKeys(); err != nil {
			return err
		}
	}
	talk, err := startGossip(ctx, p.config, p.id, p.identity(), keys, p.shares, p.log)
	if err != nil {
		return err
	}
	p.talk.Store(talk)
	p.watchers.Go(p.tend)
	p.watchers.Go(p.followLeader)
	p.watchers.Go(p.seek)
	p.watchers.Go(p.shareProfiles)
	return nil
}

// startRaft opens what raft needs in the order in which Close gives it back.
func (p *Peer) startRaft(ctx context.Context) error {
	logger := newRaftLogger(p.log, "raft")
	var err error
	if p.disk, err = openRaftDisk(p.config.DataDir, logger); err != nil {
		return err
	}
	if err := p.disk.checkComplete(logger); err != nil {
		return err
	}
	if p.mux, err = listenMux(ctx, p.config.RaftAddr, p.bundle, p.Cluster, func(from net.Addr, err error) {
		p.log.Warn("a connection to the peers' port was refused", "from", from.String(), "error", err)
	}); err != nil {
		return err
	}
	p.caller, p.forwarded, p.forwarder = newCaller(p), newForwarded(p), newForwarder(p)
	p.committer = newCommitter(p)
	p.transport = &raftTransport{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: raftStream{p.mux.side(p.mux.raft), p.config.told(p.mux.listener.Addr())}, MaxPool: raftConnections, Timeout: raftDialTimeout, Logger: logger,
		ServerAddressProvider: p,
	}), raftDialTimeout}
	if err := p.bootstrap(logger); err != nil {
		return err
	}
	notify := make(chan bool, 1)
	config := p.raftConfig(logger)
	config.NotifyCh = notify
	if p.raft, err = raft.NewRaft(config, p.machine, p.disk.log, p.disk.log, p.disk.snapshots, p.transport); err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	p.review()
	p.watchers.Go(p.committer.run)
	p.watchers.Go(func() { p.watchLeadership(notify) })
	p.watchers.Go(p.watchLeader)
	p.watchers.Go(p.watchHalt)
	return nil
}

func (p *Peer) raftConfig(logger *raftLogger) *raft.Config {
	config := raft.DefaultConfig()
	config.LocalID = raft.ServerID(p.id)
	config.Logger = logger
	config.HeartbeatTimeout = p.config.HeartbeatTimeout
	config.ElectionTimeout = p.config.ElectionTimeout
	if p.standing.retired != nil {
		config.HeartbeatTimeout, config.ElectionTimeout = parked, parked
	}
	config.LeaderLeaseTimeout = p.config.LeaderLease
	config.SnapshotThreshold = p.config.SnapshotThreshold
	config.SnapshotInterval = p.config.SnapshotInterval
	config.TrailingLogs = p.config.TrailingLogs
	config.MaxAppendEntries = maxBatch
	// Proposals that wait together share an fsync even without a buffer, and a
	// buffer would swallow those that come while raft is shut down.
	config.BatchApplyCh = false
	config.CommitTimeout = p.config.CommitDelay
	// A leader that is removed hands over first; the others follow to the end.
	config.ShutdownOnRemove = false
	config.NoLegacyTelemetry = true
	return config
}

// gossip is the peer's part in the gossip; nil without a GossipAddr, and until
// it has started, which is after raft has.
func (p *Peer) gossip() *gossip { return p.talk.Load() }

// ID is the peer's name, which never changes.
func (p *Peer) ID() string { return p.id }

// RaftAddr is the host:port that other peers reach raft and calls at.
func (p *Peer) RaftAddr() string { return string(p.transport.LocalAddr()) }

// Keyring seals secrets under the cluster's key.
func (p *Peer) Keyring() *Keyring { return p.keyring }

// begin counts a call of raft in, end counts it out.
func (p *Peer) begin() error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.refused != nil {
		return p.refused
	}
	p.calls.Add(1)
	return nil
}

func (p *Peer) end() { p.calls.Done() }

// stopRaft refuses new calls, lets those under way end, and ends raft.
func (p *Peer) stopRaft(refusal error) error {
	p.mu.Lock()
	if p.refused == nil {
		p.refused = refusal
	}
	p.mu.Unlock()
	p.calls.Wait()
	return p.raft.Shutdown().Error()
}

// Close stops the peer and waits until all of it has ended. Proposals that are
// under way are finished first, later ones get ErrClosed; a leader hands over to
// another voter. The peer stays a member of the cluster (see Leave). What was acknowledged
// is on disk already, so a peer may as well be killed.
func (p *Peer) Close() error {
	p.close.Do(func() {
		p.resign()
		if p.forwarded != nil {
			p.forwarded.drain()
		}
		p.die()
		if err := p.shutDown(true); err != nil {
			p.closeErr = fmt.Errorf("close the peer: %w", err)
		}
	})
	return p.closeErr
}

// resign hands the leadership over before a planned stop, so that nobody has to
// find out that the leader is gone.
func (p *Peer) resign() {
	if p.raft == nil || p.raft.State() != raft.Leader || p.otherVoters() == 0 || p.machine.haltError() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(p.alive, 2*p.config.ElectionTimeout)
	defer cancel()
	if err := p.handOver(ctx); err != nil {
		p.log.Info("the others will elect a leader themselves", "error", err)
	}
}

// shutDown gives back in reverse order what Open got as far as taking. Without
// a goodbye it goes as a peer that is killed does.
func (p *Peer) shutDown(goodbye bool) error {
	var errs []error
	if p.gossip() != nil {
		errs = append(errs, p.gossip().stop(goodbye))
	}
	if p.caller != nil {
		errs = append(errs, p.caller.stop(), p.forwarded.stop())
		p.forwarder.http.CloseIdleConnections()
	}
	if p.raft != nil {
		errs = append(errs, p.stopRaft(ErrClosed))
	}
	close(p.stopped)
	p.watchers.Wait()
	if p.transport != nil {
		p.transport.CloseStreams()
		errs = append(errs, p.transport.Close())
	}
	if p.mux != nil {
		errs = append(errs, p.mux.Close())
	}
	if p.disk != nil {
		errs = append(errs, p.disk.Close())
	}
	if p.lock != nil {
		errs = append(errs, p.lock.Close())
	}
	return errors.Join(errs...)
}

// watchHalt takes a peer that can't apply the log out of the cluster.
func (p *Peer) watchHalt() {
	select {
	case <-p.stopped:
		return
	case <-p.machine.halted:
	}
	halt := p.machine.haltError()
	p.log.Error("this peer stops: it can't apply the log", "error", halt)
	if err := p.stopRaft(halt); err != nil {
		p.log.Warn("raft didn't stop cleanly", "error", err)
	}
	if p.config.Fatal != nil {
		p.config.Fatal(halt)
	}
}
