package clustertest

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/api/client"
	"millrace/job"
	"millrace/systemtest/rig"
)

var (
	chaosFor  = flag.Duration("chaos.for", 45*time.Second, "how long TestChaos spoils its cluster; the checks after it take as long again")
	chaosSeed = flag.Uint64("chaos.seed", 0, "what TestChaos does, in which order; 0 draws one. When it does it depends on the machine")
)

const (
	// mostOpen bounds the jobs that are under way at once.
	mostOpen = 6
	// fewGoroutines is by how many a peer's goroutines may differ from what they
	// were at the start: connections come and go.
	fewGoroutines = 60
)

func TestChaos(t *testing.T) {
	t.Parallel()
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d for %s", seed, *chaosFor)
	c := formed(t)
	c.completes(c.submit(c.request("first", 4, "240p")), c.output("first"), 4, "240p")
	c.request("", 10, "240p") // the other clip is made before the clients want it
	before := make(map[*peer]int)
	for _, p := range c.peers {
		before[p] = p.goroutines()
	}

	ctx, stop := context.WithTimeout(t.Context(), *chaosFor)
	defer stop()
	clients := &submitters{team: c, random: rand.New(rand.NewPCG(seed, 1))}
	var submitting sync.WaitGroup
	submitting.Go(func() { clients.run(ctx) })
	n := newNemesis(c, seed)
	for ctx.Err() == nil {
		n.strike()
		pause(ctx, n.moment())
		n.relent()
		pause(ctx, n.moment())
	}
	submitting.Wait()
	c.well()

	t.Logf("%d jobs were acknowledged", len(clients.taken))
	ids := make(map[job.ID]bool)
	for _, taken := range clients.taken {
		if ids[taken.id] {
			t.Errorf("job %s was acknowledged for two requests", taken.id)
		}
		ids[taken.id] = true
		c.completes(taken.id, c.output(taken.output), taken.seconds, "240p")
	}
	c.listed(len(ids) + 1) // and the first
	for _, p := range c.peers {
		rig.Eventually(t, p.name+" has nothing left to do", p.idle)
		now := 0
		rig.Eventually(t, p.name+" has no more goroutines than at the start", func() bool {
			now = p.goroutines()
			return now <= before[p]+fewGoroutines
		})
		t.Logf("%s has %d goroutines, %d at the start", p.name, now, before[p])
	}
}

// listed checks how many jobs there are: none was made that nobody asked for.
func (c *team) listed(want int) {
	c.t.Helper()
	c.ask("all jobs are listed", func(ctx context.Context, api *client.Client) error {
		count := 0
		for _, err := range api.Jobs(ctx, client.JobFilter{PageSize: 100}) {
			if err != nil {
				return err
			}
			count++
		}
		if count != want {
			c.t.Errorf("%d jobs are listed, want %d", count, want)
		}
		return nil
	})
}

// submitters post jobs to peers at random and remember which were acknowledged.
type submitters struct {
	team   *team
	random *rand.Rand
	taken  []takenJob
}

type takenJob struct {
	id      job.ID
	output  string
	seconds int
}

// run posts jobs until ctx ends. A request whose outcome isn't known is sent
// again, to other peers, until it is.
func (s *submitters) run(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		for s.open() >= mostOpen && ctx.Err() == nil {
			pause(ctx, 500*time.Millisecond)
		}
		seconds := []int{4, 4, 10}[s.random.IntN(3)]
		output := fmt.Sprintf("chaos-%d", n)
		request := s.team.request(output, seconds, "240p")
		request.IdempotencyKey = output
		s.taken = append(s.taken, takenJob{s.insist(request), output, seconds})
	}
}

// insist sends a request until it is acknowledged, also after the test's time is
// over: by then the cluster is whole again.
func (s *submitters) insist(request client.CreateRequest) job.ID {
	for s.team.t.Context().Err() == nil {
		p := s.team.peers[s.random.IntN(len(s.team.peers))]
		ctx, cancel := context.WithTimeout(s.team.t.Context(), operationTimeout)
		created, err := p.client().CreateJob(ctx, request)
		cancel()
		if err == nil {
			return created.ID
		}
		pause(s.team.t.Context(), 100*time.Millisecond)
	}
	return ""
}

// open counts the acknowledged jobs that some peer, which may be behind, doesn't
// know to have ended.
func (s *submitters) open() int {
	open := 0
	for _, taken := range s.taken[max(0, len(s.taken)-2*mostOpen):] {
		p := s.team.peers[s.random.IntN(len(s.team.peers))]
		ctx, cancel := context.WithTimeout(s.team.t.Context(), time.Second)
		found, err := p.client().Job(ctx, taken.id)
		cancel()
		if err != nil || !found.Status.Terminal() {
			open++
		}
	}
	return open
}

// moment is how long a fault lasts, or its absence.
func (n *nemesis) moment() time.Duration {
	return time.Second + time.Duration(n.random.Int64N(int64(6*time.Second)))
}

// goroutines is how many a peer has now, by its metrics.
func (p *peer) goroutines() int {
	t := p.team.t
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), "go_goroutines "); found {
			count, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			return count
		}
	}
	t.Fatalf("%s says nothing of its goroutines", p.name)
	return 0
}
