package api

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace/cluster"
	"millrace/job"
	"millrace/storage"
	"millrace/webhook"
)

// State is the cluster's agreed state, as one peer reaches it.
type State interface {
	// Propose commits a command and returns what it answers (see each
	// command). It may be called from any goroutine and blocks until the
	// command is applied or ctx ends; after an error of ctx the command may
	// still be applied.
	Propose(ctx context.Context, command cluster.Command) (any, error)
	// View is the state with every write that was acknowledged before the
	// call. It fails with cluster.ErrNoLeader where that can't be proved.
	View(ctx context.Context) (cluster.View, error)
	// Stale is the state as this peer has it, perhaps behind. It doesn't block.
	Stale() cluster.View
}

// ProgressSource knows how far running jobs have come, and what others wait for.
type ProgressSource interface {
	// Progress is false for a job of which nothing is known. It must not
	// block: it is called for every job of a list.
	Progress(id job.ID) (job.Progress, bool)
	// Refresh brings what Progress answers up to date, where another peer has to
	// be asked for it; it is called before running jobs are shown. It returns
	// within a second, and soon when ctx ends, whether it could ask or not.
	Refresh(ctx context.Context)
	// Moved lists the running jobs whose progress may not be what it was at a mark
	// that it gave before, and gives the next; of the zero mark, or one of another
	// source, it lists all. It must not block.
	Moved(since ProgressMark) ([]job.ID, ProgressMark)
}

// ProgressMark is a moment in what a source of progress has told.
type ProgressMark struct {
	Source  string `json:"source,omitempty"` // as it likes
	Version uint64 `json:"version,omitempty"`
}

// Sealer encrypts secrets under the cluster's key, so that the state, its log
// and its snapshots hold none in the clear. The context is bound to the
// ciphertext: what was sealed for one place can't be opened as another's.
type Sealer interface {
	Seal(plain []byte, context string) ([]byte, error)
	Open(sealed []byte, context string) ([]byte, error)
}

// Locations decides whether this cluster reads and writes at a location that
// parses; what it refuses, it refuses in a sentence for the client. It must
// not connect anywhere.
type Locations interface {
	CheckInput(storage.Location) error
	CheckOutput(storage.Location) error
}

// ClusterInfo tells how this peer sees the cluster. It must not block: it is
// asked most when little else works.
type ClusterInfo interface {
	ClusterStatus() ClusterStatus
	// Nodes lists every machine that raft's configuration or the gossip names,
	// by ID. Of each Node the API itself fills in what the state holds:
	// Draining and Attempts.
	Nodes() []Node
}

// ClusterControl changes the cluster. Its methods may be called from any
// goroutine and end with ctx.
type ClusterControl interface {
	// Probe has a node measure its devices again and doesn't wait for the result.
	Probe(ctx context.Context, node string) error
	// Remove takes a peer out of the cluster for good; cluster.ErrNotFound for
	// one that holds no log.
	Remove(ctx context.Context, node string) error
	// Backup writes the whole state. What was written before an error is no backup.
	Backup(ctx context.Context, to io.Writer) error
}

