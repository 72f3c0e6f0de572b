package api

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"millrace/cluster"
	"millrace/job"
)

// NodeRole is what a node is to the cluster's agreement.
type NodeRole string

// The roles of nodes. All of them work, unless they are drained.
const (
	NodeLeader   NodeRole = "leader"
	NodeVoter    NodeRole = "voter"
	NodeFollower NodeRole = "follower" // holds the log without a vote
	NodeWorker   NodeRole = "worker"   // holds no log
)

// Node is one machine of the cluster. What it has and does comes by gossip and
// may be some seconds old; Draining and Attempts are from the agreed state.
type Node struct {
	ID   string   `json:"id"`
	Role NodeRole `json:"role"`
	// Alive: the gossip sees it.
	Alive    bool `json:"alive"`
	Draining bool `json:"draining"`
	// The addresses are host:port, "" where they aren't known.
	Address       string `json:"address"` // of its API
	RaftAddress   string `json:"raft_address"`
	GossipAddress string `json:"gossip_address"`
	Version       string `json:"version"`
	// Labels are what jobs can require of the node; Taints are labels that they must
	// require to come to it.
	Labels []string `json:"labels"`
	Taints []string `json:"taints"`
	// WorkHours is when it takes work, by its own clock and time zone, as its operator
	// wrote it; "" is always. WithinHours is whether it does now, null while the node
	// hasn't told.
	WorkHours   string `json:"work_hours"`
	WithinHours *bool  `json:"within_work_hours"`
	// Devices are empty until the node has measured them and told so; Measured
	// is when it did, null before.
	Devices  []Device   `json:"devices"`
	Measured *time.Time `json:"measured"`
	Load     *Load      `json:"load"` // null while it isn't known
	// Attempts are those that the node holds, oldest first.
	Attempts []HeldAttempt `json:"attempts"`
}

// Device is a thing that encodes, as trial encodes found it.
type Device struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"` // "cpu", "nvidia", "render"
	Name     string    `json:"name"`
	Driver   string    `json:"driver"`
	Encoders []Encoder `json:"encoders"`
	Decoders []Decoder `json:"decoders"`
	// Threads and Sessions are how much the device can take on at once; 0 is
	// none, or no limit that is known.
	Threads  int `json:"threads"`
	Sessions int `json:"sessions"`
}

// Encoder is how one encoder did on a device.
type Encoder struct {
	Name  string `json:"encoder"`
	Works bool   `json:"works"`
	// Reason says why it doesn't work; null if it does.
	Reason *string `json:"reason"`
	// FramesPerSecond is by rung ("360p"), of one encode with the whole device
	// at work on it.
	FramesPerSecond map[string]float64 `json:"frames_per_second"`
	// Sessions is how many encodes at once the device was seen to do; 0 on a CPU,
	// where its threads bound them.
	Sessions int `json:"sessions"`
	// JoulesPerFrame is by rung what a frame takes of the device's energy, beyond
	// what it draws at rest; null where that can't be measured.
	JoulesPerFrame map[string]float64 `json:"joules_per_frame"`
	TenBit         bool               `json:"ten_bit"` // it works with pictures of 10 bits too
}

// Decoder is how one decoder did on a device.
type Decoder struct {
	Codec           string             `json:"codec"` // ffmpeg's name of it
	API             string             `json:"api"`   // by which the device is driven, "" on a CPU
	PixelFormat     string             `json:"pixel_format"`
	Works           bool               `json:"works"`
	Reason          *string            `json:"reason"` // why it doesn't; null if it does
	FramesPerSecond map[string]float64 `json:"frames_per_second"`
}

// Load is what a node says of its work.
type Load struct {
	Attempts        int     `json:"attempts"`          // that run
	FramesPerSecond float64 `json:"frames_per_second"` // of all of them together
	CPU             float64 `json:"cpu"`               // runnable threads for each one that the node may use, over a minute; 1 is full
	MemoryFree      int64   `json:"memory_free_bytes"`
	DiskFree        int64   `json:"disk_free_bytes"` // of its data folder
	// Seen is when this peer heard it.
	Seen time.Time `json:"seen"`
}

