package simulator

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"millrace/job"
	"millrace/scheduler"
)

// Result is how one policy did. Times are in seconds of the virtual clock.
type Result struct {
	Policy   string  `json:"policy"`
	Makespan float64 `json:"makespan"`
	// MakespanToBound is against Bounds.Least, which no schedule takes less than: the
	// lower of the two bounds, by a program that may divide ladders between two ways.
	// 0 where the jobs came one by one.
	MakespanToBound float64 `json:"makespan_to_bound,omitempty"`
	// MakespanToWholeBound is against Bounds.LeastWhole, the higher one, where every
	// ladder stays whole. A policy that divides ladders may come below 1.
	MakespanToWholeBound float64 `json:"makespan_to_whole_bound,omitempty"`
	// Utilisation is the program's time to the makespan: the share of the rack's best
	// possible work that was done.
	Utilisation float64 `json:"utilisation"`
	// JainFairness is over the pixels that each organisation had got when half of
	// the program's time was over, while all of them had work left.
	JainFairness float64         `json:"jain_fairness"`
	Attempts     int             `json:"attempts"`
	Lost         int             `json:"lost,omitempty"` // with their nodes
	Orgs         map[string]*Org `json:"organisations"`
	// ShortWaitToAlone is the 99th percentile, over jobs of less than two minutes,
	// of what they waited to the time they take with the rack to themselves.
	ShortWaitToAlone float64 `json:"short_p99_wait_to_alone,omitempty"`
	// EstimateError is the median relative error of the scheduler's estimates.
	EstimateError float64 `json:"estimate_error,omitempty"`
	// PlacementsPerSecond is real: decisions for the time that they took.
	PlacementsPerSecond float64 `json:"placements_per_second"`

	events     int
	deciding   time.Duration
	engine     *scheduler.Engine
	turnaround map[*upload]float64
}

// Org is what an organisation saw.
type Org struct {
	Jobs int `json:"jobs"`
	// MeanWait and P99Wait are from a job's arrival to its first encode.
	MeanWait       float64 `json:"mean_wait"`
	P99Wait        float64 `json:"p99_wait"`
	MeanTurnaround float64 `json:"mean_turnaround"`
	P99Turnaround  float64 `json:"p99_turnaround"`

	work               float64
	waits, turnarounds []float64
}

// Case is a rack and a workload, the same for all policies.
type Case struct {
	Rack     Rack
	Workload Workload
	Seed     uint64

	machines []*machine
	uploads  []*upload
	// learned is a rack that has been at work before: no real one meets its first
	// video in a benchmark.
	learned *scheduler.Engine
	// Bounds are the least times that the work could take.
	Bounds Bounds
}

// NewCase builds a case and finds its bound.
func NewCase(rack Rack, workload Workload, seed uint64) (*Case, error) {
	if err := rack.Validate(); err != nil {
		return nil, err
	}
	if err := workload.Validate(); err != nil {
		return nil, err
	}
	c := &Case{Rack: rack, Workload: workload, Seed: seed}
	c.machines = rack.build(rand.New(rand.NewPCG(seed, 1)))
	c.uploads = workload.build(rand.New(rand.NewPCG(seed, 2)), 0)
	var err error
	if c.Bounds, err = bounds(c.machines, c.uploads); err != nil {
		return nil, fmt.Errorf("find the lower bounds: %w", err)
	}
	if workload.Load > 0 { // spread the same jobs over the time that makes that load
		gap := c.Bounds.Program / workload.Load / float64(workload.Jobs)
		c.uploads = workload.build(rand.New(rand.NewPCG(seed, 2)), gap)
	}
	return c, nil
}

// warmUploads are what the rack has done before the case, for the scheduler to
// learn from.
const warmUploads = 400

// warm lets the scheduler learn from other uploads of the same kind.
func (c *Case) warm(ctx context.Context) error {
	w := c.Workload
	w.Jobs, w.Films = warmUploads, 0
	result, err := c.play(ctx, "millrace", w.build(rand.New(rand.NewPCG(c.Seed, 5)), 0), 0)
	c.learned = result.engine
	return err
}

