package client

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"millrace/job"
)

// ClusterStatus is who is in the cluster and whether they agree, as the peer
// that was asked sees it.
type ClusterStatus struct {
	ID        string   `json:"id"`
	Leader    *Member  `json:"leader"` // nil while there is none
	Term      uint64   `json:"term"`
	Voters    []Voter  `json:"voters"`
	Healthy   bool     `json:"healthy"`   // a leader, and a majority of the voters well
	Followers []Voter  `json:"followers"` // hold the log without a vote
	Workers   []Member `json:"workers"`   // hold no log
	Peer      struct {
		Member
		State              string     `json:"state"`
		Detached           *string    `json:"detached"` // why it isn't in contact with its cluster
		Halted             *string    `json:"halted"`   // why it has stopped for good
		LastIndex          uint64     `json:"last_index"`
		CommitIndex        uint64     `json:"commit_index"`
		AppliedIndex       uint64     `json:"applied_index"`
		CertificateExpires *time.Time `json:"certificate_expires"`
	} `json:"peer"`
}

// Member is one peer; Address is its API's host:port, "" where nobody sees it.
type Member struct {
	ID      string `json:"id"`
	Address string `json:"address"`
}

// Voter is a peer that holds the log.
type Voter struct {
	Member
	Healthy bool `json:"healthy"`
}

// Node is one machine of the cluster.
type Node struct {
	ID            string        `json:"id"`
	Role          string        `json:"role"` // "leader", "voter", "follower", "worker"
	Alive         bool          `json:"alive"`
	Draining      bool          `json:"draining"`
	Address       string        `json:"address"`
	RaftAddress   string        `json:"raft_address"`
	GossipAddress string        `json:"gossip_address"`
	Version       string        `json:"version"`
	Labels        []string      `json:"labels"`            // that jobs can require
	Taints        []string      `json:"taints"`            // that jobs must require to come to it
	WorkHours     string        `json:"work_hours"`        // by its own clock, "" for always
	WithinHours   *bool         `json:"within_work_hours"` // nil while it hasn't told
	Devices       []Device      `json:"devices"`
	Measured      *time.Time    `json:"measured"`
	Load          *Load         `json:"load"`
	Attempts      []HeldAttempt `json:"attempts"`
}

// Device is a thing that encodes.
type Device struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"`
	Name     string    `json:"name"`
	Driver   string    `json:"driver"`
	Encoders []Encoder `json:"encoders"`
	Decoders []Decoder `json:"decoders"`
	Threads  int       `json:"threads"`
	Sessions int       `json:"sessions"`
}

// Encoder is how one encoder did on a device.
type Encoder struct {
	Name            string             `json:"encoder"`
	Works           bool               `json:"works"`
	Reason          *string            `json:"reason"` // why it doesn't work
	FramesPerSecond map[string]float64 `json:"frames_per_second"`
	Sessions        int                `json:"sessions"`
	JoulesPerFrame  map[string]float64 `json:"joules_per_frame"` // nil where it can't be measured
	TenBit          bool               `json:"ten_bit"`
}

// Decoder is how one decoder did on a device.
type Decoder struct {
	Codec           string             `json:"codec"`
	API             string             `json:"api"` // "" on a CPU
	PixelFormat     string             `json:"pixel_format"`
	Works           bool               `json:"works"`
	Reason          *string            `json:"reason"`
	FramesPerSecond map[string]float64 `json:"frames_per_second"`
}

// Load is what a node says of its work.
type Load struct {
	Attempts        int       `json:"attempts"`
	FramesPerSecond float64   `json:"frames_per_second"`
	CPU             float64   `json:"cpu"` // 1 is full
	MemoryFree      int64     `json:"memory_free_bytes"`
	DiskFree        int64     `json:"disk_free_bytes"`
	Seen            time.Time `json:"seen"`
}

// HeldAttempt is an attempt that a node works on.
type HeldAttempt struct {
	Organisation string       `json:"organisation"`
	Job          job.ID       `json:"job"`
	Task         job.TaskID   `json:"task"`
	Kind         job.TaskKind `json:"kind"`
	Attempt      int          `json:"attempt"`
	Device       string       `json:"device"`
	Encoder      string       `json:"encoder"`
	Threads      int          `json:"threads"`
	Since        time.Time    `json:"since"`
	Stopping     bool         `json:"stopping"`
}

func clusterURL(elements ...string) *url.URL {
	return path(append([]string{"api", "v1", "cluster"}, elements...)...).JoinPath("/")
}

// Cluster reads how a peer sees the cluster; it answers without a leader too.
func (c *Client) Cluster(ctx context.Context) (ClusterStatus, error) {
	var status ClusterStatus
	err := c.do(ctx, http.MethodGet, clusterURL(), nil, nil, &status)
	return status, wrap("read the cluster's status", err)
}

// staleQuery asks for what the peer has itself, perhaps behind, if stale.
func staleQuery(stale bool) url.Values {
	if stale {
		return url.Values{"consistency": {"stale"}}
	}
	return url.Values{}
}

// Nodes lists the cluster's nodes, by ID. Stale has the peer tell what it knows
// itself, also without a leader.
func (c *Client) Nodes(ctx context.Context, stale bool) iter.Seq2[Node, error] {
	query := staleQuery(stale)
	query.Set("page_size", "100")
	return pages[Node](ctx, c, clusterURL("nodes"), query)
}

// Node reads a node.
func (c *Client) Node(ctx context.Context, id string, stale bool) (Node, error) {
	var found Node
	address := clusterURL("nodes", id)
	address.RawQuery = staleQuery(stale).Encode()
	err := c.do(ctx, http.MethodGet, address, nil, nil, &found)
	return found, wrap("read node "+id, err)
}

// Drain gives a node nothing new to do; what it runs goes on.
func (c *Client) Drain(ctx context.Context, id string) (Node, error) {
	return c.changeNode(ctx, id, "drain")
}

// Resume lets a drained node work again.
func (c *Client) Resume(ctx context.Context, id string) (Node, error) {
	return c.changeNode(ctx, id, "resume")
}

// Probe has a node measure its devices again, without waiting for that: when
// it is done, Measured changes.
func (c *Client) Probe(ctx context.Context, id string) (Node, error) {
	return c.changeNode(ctx, id, "probe")
}

func (c *Client) changeNode(ctx context.Context, id, change string) (Node, error) {
	var changed Node
	err := c.postTwice(ctx, clusterURL("nodes", id, change), nil, &changed)
	return changed, wrap(change+" node "+id, err)
}

// RemoveNode takes a node out of the cluster for good; one that is up, only
// with force.
func (c *Client) RemoveNode(ctx context.Context, id string, force bool) error {
	address := clusterURL("nodes", id)
	address.RawQuery = url.Values{"force": {strconv.FormatBool(force)}}.Encode()
	return wrap("remove node "+id, c.do(ctx, http.MethodDelete, address, nil, nil, nil))
}

// Backup writes the whole state to a writer. What was written before an error
// is no backup.
func (c *Client) Backup(ctx context.Context, to io.Writer) error {
	response, err := c.send(ctx, http.MethodGet, clusterURL("backup"), nil, nil, true)
	if err != nil {
		return fmt.Errorf("back up the cluster: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("back up the cluster: %w", readProblem(response, response.Body))
	}
	if _, err := io.Copy(to, response.Body); err != nil {
		return fmt.Errorf("back up the cluster: %w", err)
	}
	return nil
}