// HeldAttempt is an attempt that a node works on.
type HeldAttempt struct {
	Organisation string       `json:"organisation"`
	Job          job.ID       `json:"job"`
	Task         job.TaskID   `json:"task"`
	Kind         job.TaskKind `json:"kind"`
	Attempt      int          `json:"attempt"`
	Device       string       `json:"device"`
	Encoder      string       `json:"encoder"` // "" where nothing is encoded
	Threads      int          `json:"threads"`
	Since        time.Time    `json:"since"`
	// BackupOf is the slow attempt beside which this one runs, if it is a backup.
	BackupOf int `json:"backup_of,omitempty"`
	// Stopping attempts have been told to stop.
	Stopping bool `json:"stopping"`
}

// nodes lists every node that the peers know, or that the state says something
// of, by ID.
func (s *Server) nodes(view cluster.View) []Node {
	nodes := s.config.Cluster.Nodes()
	at := make(map[string]int, len(nodes))
	for i, node := range nodes {
		at[node.ID] = i
	}
	find := func(id string) *Node {
		i, known := at[id]
		if !known { // away, and perhaps for good
			i, at[id] = len(nodes), len(nodes)
			nodes = append(nodes, Node{ID: id, Role: NodeWorker})
		}
		return &nodes[i]
	}
	for _, state := range view.NodeStates() {
		find(state.ID).Draining = state.Draining
	}
	for record := range view.Unsettled() {
		for _, task := range record.Tasks {
			for attempt := range task.Holders() {
				node := find(attempt.Node)
				node.Attempts = append(node.Attempts, held(record.Job, task, attempt))
			}
		}
	}
	for i := range nodes {
		finish(&nodes[i])
	}
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	return nodes
}

func held(of *job.Job, task *job.Task, attempt *job.Attempt) HeldAttempt {
	return HeldAttempt{
		Organisation: of.Org, Job: of.ID, Task: task.ID, Kind: task.Kind, Attempt: attempt.Number, BackupOf: attempt.BackupOf,
		Device: attempt.Device, Encoder: attempt.Encoder, Threads: attempt.Threads,
		Since: attempt.Started, Stopping: task.State == job.TaskStopping,
	}
}

// finish puts lists in place of nulls and attempts in order.
func finish(node *Node) {
	for _, list := range []*[]string{&node.Labels, &node.Taints} {
		if *list == nil {
			*list = []string{}
		}
	}
	if node.Devices == nil {
		node.Devices = []Device{}
	}
	for i := range node.Devices {
		if node.Devices[i].Encoders == nil {
			node.Devices[i].Encoders = []Encoder{}
		}
		if node.Devices[i].Decoders == nil {
			node.Devices[i].Decoders = []Decoder{}
		}
	}
	if node.Attempts == nil {
		node.Attempts = []HeldAttempt{}
	}
	slices.SortFunc(node.Attempts, func(a, b HeldAttempt) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Job, b.Job), cmp.Compare(a.Task, b.Task))
	})
}

// findNode finds the node that the path names.
func (s *Server) findNode(c *call, view cluster.View) (Node, error) {
	nodes, id := s.nodes(view), c.part("node")
	at, known := slices.BinarySearchFunc(nodes, id, func(n Node, id string) int { return cmp.Compare(n.ID, id) })
	if !known {
		return Node{}, notFound()
	}
	return nodes[at], nil
}

func (s *Server) listNodes(c *call) error {
	wrong := fieldErrors{}
	wanted := parsePage(c.r.URL.Query(), wrong)
	if err := wrong.problem(); err != nil {
		return err
	}
	return writePage(s, c, wanted, s.nodes(c.view), func(n Node) Node { return n })
}

func (s *Server) getNode(c *call) error {
	found, err := s.findNode(c, c.view)
	if err != nil {
		return err
	}
	return s.writeJSON(c, http.StatusOK, found)
}
