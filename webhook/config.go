package webhook

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"millrace/cluster"
)

// State is what a Dispatcher needs of the cluster.
type State interface {
	// Stale is the state as this peer has it; on the leader it has every
	// command whose Propose has returned. It must not block.
	Stale() cluster.View
	// Propose puts a command through raft and returns when it has been applied.
	Propose(ctx context.Context, command cluster.Command) (any, error)
}

// SecretContext is what the secrets of webhooks are sealed for, so that they
// open as nothing else.
const SecretContext = "webhook secret"

// Sealer opens secrets that were sealed under the cluster's key for a context.
type Sealer interface {
	Open(sealed []byte, context string) ([]byte, error)
}

// Limits of one try, and of how many run at once.
const (
	// DefaultTimeout is what Standard Webhooks recommends at most: an endpoint
	// should take the event in and do its work later.
	DefaultTimeout = 30 * time.Second
	// maxResponseBytes is how much of an answer is read so that the connection
	// can be used again; what is longer costs the endpoint its connection.
	maxResponseBytes = 64 << 10
	// triesPerWebhook bounds what a hanging endpoint can hold.
	triesPerWebhook = 4
	// triesPerOrganisation bounds what an organisation with many hanging
	// endpoints can hold; there is no bound over organisations, so that none
	// can hold up another.
	triesPerOrganisation = 64
)

// Config is what a Dispatcher works with. State, Sealer and Client must be
// set; the zero value of each other field means its default.
type Config struct {
	State  State
	Sealer Sealer
	// Client dials. Its transport decides which addresses are allowed; its
	// redirect policy and timeout are replaced.
	Client *http.Client
	// Timeout is for one whole try, from dialling to the end of what is read of
	// the answer. Default: DefaultTimeout.
	Timeout time.Duration
	// Schedule is when failed tries are repeated. Default: DefaultSchedule.
	Schedule Schedule
	// Version is told to endpoints in the User-Agent.
	Version string
	// Now is the clock; time.Now by default.
	Now func() time.Time
	// Jitter spreads retries; a random one by default. Only one goroutine at a
	// time draws from it.
	Jitter *rand.Rand
	// Logger is slog's discarding one by default.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if len(c.Schedule.Pauses) == 0 {
		c.Schedule = DefaultSchedule
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Jitter == nil {
		c.Jitter = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
