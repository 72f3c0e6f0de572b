package simulator

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"millrace/job"
	"millrace/scheduler"
)

// simulation is one policy's run of a workload on a rack.
type simulation struct {
	policy   policy
	random   *rand.Rand
	machines map[string]*machine
	uploads  map[job.ID]*upload
	records  map[job.ID]*state
	options  map[optionKey][]scheduler.Option
	menus    map[string]*scheduler.Menu // by kind of node
	areas    map[string]float64         // pixels of a ladder
	split    bool                       // a task for each rendition

	now        float64
	events     events
	live       map[job.Ref]*attempt
	unfinished int

	result Result
	orgs   map[string]*Org
	// busy is how much of each resource kind was used, in seconds of the rack.
	halfWork map[string]float64
	halfAt   float64
}

// state is a job with its tasks, and which of them the policy has heard of.
type state struct {
	record job.Record
	index  map[job.TaskID]int
	open   int // tasks that the package task waits for
	first  float64
	began  bool
}

// attempt is one under way.
type attempt struct {
	ref     job.Ref
	machine *machine
	upload  *upload
	work    float64 // pixels of output
	started float64
}

// event is an arrival, the end of an attempt, or a node that goes or comes back.
type event struct {
	at    float64
	order int
	job   *upload
	ref   job.Ref
	down  *machine
	up    *machine
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (s *simulation) add(e event) {
	s.result.events++
	e.order = s.result.events
	heap.Push(&s.events, e)
}

// optionKey is a work on a kind of node.
type optionKey struct {
	kind string
	work scheduler.Work
}

// run plays all events. It is the leader's loop: take what happened into the
// state, tell the policy, put its decisions into the state.
func (s *simulation) run(ctx context.Context) error {
	for len(s.events) > 0 {
		if s.result.events%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		e := heap.Pop(&s.events).(event)
		s.now = e.at
		// Arrivals at one moment are one step.
		s.take(e)
		for len(s.events) > 0 && s.events[0].at == e.at {
			s.take(heap.Pop(&s.events).(event))
		}
		started := time.Now()
		placed := s.policy.decide(at(s.now))
		s.result.deciding += time.Since(started)
		for _, a := range placed {
			if err := s.start(a); err != nil {
				return err
			}
		}
		if s.unfinished == 0 {
			return nil
		}
	}
	if s.unfinished > 0 {
		return fmt.Errorf("%d jobs never ended: nothing runs, and nothing more happens", s.unfinished)
	}
	return nil
}

func (s *simulation) take(e event) {
	switch {
	case e.job != nil:
		s.arrive(e.job)
	case e.down != nil:
		s.lose(e.down)
	case e.up != nil:
		s.policy.nodeUp(e.up.node)
	default:
		s.end(e.ref)
	}
}

func (s *simulation) arrive(u *upload) {
	st := &state{index: make(map[job.TaskID]int)}
	s.records[u.id], s.uploads[u.id] = st, u
	s.apply(st, job.New(u.id, u.org, job.Spec{Codec: job.H264}, at(s.now)))
	s.policy.setJob(scheduler.Job{ID: u.id, Org: u.org, Queued: at(u.at)})
	s.queue(st, st.record.Tasks[0])
}

// apply puts a change into a record as the cluster's state machine does.
func (s *simulation) apply(st *state, change job.Change) {
	if change.Job != nil {
		st.record.Job = change.Job
	}
	for _, task := range change.Tasks {
		i, known := st.index[task.ID]
		if !known {
			st.index[task.ID] = len(st.record.Tasks)
			st.record.Tasks = append(st.record.Tasks, task)
			continue
		}
		st.record.Tasks[i] = task
	}
}

// queue tells the policy of a task that is ready.
func (s *simulation) queue(st *state, task *job.Task) {
	work, frames := s.describe(st, task)
	s.policy.queue(scheduler.Task{Job: task.Job, Task: task.ID, Attempt: task.NextAttempt(), Work: work, Frames: frames})
}

func (s *simulation) describe(st *state, task *job.Task) (scheduler.Work, int64) {
	u := s.uploads[task.Job]
	switch task.Kind {
	case job.EncodeTask:
		var renditions []job.Rendition
		for _, r := range st.record.Job.Plan.Renditions {
			for _, name := range task.Renditions {
				if r.Name == name {
					renditions = append(renditions, r)
				}
			}
		}
		work := u.work(task.Kind, renditions)
		work.Encoders = renditions[0].Encoder
		return work, task.Chunk.Frames.Len()
	case job.AudioTask:
		return u.work(task.Kind, nil), u.frames
	}
	return u.work(task.Kind, nil), 1
}

// start puts a decision into the state and finds out how long it will take.
func (s *simulation) start(a scheduler.Assignment) error {
	st, m := s.records[a.Job], s.machines[a.Node]
	change, err := st.record.Start(a.Assignment, at(s.now))
	if err != nil {
		return fmt.Errorf("the policy's decision is refused: %w", err)
	}
	s.apply(st, change)
	task := st.record.Tasks[st.index[a.Task]]
	work, frames := s.describe(st, task)
	seconds, err := s.truth(m, work, frames, a, s.uploads[a.Job])
	if err != nil {
		return err
	}
	if !st.began && task.Kind == job.EncodeTask {
		st.began, st.first = true, s.now
	}
	s.result.Attempts++
	ref := job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}
	s.live[ref] = &attempt{ref: ref, machine: m, upload: s.uploads[a.Job], work: s.pixels(work) * float64(frames), started: s.now}
	s.add(event{at: s.now + seconds, ref: ref})
	return nil
}

