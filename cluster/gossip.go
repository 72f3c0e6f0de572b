package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	// Cluster is the ID of the peer's cluster, "" while it is in none; then
	// Expect is how many peers it waits for to form one.
	Cluster string `json:"cluster,omitempty"`
	Expect  int    `json:"expect,omitempty"`
	// Commands is the newest version of the commands that the peer understands.
	Commands int `json:"commands,omitempty"`
}

const (
	// leaveTimeout is how long a stopping peer tries to say goodbye.
	leaveTimeout = time.Second
	// metaTimeout is how long a peer waits for its new identity to be sent out.
	metaTimeout = time.Second
	// reclaimAfter is how long a peer must have been dead before one of the same
	// ID at another address is believed.
	reclaimAfter = time.Second
)

// gossip is this peer's part in the gossip.
type gossip struct {
	list    *memberlist.Memberlist
	keyring *memberlist.Keyring // nil: in the clear
	log     *slog.Logger
	shares  *shares

	mu   sync.Mutex
	self Identity
	meta []byte
	seen map[string]Member // the peers that are alive, by ID
	gone map[string]int    // see understands
}

func startGossip(ctx context.Context, config Config, id string, self Identity, keys [][]byte, shares *shares, logger *slog.Logger) (*gossip, error) {
	host, portText, err := net.SplitHostPort(config.GossipAddr)
	if err != nil {
		return nil, fmt.Errorf("gossip address %q: %w", config.GossipAddr, err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("gossip address %q: %w", config.GossipAddr, err)
	}
	g := &gossip{log: logger.With("part", "gossip"), shares: shares, seen: make(map[string]Member)}
	if _, err := g.describe(self); err != nil {
		return nil, err
	}
	settings := g.settings(id)
	settings.BindAddr, settings.BindPort, settings.AdvertisePort = host, port, port
	if config.Advertise != "" {
		if settings.AdvertiseAddr, err = resolveHost(ctx, config.Advertise); err != nil {
			return nil, fmt.Errorf("start gossip: %w", err)
		}
	}
	if len(keys) > 0 {
		if g.keyring, err = memberlist.NewKeyring(keys, keys[0]); err != nil {
			return nil, fmt.Errorf("gossip keys: %w", err)
		}
		settings.Keyring = g.keyring
	}
	if g.list, err = memberlist.Create(settings); err != nil {
		return nil, fmt.Errorf("start gossip on %s: %w", config.GossipAddr, err)
	}
	return g, nil
}

// resolveHost finds the address of a host, which gossip carries as such. An
// IPv4 one is taken where there are both.
func resolveHost(ctx context.Context, host string) (string, error) {
	addresses, err := net.DefaultResolver.LookupIP(ctx, "ip", host)
	if err != nil {
		return "", fmt.Errorf("find the address to advertise: %w", err)
	}
	for _, address := range addresses {
		if address.To4() != nil {
			return address.String(), nil
		}
	}
	return addresses[0].String(), nil
}

// settings are memberlist's, but for the addresses.
func (g *gossip) settings(id string) *memberlist.Config {
	settings := memberlist.DefaultLANConfig()
	settings.Name = id
	settings.Delegate, settings.Events, settings.Alive, settings.Merge = g, g, g, g
	settings.DeadNodeReclaimTime = reclaimAfter
	settings.Logger = log.New(lineLogger{g.log}, "", 0)
	return settings
}

// describe sets what the peer tells of itself, and says whether that is new.
func (g *gossip) describe(self Identity) (bool, error) {
	meta, err := json.Marshal(self)
	if err != nil {
		return false, fmt.Errorf("encode the peer's identity: %w", err)
	}
	if len(meta) > memberlist.MetaMaxSize {
		return false, fmt.Errorf("the peer's identity has %d bytes, gossip carries %d: shorten its addresses or version", len(meta), memberlist.MetaMaxSize)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	changed := !bytes.Equal(meta, g.meta)
	g.self, g.meta = self, meta
	return changed, nil
}

// announce tells the others who the peer has become.
func (g *gossip) announce(self Identity) error {
	changed, err := g.describe(self)
	if err != nil || !changed {
		return err
	}
	if err := g.list.UpdateNode(metaTimeout); err != nil {
		return fmt.Errorf("tell the peer's new identity: %w", err)
	}
	return nil
}

// useKeys makes keys the gossip's: the first encrypts, all decrypt.
func (g *gossip) useKeys(keys [][]byte) error {
	if slices.EqualFunc(keys, g.keyring.GetKeys(), bytes.Equal) {
		return nil
	}
	for _, key := range keys {
		if err := g.keyring.AddKey(key); err != nil {
			return fmt.Errorf("add a gossip key: %w", err)
		}
	}
	if err := g.keyring.UseKey(keys[0]); err != nil {
		return fmt.Errorf("change the gossip key: %w", err)
	}
	for _, old := range g.keyring.GetKeys() {
		if !slices.ContainsFunc(keys, func(key []byte) bool { return bytes.Equal(key, old) }) {
			if err := g.keyring.RemoveKey(old); err != nil {
				return fmt.Errorf("remove a gossip key: %w", err)
			}
		}
	}
	return nil
}

// stop waits until the listeners are closed; before, it says goodbye, or else
// the others have to notice.
func (g *gossip) stop(goodbye bool) error {
	if goodbye {
		if err := g.list.Leave(leaveTimeout); err != nil {
			g.log.Debug("the goodbye wasn't sent to all", "error", err)
		}
	}
	if err := g.list.Shutdown(); err != nil {
		return fmt.Errorf("stop gossip: %w", err)
	}
	return nil
}

// members lists the peers that gossip believes alive, by ID.
func (g *gossip) members() []Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.SortedFunc(maps.Values(g.seen), func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
}

// member is one of them.
func (g *gossip) member(id string) (Member, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	member, seen := g.seen[id]
	return member, seen
}

// NotifyJoin implements memberlist.EventDelegate. Memberlist's own list is of
// nodes that it goes on changing, so what is seen is copied here.
func (g *gossip) NotifyJoin(node *memberlist.Node) {
	member := Member{ID: node.Name, GossipAddr: node.Address()}
	if err := json.Unmarshal(node.Meta, &member.Identity); err != nil {
		g.log.Warn("a peer tells of itself in words that this one can't read", "peer", node.Name, "error", err)
		return
	}
	g.shares.joined(node.Name)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen[node.Name] = member
}

// NotifyUpdate implements memberlist.EventDelegate.
func (g *gossip) NotifyUpdate(node *memberlist.Node) { g.NotifyJoin(node) }

// NotifyLeave implements memberlist.EventDelegate.
func (g *gossip) NotifyLeave(node *memberlist.Node) {
	g.shares.left(node.Name)
	g.mu.Lock()
	defer g.mu.Unlock()
	if member, seen := g.seen[node.Name]; seen {
		g.remember(member)
	}
	delete(g.seen, node.Name)
}

// Members lists the peers that gossip believes alive, this one among them, by
// ID; nil without gossip. Peers that are in no cluster yet are among them.
func (p *Peer) Members() []Member {
	if p.gossip() == nil {
		return nil
	}
	return slices.DeleteFunc(p.gossip().members(), p.isForeign)
}

// member finds a peer of this cluster, or of none yet, that gossip sees alive.
func (p *Peer) member(id string) (Member, bool) {
	if p.gossip() == nil {
		return Member{}, false
	}
	member, seen := p.gossip().member(id)
	return member, seen && !p.isForeign(member)
}

func (p *Peer) isForeign(m Member) bool {
	cluster := p.Cluster()
	return cluster != "" && m.Cluster != "" && m.Cluster != cluster
}

// foreign refuses a peer of another cluster.
func (g *gossip) foreign(node *memberlist.Node) error {
	var other Identity
	torn := json.Unmarshal(node.Meta, &other) // as of a peer that left; it is shown to nobody
	g.mu.Lock()
	ours := g.self.Cluster
	g.mu.Unlock()
	if torn == nil && ours != "" && other.Cluster != "" && ours != other.Cluster {
		return fmt.Errorf("peer %s is of %w (%s, this peer is of %s)", node.Name, ErrOtherCluster, other.Cluster, ours)
	}
	return nil
}

// NotifyAlive implements memberlist.AliveDelegate: peers of another cluster are
// not seen, even if somebody passes word of them on.
func (g *gossip) NotifyAlive(node *memberlist.Node) error { return g.foreign(node) }

// NotifyMerge implements memberlist.MergeDelegate: whoever joins with peers of
// another cluster in tow is sent away.
func (g *gossip) NotifyMerge(nodes []*memberlist.Node) error {
	for _, node := range nodes {
		if node.State != memberlist.StateAlive {
			continue
		}
		if err := g.foreign(node); err != nil {
			return err
		}
	}
	return nil
}

// NodeMeta implements memberlist.Delegate.
func (g *gossip) NodeMeta(int) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.meta
}

// NotifyMsg implements memberlist.Delegate.
func (g *gossip) NotifyMsg(message []byte) { g.shares.hear(message) }

// GetBroadcasts implements memberlist.Delegate.
func (g *gossip) GetBroadcasts(overhead, limit int) [][]byte { return g.shares.toTell(overhead, limit) }

// LocalState implements memberlist.Delegate.
func (g *gossip) LocalState(bool) []byte { return g.shares.digest() }

// MergeRemoteState implements memberlist.Delegate.
func (g *gossip) MergeRemoteState(state []byte, _ bool) { g.shares.merge(state) }
