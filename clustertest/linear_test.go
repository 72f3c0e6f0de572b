package clustertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"millrace/api/client"
	"millrace/job"
	"millrace/systemtest/rig"
)

const (
	registerCount    = 3
	clientsPerPeer   = 2
	operationTimeout = 5 * time.Second
	// clientPause keeps a history short enough to be judged.
	clientPause = 25 * time.Millisecond
	// unknownPause bounds how many operations have no known end.
	unknownPause = time.Second
)

// register makes a webhook for clients to write and read. Deliveries to it go
// nowhere that matters.
func (c *team) register(h *history) string {
	c.t.Helper()
	sink := rig.Listen(c.t, c.lab.Hub()+":0", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	var id string
	api := c.leader().client()
	made, err := api.CreateWebhook(c.t.Context(), sink.URL+"/0", "secret")
	if err != nil {
		c.t.Fatal(err)
	}
	id = made.ID
	if !h.writeURL(c.t.Context(), h.client(), api, id, sink.URL+"/first") {
		c.t.Fatal("the first value of a register could not be written")
	}
	return id
}

func TestReadsAndWritesOnAllPeersAreOneHistoryWhateverFails(t *testing.T) {
	t.Parallel()
	c := newTeam(t, 3)
	c.form()
	for _, p := range c.living() {
		c.drain(p) // so that jobs change only by what clients do
	}
	h := newHistory()
	var webhooks []string
	for range registerCount {
		webhooks = append(webhooks, c.register(h))
	}
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for _, p := range c.peers {
		for range clientsPerPeer {
			clients.Go(func() { c.play(ctx, h, p.client(), webhooks) })
		}
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	n := newNemesis(c, seed)
	for range 8 {
		n.strike()
		rig.Pass(t, 2*time.Second)
		n.relent()
		rig.Pass(t, 2*time.Second)
	}
	c.well()
	rig.Pass(t, time.Second) // a history ends with a cluster that is well
	stop()
	clients.Wait()
	if verdict := h.judge(t); verdict != porcupine.Ok {
		t.Errorf("the history is not linearizable: porcupine says %s", verdict)
	}
}

// play is a client of one peer: it reads and writes webhooks, and creates, reads
// and cancels jobs, until ctx ends.
func (c *team) play(ctx context.Context, h *history, api *client.Client, webhooks []string) {
	me := h.client()
	jobs := &jobRegisters{team: c, history: h}
	for ctx.Err() == nil {
		// An operation that has begun is let come to its end.
		operation, cancel := context.WithTimeout(context.WithoutCancel(ctx), operationTimeout)
		webhook := webhooks[rand.IntN(len(webhooks))]
		var known bool
		switch choice := rand.IntN(10); {
		case choice < 3:
			known = h.writeURL(operation, me, api, webhook, fmt.Sprintf("http://%s/%d", c.lab.Hub(), values.Add(1)))
		case choice < 7:
			known = h.readURL(operation, me, api, webhook)
		default:
			known = jobs.step(operation, me, api)
		}
		cancel()
		if known {
			pause(ctx, clientPause)
		} else {
			me = h.client()
			pause(ctx, unknownPause)
		}
	}
}

// values makes every written value another.
var values atomic.Int64

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// jobRegisters goes through the life of one job after the other, and comes back
// to earlier ones.
type jobRegisters struct {
	team    *team
	history *history
	key     string
	id      job.ID
}

func (r *jobRegisters) step(ctx context.Context, me int, api *client.Client) bool {
	if r.key == "" || rand.IntN(10) == 0 {
		r.key, r.id = fmt.Sprintf("register-%d", values.Add(1)), ""
	}
	if r.id == "" || rand.IntN(4) == 0 {
		return r.history.do(me, called{create, r.key, ""}, func() (string, error) {
			made, err := api.CreateJob(ctx, client.CreateRequest{
				InputURL: "https://example.com/video.mp4", Resolutions: []string{"240p"}, IdempotencyKey: r.key,
				OutputPath: "file://" + filepath.Join(r.team.outputs, r.key) + "/",
			})
			if err == nil {
				r.id = made.ID
			}
			return string(made.ID), err
		})
	}
	if rand.IntN(3) == 0 {
		return r.history.do(me, called{cancel, r.key, ""}, func() (string, error) { return api.Cancel(ctx, r.id) })
	}
	return r.history.do(me, called{look, r.key, ""}, func() (string, error) {
		found, err := api.Job(ctx, r.id)
		return string(found.Status), err
	})
}

func TestAStaleReadThatIsPassedAsFreshIsFoundOut(t *testing.T) {
	for _, build := range []struct {
		name string
		tags []string
		want porcupine.CheckResult
	}{
		{"as it is built", nil, porcupine.Ok},
		{"broken on purpose", []string{"millrace_broken_reads"}, porcupine.Illegal},
	} {
		t.Run(build.name, func(t *testing.T) {
			t.Parallel()
			program := rig.Binary()
			if build.tags != nil {
				program = filepath.Join(t.TempDir(), "millrace")
				if err := rig.Build(t.Context(), program, build.tags...); err != nil {
					t.Fatal(err)
				}
			}
			c := newTeam(t, 3)
			for _, p := range c.peers {
				p.binary = program
			}
			c.form()
			h := newHistory()
			webhook := c.register(h)
			c.well()
			cutOff := c.others(c.leader())[0]
			h.readURL(t.Context(), h.client(), cutOff.client(), webhook)
			c.lab.Split(hosts(cutOff), hosts(c.others(cutOff)...))
			writer := h.client()
			c.through(c.others(cutOff)...).ask("a value is written", func(ctx context.Context, api *client.Client) error {
				if !h.writeURL(ctx, writer, api, webhook, fmt.Sprintf("http://%s/%d", c.lab.Hub(), values.Add(1))) {
					return &client.Problem{Status: http.StatusServiceUnavailable, Detail: "the outcome isn't known"}
				}
				return nil
			})
			for range 5 {
				ctx, cancel := context.WithTimeout(t.Context(), operationTimeout)
				h.readURL(ctx, h.client(), cutOff.client(), webhook)
				cancel()
			}
			if verdict := h.judge(t); verdict != build.want {
				t.Errorf("porcupine says %s, want %s", verdict, build.want)
			}
		})
	}
}