// Config is what a Server is made of. State and Sealer are needed; every other
// zero value means the default that its comment names.
type Config struct {
	State    State
	Sealer   Sealer
	Progress ProgressSource // default: nothing is known
	// Explain says why a job's tasks run where they do or why they wait, by the
	// leader, wherever it is. Default: nothing is known.
	Explain   func(ctx context.Context, id job.ID) ([]job.Placement, error)
	Locations Locations      // default: every location that parses
	Cluster   ClusterInfo    // default: /api/v1/cluster/ says that nothing is known
	Control   ClusterControl // default: refuses everything
	// Elsewhere gives what answers in this peer's place while it has no state
	// of its own, nil while it has. Default: it always has.
	Elsewhere func() http.Handler
	// Operator is the organisation whose keys may see and manage the cluster;
	// default "default", which a cluster's first start makes.
	Operator string
	// Ready says why jobs aren't taken now, nil when they are; it is asked by
	// /readyz besides the state. Default: always ready.
	Ready func(context.Context) error

	// Collectors are shown at /metrics besides the API's own.
	Collectors []prometheus.Collector

	Now     func() time.Time // default time.Now
	Random  io.Reader        // cryptographic; default crypto/rand
	Logger  *slog.Logger     // default: discards
	Version string           // shown to whoever asks; default "dev"

	// RequestTimeout is how long one request may take, streams excepted;
	// default 15 s: above the cluster's longest election.
	RequestTimeout time.Duration
	// BodyTimeout is how long the bytes of one request may take to come, and
	// those of its answer to go, streams excepted; default 30 s: 1 MiB at
	// 280 kbit/s.
	BodyTimeout time.Duration
	// CreateRate is how many jobs an organisation may create per second over
	// time, CreateBurst how many at once; default 100 and 1,000. More is
	// answered by 429.
	CreateRate  float64
	CreateBurst int
	// MaxStreams is how many event streams this peer serves, half of them for
	// one organisation at most; default 4,096, which take some 100 MB.
	MaxStreams int
	// Heartbeat is the longest silence of an event stream; default 15 s, below
	// the 30 to 60 s after which common proxies cut a silent connection.
	Heartbeat time.Duration
	// EventInterval is the shortest time between two looks at the state for
	// streams, and so how late an event may be; default 200 ms.
	EventInterval time.Duration
	// ProgressInterval is how often progress is sent; default 1 s.
	ProgressInterval time.Duration
}

func (c Config) withDefaults() (Config, error) {
	if c.State == nil || c.Sealer == nil {
		return c, errors.New("the API needs a state and a sealer")
	}
	if c.Progress == nil {
		c.Progress = noProgress{}
	}
	if c.Locations == nil {
		c.Locations = anywhere{}
	}
	if c.Cluster == nil {
		c.Cluster = unknownCluster{}
	}
	if c.Control == nil {
		c.Control = unknownCluster{}
	}
	if c.Elsewhere == nil {
		c.Elsewhere = func() http.Handler { return nil }
	}
	setDefault(&c.Operator, "default")
	if c.Ready == nil {
		c.Ready = func(context.Context) error { return nil }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&c.Version, "dev")
	setDefault(&c.RequestTimeout, 15*time.Second)
	setDefault(&c.BodyTimeout, 30*time.Second)
	setDefault(&c.CreateRate, 100)
	setDefault(&c.CreateBurst, 1000)
	setDefault(&c.MaxStreams, 4096)
	setDefault(&c.Heartbeat, 15*time.Second)
	setDefault(&c.EventInterval, 200*time.Millisecond)
	setDefault(&c.ProgressInterval, time.Second)
	return c, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

type noProgress struct{}

func (noProgress) Progress(job.ID) (job.Progress, bool) { return job.Progress{}, false }
func (noProgress) Refresh(context.Context)              {}
func (noProgress) Moved(since ProgressMark) ([]job.ID, ProgressMark) {
	return nil, since
}

type anywhere struct{}

func (anywhere) CheckInput(storage.Location) error  { return nil }
func (anywhere) CheckOutput(storage.Location) error { return nil }

type unknownCluster struct{}

var errNoControl = errors.New("this API was made without a way to the cluster's peers")

func (unknownCluster) ClusterStatus() ClusterStatus            { return ClusterStatus{} }
func (unknownCluster) Nodes() []Node                           { return nil }
func (unknownCluster) Probe(context.Context, string) error     { return errNoControl }
func (unknownCluster) Remove(context.Context, string) error    { return errNoControl }
func (unknownCluster) Backup(context.Context, io.Writer) error { return errNoControl }

// The contexts that secrets are sealed in; whoever opens them needs the same.
const (
	InputContext  = "job input"           // job.Spec.Input.Sealed
	OutputContext = "job output"          // job.Spec.Output.Sealed
	SecretContext = webhook.SecretContext // cluster.Webhook.Secret and PreviousSecret
)
