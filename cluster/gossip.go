package cluster

import (
	"encoding/json"
	"fmt"
	"log"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
)

// Member is a peer as gossip knows it: a hint, never the truth.
type Member struct {
	ID         string `json:"id"`
	GossipAddr string `json:"gossip_addr"`
	Identity
}

// Identity is what a peer tells of itself with every beat of gossip.
type Identity struct {
	HTTPAddr string `json:"http"`
	RaftAddr string `json:"raft"`
	Version  string `json:"version"`
	Role     string `json:"role"` // "voter" or "worker"
}

// leaveTimeout is how long a stopping peer tries to say goodbye.
const leaveTimeout = time.Second

// gossip is this peer's part in the gossip.
type gossip struct {
	list *memberlist.Memberlist
	meta []byte
}

func startGossip(config Config, id, raftAddr string, logger *slog.Logger) (*gossip, error) {
	host, portText, err := net.SplitHostPort(config.GossipAddr)
	if err != nil {
		return nil, fmt.Errorf("gossip address %q: %w", config.GossipAddr, err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("gossip address %q: %w", config.GossipAddr, err)
	}
	meta, err := json.Marshal(Identity{HTTPAddr: config.HTTPAddr, RaftAddr: raftAddr, Version: config.Version, Role: "voter"})
	if err != nil {
		return nil, fmt.Errorf("encode the peer's identity: %w", err)
	}
	if len(meta) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("the peer's identity has %d bytes, gossip carries %d: shorten its addresses or version", len(meta), memberlist.MetaMaxSize)
	}
	g := &gossip{meta: meta}
	settings := memberlist.DefaultLANConfig()
	settings.Name = id
	settings.BindAddr, settings.BindPort, settings.AdvertisePort = host, port, port
	settings.Delegate = g
	settings.Logger = log.New(lineLogger{logger.With("part", "gossip")}, "", 0)
	if g.list, err = memberlist.Create(settings); err != nil {
		return nil, fmt.Errorf("start gossip on %s: %w", config.GossipAddr, err)
	}
	return g, nil
}

// stop says goodbye and waits until the listeners are closed.
func (g *gossip) stop() error {
	if err := g.list.Leave(leaveTimeout); err != nil {
		return fmt.Errorf("leave the gossip: %w", err)
	}
	if err := g.list.Shutdown(); err != nil {
		return fmt.Errorf("stop gossip: %w", err)
	}
	return nil
}

// Members lists the peers that gossip believes alive, this one among them, by
// ID; nil without gossip.
func (p *Peer) Members() []Member {
	if p.gossip == nil {
		return nil
	}
	var members []Member
	for _, node := range p.gossip.list.Members() {
		member := Member{ID: node.Name, GossipAddr: node.Address()}
		if err := json.Unmarshal(node.Meta, &member.Identity); err != nil {
			p.log.Warn("a peer tells of itself in words that this one can't read", "peer", node.Name, "error", err)
		}
		members = append(members, member)
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return members
}

// NodeMeta implements memberlist.Delegate.
func (g *gossip) NodeMeta(int) []byte { return g.meta }

// NotifyMsg implements memberlist.Delegate: no messages are sent yet.
func (g *gossip) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (g *gossip) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (g *gossip) LocalState(bool) []byte { return nil }

// MergeRemoteState implements memberlist.Delegate.
func (g *gossip) MergeRemoteState([]byte, bool) {}
