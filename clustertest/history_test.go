package clustertest

import (
	"context"
	"errors"
	"math"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"millrace/api/client"
	"millrace/job"
)

// history is what clients did and saw, for porcupine to judge. Registers are
// the URLs of webhooks, which are written by PUT and read by GET, and jobs, which
// are created under an idempotency key, read and cancelled.
type history struct {
	begun time.Time

	mu         sync.Mutex
	operations []porcupine.Operation
	clients    int
}

type kind string

const (
	write  kind = "write"  // a webhook's URL
	read   kind = "read"   // a webhook's URL
	create kind = "create" // a job; the answer is its ID
	look   kind = "look"   // at a job; the answer says whether it is cancelled
	cancel kind = "cancel" // a job; the answer says whether that was news
)

// called is what a client asked for.
type called struct {
	kind     kind
	register string
	value    string // that is written
}

// answered is what it was told. An operation that failed may have happened or
// not, then or at any time after.
type answered struct {
	value   string
	unknown bool
}

func newHistory() *history { return &history{begun: time.Now()} }

// client draws a number for a client. One whose operation has no known end goes
// on under a new number.
func (h *history) client() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients++
	return h.clients - 1
}

// do does an operation and records it; do gives the answer. It says whether the
// outcome is known.
func (h *history) do(client int, in called, do func() (string, error)) (known bool) {
	call := time.Since(h.begun).Nanoseconds() // the clock is monotonic
	value, err := do()
	returned := time.Since(h.begun).Nanoseconds()
	out := answered{value: value}
	if err != nil {
		if in.kind == read || in.kind == look || neverSent(err) {
			return true // it changed nothing
		}
		out, returned = answered{unknown: true}, math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: returned})
	return err == nil
}

// neverSent says whether a request can't have reached a peer.
func neverSent(err error) bool {
	var dial *net.OpError
	return errors.As(err, &dial) && dial.Op == "dial"
}

// registers is the model: what one register may answer. The state of a webhook
// is its URL; that of a job is "" before it is created, then its ID, and its ID
// with a mark when it is cancelled.
var registers = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		parts := make(map[string][]porcupine.Operation)
		for _, operation := range all {
			register := operation.Input.(called).register
			parts[register] = append(parts[register], operation)
		}
		var list [][]porcupine.Operation
		for _, part := range parts {
			list = append(list, part)
		}
		return list
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		return step(state.(string), input.(called), output.(answered))
	},
	DescribeOperation: func(input, output any) string { return text([]any{input, output}) },
}

const cancelledMark = " cancelled"

func step(state string, in called, out answered) (bool, string) {
	isCancelled := len(state) > len(cancelledMark) && state[len(state)-len(cancelledMark):] == cancelledMark
	switch in.kind {
	case write:
		return true, in.value
	case read:
		return out.value == state, state
	case create:
		switch {
		case out.unknown:
			// If it happened, a later create tells its ID: it may be left for then.
			return true, state
		case state == "":
			return true, out.value
		}
		return state == out.value || state == out.value+cancelledMark, state
	case look:
		return state != "" && isCancelled == (out.value == string(job.Cancelled)), state
	case cancel:
		switch {
		case state == "":
			return false, state
		case out.unknown:
			return true, mark(state, isCancelled)
		}
		return isCancelled == (out.value == again), mark(state, isCancelled)
	}
	return false, state
}

func mark(state string, already bool) string {
	if already {
		return state
	}
	return state + cancelledMark
}

// again is what cancelling a second time is answered.
const again = "Job is already cancelled."

// judgeTime bounds the search for an order. It is exponential in operations
// whose outcome isn't known.
const judgeTime = 2 * time.Minute

// judge says whether some order of the operations explains all answers.
func (h *history) judge(t *testing.T) porcupine.CheckResult {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	unknown := 0
	for _, operation := range h.operations {
		if operation.Output.(answered).unknown {
			unknown++
		}
	}
	t.Logf("%d operations were recorded, %d of them with an unknown outcome", len(h.operations), unknown)
	return porcupine.CheckOperationsTimeout(registers, h.operations, judgeTime)
}

// writeURL and readURL are the operations on a webhook.
func (h *history) writeURL(ctx context.Context, client int, api *client.Client, webhook, url string) bool {
	return h.do(client, called{write, webhook, url}, func() (string, error) {
		_, err := api.UpdateWebhook(ctx, webhook, url, "secret")
		return "", err
	})
}

func (h *history) readURL(ctx context.Context, client int, api *client.Client, webhook string) bool {
	return h.do(client, called{read, webhook, ""}, func() (string, error) {
		found, err := api.Webhook(ctx, webhook)
		return found.URL, err
	})
}
