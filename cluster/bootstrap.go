package cluster

import (
	"fmt"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// bootstrap looks at what the folder holds: it makes a cluster of one in a
// folder that never held a log, if the peer is to be one. The marker file tells
// such a folder from one that has lost its log: starting anew there would
// answer for jobs that it has forgotten.
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
	cluster, err := loadClusterID(p.config.DataDir)
	if err != nil {
		return err
	}
	if cluster != "" {
		p.cluster.Store(&cluster)
	}
	alone := p.config.alone() && cluster == "" && p.pledge == nil
	if err := p.openKeyring(alone || !empty); err != nil {
		return err
	}
	switch {
	case empty && started:
		return fmt.Errorf("%w: its log is gone: restore a backup, or remove the whole folder to begin anew", ErrDamaged)
	case empty && !alone:
		return nil // seek finds a cluster
	case empty:
		configuration := raft.Configuration{Servers: []raft.Server{{
			Suffrage: raft.Voter, ID: raft.ServerID(p.id), Address: p.transport.LocalAddr(),
		}}}
		if err := raft.BootstrapCluster(p.raftConfig(logger), p.disk.log, p.disk.log, p.disk.snapshots, p.transport, configuration); err != nil {
			return fmt.Errorf("begin a cluster: %w", err)
		}
	}
	if !empty && !started && cluster != "" {
		return nil // seek finds out whether it has been let in
	}
	if cluster == "" { // of one, new or from before clusters had IDs
		if err := p.belong(newClusterID()); err != nil {
			return err
		}
	}
	p.started = true
	if started {
		return nil
	}
	if err := writeDurably(marker, nil); err != nil {
		return fmt.Errorf("note that the log was begun: %w", err)
	}
	return nil
}
