package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/raft"
)

// maxBatch is how many commands are put into the log with one fsync.
const maxBatch = 256

// Peer is one member of the cluster. Its methods may be called from any goroutine.
type Peer struct {
	id      string
	config  Config
	log     *slog.Logger
	keyring *Keyring
	gossip  *gossip // nil without a GossipAddr

	machine   *machine
	raft      *raft.Raft
	transport *raft.NetworkTransport
	disk      *raftDisk
	lock      *os.File

	lead leadership

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

// Open starts a peer on its data folder: a folder that is empty becomes a
// cluster of one, any other comes back as it was left, at whatever address. It
// returns before the peer leads; wait with Ready. ctx bounds only the start.
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
	p := &Peer{config: config, machine: newMachine(), stopped: make(chan struct{})}
	p.alive, p.die = context.WithCancel(context.WithoutCancel(ctx))
	p.lead.changed = make(chan struct{})
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
	if p.keyring, err = OpenKeyring(filepath.Join(config.DataDir, keyFile)); err != nil {
		return nil, err
	}
	if err := p.startRaft(ctx); err != nil {
		return nil, err
	}
	if config.GossipAddr != "" {
		if p.gossip, err = startGossip(config, p.id, string(p.transport.LocalAddr()), p.log); err != nil {
			return nil, err
		}
	}
	return p, nil
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
	layer, err := listenRaft(ctx, p.config.RaftAddr)
	if err != nil {
		return err
	}
	p.transport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: layer, MaxPool: raftConnections, Timeout: raftDialTimeout, Logger: logger,
	})
	if err := p.bootstrap(logger); err != nil {
		return err
	}
	notify := make(chan bool, 1)
	config := p.raftConfig(logger)
	config.NotifyCh = notify
	if p.raft, err = raft.NewRaft(config, p.machine, p.disk.log, p.disk.log, p.disk.snapshots, p.transport); err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	p.watchers.Go(func() { p.watchLeadership(notify) })
	p.watchers.Go(p.watchHalt)
	return nil
}

func (p *Peer) raftConfig(logger *raftLogger) *raft.Config {
	config := raft.DefaultConfig()
	config.LocalID = raft.ServerID(p.id)
	config.Logger = logger
	config.HeartbeatTimeout = p.config.HeartbeatTimeout
	config.ElectionTimeout = p.config.ElectionTimeout
	config.LeaderLeaseTimeout = p.config.LeaderLease
	config.SnapshotThreshold = p.config.SnapshotThreshold
	config.SnapshotInterval = p.config.SnapshotInterval
	config.TrailingLogs = p.config.TrailingLogs
	config.MaxAppendEntries = maxBatch
	// Proposals that wait together share an fsync even without a buffer, and a
	// buffer would swallow those that come while raft is shut down.
	config.BatchApplyCh = false
	config.NoLegacyTelemetry = true
	return config
}

// bootstrap makes a cluster of one in a folder that never held a log. The
// marker file tells such a folder from one that has lost its log: starting
// anew there would answer for jobs that it has forgotten.
func (p *Peer) bootstrap(logger *raftLogger) error {
	marker := filepath.Join(p.config.DataDir, startedFile)
	started, err := exists(marker)
	if err != nil {
		return fmt.Errorf("look for an earlier state: %w", err)
	}
	empty, err := p.disk.empty()
	if err != nil {
		return err
	}
	switch {
	case empty && started:
		return fmt.Errorf("%w: its log is gone: restore a backup, or remove the whole folder to begin anew", ErrDamaged)
	case empty:
		alone := raft.Configuration{Servers: []raft.Server{{
			Suffrage: raft.Voter, ID: raft.ServerID(p.id), Address: p.transport.LocalAddr(),
		}}}
		if err := raft.BootstrapCluster(p.raftConfig(logger), p.disk.log, p.disk.log, p.disk.snapshots, p.transport, alone); err != nil {
			return fmt.Errorf("begin a cluster: %w", err)
		}
	case started:
		return nil
	}
	if err := writeDurably(marker, nil); err != nil {
		return fmt.Errorf("note that the log was begun: %w", err)
	}
	return nil
}

// ID is the peer's name, which never changes.
func (p *Peer) ID() string { return p.id }

// RaftAddr is the host:port that raft listens on.
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
// under way are finished first, later ones get ErrClosed. What was acknowledged
// is on disk already, so a peer may as well be killed.
func (p *Peer) Close() error {
	p.close.Do(func() {
		p.die()
		if err := p.shutDown(); err != nil {
			p.closeErr = fmt.Errorf("close the peer: %w", err)
		}
	})
	return p.closeErr
}

// shutDown gives back in reverse order what Open got as far as taking.
func (p *Peer) shutDown() error {
	var errs []error
	if p.gossip != nil {
		errs = append(errs, p.gossip.stop())
	}
	if p.raft != nil {
		errs = append(errs, p.stopRaft(ErrClosed))
	}
	close(p.stopped)
	p.watchers.Wait()
	if p.transport != nil {
		errs = append(errs, p.transport.Close())
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