// Run plays the case with a policy.
func (c *Case) Run(ctx context.Context, name string) (Result, error) {
	if name == "millrace" && c.learned == nil {
		if err := c.warm(ctx); err != nil {
			return Result{}, fmt.Errorf("warm up: %w", err)
		}
	}
	result, err := c.play(ctx, name, c.uploads, c.Workload.Losses)
	if err != nil {
		return result, fmt.Errorf("simulate %s: %w", name, err)
	}
	if c.Workload.Load == 0 {
		result.MakespanToBound = result.Makespan / c.Bounds.Least()
		result.MakespanToWholeBound = result.Makespan / c.Bounds.LeastWhole()
	}
	if c.Workload.Load > 0 && name == "millrace" {
		if result.ShortWaitToAlone, err = c.shortWaits(ctx, name, result.turnaround); err != nil {
			return result, err
		}
	}
	return result, nil
}

func (c *Case) play(ctx context.Context, name string, uploads []*upload, losses int) (Result, error) {
	p, known := newPolicy(name)
	if !known {
		return Result{}, fmt.Errorf("there is no policy %q; use one of %v", name, Policies)
	}
	s := &simulation{
		policy: p, random: rand.New(rand.NewPCG(c.Seed, 3)), split: name == "one-resolution",
		machines: make(map[string]*machine), uploads: make(map[job.ID]*upload), records: make(map[job.ID]*state),
		options: make(map[optionKey][]scheduler.Option), menus: make(map[string]*scheduler.Menu), live: make(map[job.Ref]*attempt), areas: make(map[string]float64),
		unfinished: len(uploads), orgs: make(map[string]*Org), halfAt: c.Bounds.Program / 2,
		result: Result{Policy: name, turnaround: make(map[*upload]float64)},
	}
	for _, m := range c.machines {
		s.machines[m.node.ID] = m
		p.nodeUp(m.node)
	}
	for _, u := range uploads {
		if s.orgs[u.org] == nil {
			s.orgs[u.org] = &Org{}
		}
		s.orgs[u.org].Jobs++
		s.add(event{at: u.at, job: u})
	}
	if e, is := p.(engine); is && c.learned != nil {
		e.Recall(c.learned)
	}
	lost := rand.New(rand.NewPCG(c.Seed, 4))
	for range losses {
		s.add(event{at: lost.Float64() * c.Bounds.Program, down: c.machines[lost.IntN(len(c.machines))]})
	}
	if err := s.run(ctx); err != nil {
		return Result{}, err
	}
	return s.sum(c.Bounds.Program), nil
}

// sum makes the figures of a run that is over.
func (s *simulation) sum(program float64) Result {
	r := s.result
	r.Orgs = s.orgs
	r.Utilisation = finite(program / r.Makespan)
	var shares []float64
	for _, name := range slices.Sorted(maps.Keys(s.orgs)) {
		org := s.orgs[name]
		org.MeanWait, org.P99Wait = mean(org.waits), quantile(sorted(org.waits), 0.99)
		org.MeanTurnaround, org.P99Turnaround = mean(org.turnarounds), quantile(sorted(org.turnarounds), 0.99)
		shares = append(shares, s.halfWork[name])
	}
	r.JainFairness = jain(shares)
	r.PlacementsPerSecond = finite(float64(r.Attempts) / r.deciding.Seconds())
	if e, is := s.policy.(engine); is {
		r.engine = e.Engine
		r.EstimateError, _ = e.EstimateError()
	}
	return r
}

// shortWaits compares what short jobs waited with how long they take alone:
// waiting is all of their time beyond that.
func (c *Case) shortWaits(ctx context.Context, name string, turnaround map[*upload]float64) (float64, error) {
	alone := make(map[string]float64) // by clip and length, which is all that counts
	var ratios []float64
	for _, u := range c.uploads {
		took, ended := turnaround[u]
		if !ended || u.frames > shortSeconds*frameRate {
			continue
		}
		key := fmt.Sprint(u.clip.name, u.frames/(5*frameRate))
		if alone[key] == 0 {
			one := *u
			one.at = 0
			result, err := c.play(ctx, name, []*upload{&one}, 0)
			if err != nil {
				return 0, err
			}
			alone[key] = result.Makespan
		}
		ratios = append(ratios, max(0, took-alone[key])/alone[key])
	}
	return quantile(sorted(ratios), 0.99), nil
}

// shortSeconds is how long a short job's video is at most.
const shortSeconds = 120

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return finite(sum / float64(len(values)))
}

// jain is Jain's index of fairness: 1 when all have the same, 1/n when one has
// everything.
func jain(values []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, v := range values {
		sum += v
		squares += v * v
	}
	return finite(sum * sum / (float64(len(values)) * squares))
}
