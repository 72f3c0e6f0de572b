package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
)

// logSegmentBytes is as in the cluster room.
const logSegmentBytes = 16 << 20

// raftNode is one node of bare raft.
type raftNode struct {
	raft      *raft.Raft
	transport *raft.NetworkTransport
	log       *wal.WAL
	meta      *metadb.BoltMetaDB
}

// keeper is the least of a state machine: it keeps the bytes.
type keeper struct{ kept [][]byte }

func (k *keeper) Apply(entry *raft.Log) any { return k.ApplyBatch([]*raft.Log{entry})[0] }

func (k *keeper) ApplyBatch(logs []*raft.Log) []any {
	for _, entry := range logs {
		k.kept = append(k.kept, entry.Data)
	}
	return make([]any, len(logs))
}

func (*keeper) Snapshot() (raft.FSMSnapshot, error) { return nil, raft.ErrNothingNewToSnapshot }
func (*keeper) Restore(source io.ReadCloser) error  { return source.Close() }

func startRaftNode(name, dir string) (_ *raftNode, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	n := &raftNode{meta: &metadb.BoltMetaDB{}}
	if n.log, err = wal.Open(dir, wal.WithLogger(hclog.NewNullLogger()), wal.WithSegmentSize(logSegmentBytes), wal.WithMetaStore(n.meta)); err != nil {
		return nil, err
	}
	if n.transport, err = raft.NewTCPTransportWithLogger("127.0.0.1:0", nil, 3, 10*time.Second, hclog.NewNullLogger()); err != nil {
		return nil, errors.Join(err, n.log.Close(), n.meta.Close())
	}
	config := raft.DefaultConfig()
	config.LocalID, config.Logger, config.NoLegacyTelemetry = raft.ServerID(name), hclog.NewNullLogger(), true
	config.MaxAppendEntries, config.CommitTimeout = 256, 10*time.Millisecond // as in the cluster room
	config.HeartbeatTimeout, config.ElectionTimeout, config.LeaderLeaseTimeout = electAfter, electAfter, electAfter
	if n.raft, err = raft.NewRaft(config, &keeper{}, n.log, n.log, raft.NewInmemSnapshotStore(), n.transport); err != nil {
		return nil, errors.Join(err, n.transport.Close(), n.log.Close(), n.meta.Close())
	}
	return n, nil
}

func (n *raftNode) close() error {
	return errors.Join(n.raft.Shutdown().Error(), n.transport.Close(), n.log.Close(), n.meta.Close())
}

// bareRaft has the clients put all submissions into the log of three nodes, each
// as an entry of its own or grouped, and says how many were committed in a second.
func bareRaft(ctx context.Context, config ClusterConfig, dir string, submissions [][]byte, grouped bool) (rate, cpu float64, err error) {
	var nodes []*raftNode
	defer func() {
		for _, n := range slices.Backward(nodes) {
			err = errors.Join(err, n.close())
		}
	}()
	var servers []raft.Server
	for _, name := range peerNames {
		n, err := startRaftNode(name, filepath.Join(dir, name))
		if err != nil {
			return 0, 0, fmt.Errorf("start bare raft: %w", err)
		}
		nodes = append(nodes, n)
		servers = append(servers, raft.Server{ID: raft.ServerID(name), Address: n.transport.LocalAddr()})
	}
	if err := nodes[0].raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		return 0, 0, fmt.Errorf("start bare raft: %w", err)
	}
	var leader *raft.Raft
	if err := waitFor(ctx, readyTimeout, func() bool {
		for _, n := range nodes {
			if n.raft.State() == raft.Leader && n.raft.Barrier(time.Second).Error() == nil {
				leader = n.raft
			}
		}
		return leader != nil
	}); err != nil {
		return 0, 0, fmt.Errorf("wait for bare raft's leader: %w", err)
	}
	if !grouped {
		return perSecond(config, func(n int) error { return leader.ApplyLog(rawEntry(submissions[n]), applyTimeout).Error() })
	}
	g := startGrouper(leader)
	defer g.stop()
	return perSecond(config, func(n int) error { return g.apply(submissions[n]) })
}

// applyTimeout is how long an entry may wait for raft to take it.
const applyTimeout = 10 * time.Second

// rawEntry is an entry of the bytes that Millrace's has: those and a checksum.
func rawEntry(data []byte) raft.Log {
	return raft.Log{Data: data, Extensions: binary.BigEndian.AppendUint32(nil, crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))}
}

// readSubmissions reads the submissions in a stopped peer's log, also those that
// lie many in an entry.
func readSubmissions(dir string, jobs int) (submissions [][]byte, err error) {
	meta := &metadb.BoltMetaDB{}
	log, err := wal.Open(filepath.Join(dir, peerNames[0], "raft", "log"), wal.WithLogger(hclog.NewNullLogger()),
		wal.WithSegmentSize(logSegmentBytes), wal.WithMetaStore(meta))
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close(), meta.Close()) }()
	first, err := log.FirstIndex()
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	last, err := log.LastIndex()
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	for index := first; index <= last; index++ {
		var entry raft.Log
		if err := log.GetLog(index, &entry); err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		if entry.Type != raft.LogCommand {
			continue
		}
		commands, err := commandsOf(entry.Data)
		if err != nil {
			return nil, fmt.Errorf("read entry %d of the log: %w", index, err)
		}
		for _, command := range commands {
			if bytes.Contains(command, []byte(`"c":"create_job"`)) {
				submissions = append(submissions, bytes.Clone(command))
			}
		}
	}
	if len(submissions) != jobs {
		return nil, fmt.Errorf("the log holds %d submissions, %d were made", len(submissions), jobs)
	}
	return submissions, nil
}

// commandsOf takes an entry of a group apart; any other is one command.
func commandsOf(entry []byte) ([]json.RawMessage, error) {
	var head struct {
		Command string          `json:"c"`
		Data    json.RawMessage `json:"d"`
	}
	if err := json.Unmarshal(entry, &head); err != nil {
		return nil, err
	}
	if head.Command != "group" {
		return []json.RawMessage{entry}, nil
	}
	var commands []json.RawMessage
	if err := json.Unmarshal(head.Data, &commands); err != nil {
		return nil, err
	}
	return commands, nil
}