// pixels is a frame's pixels in all renditions.
func (s *simulation) pixels(work scheduler.Work) float64 {
	if known, is := s.areas[work.Ladder]; is {
		return known
	}
	sum := 0.0
	for size := range strings.SplitSeq(work.Ladder, ",") {
		var w, h int
		if _, err := fmt.Sscanf(size, "%dx%d", &w, &h); err == nil {
			sum += float64(w * h)
		}
	}
	s.areas[work.Ladder] = sum
	return sum
}

// end takes an attempt's result into the state.
func (s *simulation) end(ref job.Ref) {
	a := s.live[ref]
	if a == nil {
		return // lost with its node
	}
	delete(s.live, ref)
	st := s.records[ref.Job]
	task := st.record.Tasks[st.index[ref.Task]]
	took := time.Duration((s.now - a.started) * float64(time.Second))
	s.policy.ended(ref, took)
	if task.Kind == job.InspectTask {
		s.plan(st, ref)
		return
	}
	change, err := st.record.Finish(ref, job.Result{}, at(s.now))
	if err != nil {
		panic(err) // the simulator's own mistake
	}
	s.apply(st, change)
	s.orgs[a.upload.org].work += a.work
	if s.halfWork == nil && s.now >= s.halfAt {
		s.halfWork = make(map[string]float64)
		for name, org := range s.orgs {
			s.halfWork[name] = org.work
		}
	}
	if task.Kind == job.PackageTask {
		s.done(st, a.upload)
		return
	}
	if st.open--; st.open == 0 {
		s.queue(st, st.record.Tasks[st.index[job.TaskID(job.PackageTask)]])
	}
}

// plan cuts an inspected upload for the rack as it is, as the leader does.
func (s *simulation) plan(st *state, ref job.Ref) {
	u := s.uploads[ref.Job]
	plan := u.plan()
	outlook := s.policy.outlook(u.id, u.work(job.EncodeTask, plan.Renditions), u.frames)
	arranged, err := scheduler.Arrange(plan, outlook)
	if err != nil {
		panic(err)
	}
	plan = arranged.Plan
	for i, encoder := range arranged.Encoders { // or any, where the policy chooses with the first chunk
		plan.Renditions[i].Encoder = encoder
	}
	tasks := job.PlanTasks(ref.Job, job.Spec{Codec: job.H264}, plan, arranged.Whole...)
	if s.split {
		tasks = splitTasks(tasks)
	}
	change, err := st.record.Adopt(ref, plan, tasks, at(s.now))
	if err != nil {
		panic(err)
	}
	s.apply(st, change)
	s.policy.setJob(scheduler.Job{ID: u.id, Org: u.org, Queued: at(u.at), Frames: u.frames, Started: true})
	for _, task := range st.record.Tasks {
		if task.Kind == job.EncodeTask || task.Kind == job.AudioTask {
			st.open++
			s.queue(st, task)
		}
	}
}

// splitTasks makes a task of each rendition of each chunk, as tools do that
// know resolutions but no ladders.
func splitTasks(tasks []job.Task) []job.Task {
	var list []job.Task
	for _, task := range tasks {
		if task.Kind != job.EncodeTask {
			list = append(list, task)
			continue
		}
		for _, name := range task.Renditions {
			one := task
			one.ID, one.Renditions = task.ID+job.TaskID("-"+name), []string{name}
			list = append(list, one)
		}
	}
	return list
}

func (s *simulation) done(st *state, u *upload) {
	s.unfinished--
	s.policy.jobEnded(u.id)
	org := s.orgs[u.org]
	org.waits = append(org.waits, st.first-u.at)
	org.turnarounds = append(org.turnarounds, s.now-u.at)
	s.result.turnaround[u] = s.now - u.at
	s.result.Makespan = max(s.result.Makespan, s.now)
	delete(s.records, u.id)
}

// lose ends what runs on a node that died; the node comes back later.
func (s *simulation) lose(m *machine) {
	s.policy.nodeDown(m.node.ID)
	var lost []*attempt
	for _, a := range s.live {
		if a.machine == m {
			lost = append(lost, a)
		}
	}
	// The same seed gives the same run.
	slices.SortFunc(lost, func(a, b *attempt) int {
		return cmp.Or(cmp.Compare(a.ref.Job, b.ref.Job), cmp.Compare(a.ref.Task, b.ref.Task))
	})
	for _, a := range lost {
		st := s.records[a.ref.Job]
		change, err := st.record.Lose(a.ref, job.OutcomeLost, "the node died", at(s.now))
		if err != nil {
			panic(err)
		}
		delete(s.live, a.ref)
		s.policy.ended(a.ref, 0)
		s.apply(st, change)
		s.result.Lost++
		s.queue(st, st.record.Tasks[st.index[a.ref.Task]])
	}
	s.add(event{at: s.now + 120, up: m})
}

// finite says whether a figure can be shown.
func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return x
}
