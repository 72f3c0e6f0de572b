package node

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"slices"

	"millrace/api"
	"millrace/cluster"
	"millrace/hwaccel"
)

// clusterView shows the API the cluster as this peer sees it, and changes it
// for the API.
type clusterView struct{ peer *cluster.Peer }

var (
	_ api.ClusterInfo    = clusterView{}
	_ api.ClusterControl = clusterView{}
)

// ClusterStatus implements api.ClusterInfo.
func (c clusterView) ClusterStatus() api.ClusterStatus { return showStatus(c.peer.Status()) }

func showStatus(status cluster.Status) api.ClusterStatus {
	shown := api.ClusterStatus{
		ID: status.Cluster, Term: status.Term,
		Voters: showVoters(status.Voters), Followers: showVoters(status.Followers),
		Peer: api.PeerStatus{
			Member: api.Member{ID: status.ID}, State: status.State,
			Detached: textOrNull(status.Detached), Halted: textOrNull(status.Halted),
			LastIndex: status.LastIndex, CommitIndex: status.CommitIndex, AppliedIndex: status.Applied,
		},
	}
	if status.Leader != "" {
		shown.Leader = &api.Member{ID: status.Leader, Address: status.LeaderHTTPAddr}
	}
	if !status.CertificateExpires.IsZero() {
		shown.Peer.CertificateExpires = &status.CertificateExpires
	}
	for _, node := range showNodes(status) {
		if node.ID == status.ID {
			shown.Peer.Address = node.Address
		}
		if node.Role == api.NodeWorker && node.Alive {
			shown.Workers = append(shown.Workers, api.Member{ID: node.ID, Address: node.Address})
		}
	}
	shown.Healthy = shown.Leader != nil && shown.Peer.Halted == nil && majorityWell(status.Voters)
	return shown
}

func majorityWell(voters []cluster.Voter) bool {
	well := 0
	for _, voter := range voters {
		if voter.Healthy {
			well++
		}
	}
	return 2*well > len(voters)
}

func showVoters(voters []cluster.Voter) []api.Voter {
	shown := make([]api.Voter, 0, len(voters))
	for _, voter := range voters {
		shown = append(shown, api.Voter{Member: api.Member{ID: voter.ID, Address: voter.HTTPAddr}, Healthy: voter.Healthy})
	}
	return shown
}

func textOrNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// Nodes implements api.ClusterInfo.
func (c clusterView) Nodes() []api.Node {
	nodes := showNodes(c.peer.Status())
	shared := make(map[string]cluster.Shared)
	for _, told := range c.peer.Shared() {
		shared[told.ID] = told
	}
	for i := range nodes {
		addTold(&nodes[i], shared[nodes[i].ID])
	}
	return nodes
}

// addTold adds what a node has told of itself. What can't be read, as it may be
// in the middle of an upgrade, isn't shown.
func addTold(node *api.Node, told cluster.Shared) {
	var profile toldProfile
	if json.Unmarshal(told.Profile, &profile) == nil {
		node.Measured, node.Labels, node.Taints, node.WorkHours = &profile.Measured, profile.Labels, profile.Taints, profile.Hours
		for _, device := range profile.Devices {
			node.Devices = append(node.Devices, showDevice(device))
		}
	}
	var load toldLoad
	if json.Unmarshal(told.Load, &load) == nil {
		within := !load.Closed
		node.WithinHours = &within
		node.Load = &api.Load{
			Attempts: load.Attempts, FramesPerSecond: load.FramesPerSecond, CPU: load.CPU,
			MemoryFree: load.MemoryFree, DiskFree: load.DiskFree, Seen: told.LoadSeen,
		}
	}
}

func showDevice(profile hwaccel.Profile) api.Device {
	device := api.Device{
		ID: profile.Device.ID, Kind: string(profile.Device.Kind), Name: profile.Device.Name, Driver: profile.Device.Driver,
		Threads: profile.Room.Threads, Sessions: profile.Room.Sessions,
	}
	for _, encoder := range profile.Encoders {
		device.Encoders = append(device.Encoders, api.Encoder{
			Name: encoder.Encoder, Works: encoder.Works, Reason: textOrNull(encoder.Reason),
			FramesPerSecond: encoder.FramesPerSecond, Sessions: encoder.Sessions, TenBit: encoder.TenBit, JoulesPerFrame: encoder.JoulesPerFrame,
		})
	}
	for _, decoder := range profile.Decoders {
		device.Decoders = append(device.Decoders, api.Decoder{
			Codec: decoder.Codec, API: string(decoder.API), PixelFormat: decoder.PixelFormat,
			Works: decoder.Works, Reason: textOrNull(decoder.Reason), FramesPerSecond: decoder.FramesPerSecond,
		})
	}
	return device
}

// showNodes lists the peers that raft's configuration or the gossip names.
func showNodes(status cluster.Status) []api.Node {
	nodes := make(map[string]*api.Node)
	find := func(id string) *api.Node {
		if nodes[id] == nil {
			nodes[id] = &api.Node{ID: id, Role: api.NodeWorker}
		}
		return nodes[id]
	}
	for _, follower := range status.Followers {
		node := find(follower.ID)
		node.Role, node.Address, node.RaftAddress = api.NodeFollower, follower.HTTPAddr, follower.Address
	}
	for _, voter := range status.Voters {
		node := find(voter.ID)
		node.Role, node.Address, node.RaftAddress = api.NodeVoter, voter.HTTPAddr, voter.Address
	}
	for _, member := range status.Members {
		node := find(member.ID)
		node.Alive, node.Version = true, member.Version
		node.Address, node.RaftAddress, node.GossipAddress = member.HTTPAddr, member.RaftAddr, member.GossipAddr
	}
	find(status.ID).Alive = true // it answers, with gossip or without
	if status.Leader != "" {
		find(status.Leader).Role = api.NodeLeader
	}
	list := make([]api.Node, 0, len(nodes))
	for _, node := range nodes {
		list = append(list, *node)
	}
	slices.SortFunc(list, func(a, b api.Node) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// Probe implements api.ClusterControl.
func (c clusterView) Probe(ctx context.Context, node string) error {
	return c.peer.Call(ctx, node, callProbe, nil, nil)
}

// Remove implements api.ClusterControl.
func (c clusterView) Remove(ctx context.Context, node string) error {
	if err := c.peer.Remove(ctx, node); err != nil {
		return err
	}
	// A leader that can't be told lets the node's lease end.
	_ = leaderCalls(c).expel(ctx, node)
	return nil
}

// Backup implements api.ClusterControl.
func (c clusterView) Backup(ctx context.Context, to io.Writer) error { return c.peer.Backup(ctx, to) }
