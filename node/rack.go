package node

import (
	"maps"
	"slices"
	"time"

	"millrace/cluster"
	"millrace/job"
	"millrace/scheduler"
)

// rack keeps the scheduler's engine in step with the agreed state and with the
// workers' polls. It is made anew for each term of leadership, and whenever a
// proposal's fate isn't known: all that it keeps follows from the state.
type rack struct {
	engine  *scheduler.Engine
	jobs    map[job.ID]*jobSeen
	again   map[job.ID]bool // to be looked at though they haven't changed
	begun   bool            // it has looked at all of them once
	nodes   map[string]nodeSeen
	orgs    map[string]scheduler.Org // as the engine was told
	minutes map[string]int           // that each organisation has each day
	// letBegin are the runs of jobs that were let begin to encode and haven't yet.
	letBegin map[job.ID]int
}

// nodeSeen is what the engine was told of a node: a worker's report never changes.
type nodeSeen struct {
	worker *workerSeen
	closed string
}

// jobSeen is what the engine was told of a job.
type jobSeen struct {
	org    string
	encode scheduler.Work // any that can make its codec, before it is planned
	tasks  map[job.TaskID]taskSeen
	// blocked says that it isn't inspected since no open node can make it.
	blocked bool
	// held says that it waits for another day.
	held *job.Placement
}

// taskSeen is what the engine was told of a task: which attempt waits, 0 if none
// does, and which run.
type taskSeen struct {
	queued  int
	running [job.MaxHolders]int // 0 where none does
}

// without lists the attempts that run by what was seen first, and not by other.
func (s taskSeen) without(other taskSeen) []int {
	var list []int
	for _, number := range s.running {
		if number != 0 && !slices.Contains(other.running[:], number) {
			list = append(list, number)
		}
	}
	return list
}

func newRack(now time.Time) *rack {
	return &rack{
		engine: scheduler.NewEngine(now), jobs: make(map[job.ID]*jobSeen), again: make(map[job.ID]bool), nodes: make(map[string]nodeSeen),
		orgs: make(map[string]scheduler.Org), minutes: make(map[string]int), letBegin: make(map[job.ID]int),
	}
}

// follow tells the engine what has changed since the last time, and says when
// the next of the tasks that are held back is due.
func (r *rack) follow(view cluster.View, l *leader) time.Duration {
	now := l.now()
	view = l.survey.look(view)
	delayed, next := l.delayed(now)
	r.engine.Advance(now)
	r.followNodes(view, l, now)
	days := r.allowances(view, now)
	r.followLimits(view, days, now)
	there, gone := r.toLookAt(l, delayed)
	for _, j := range there {
		record, id := j.record, j.record.Job.ID
		seen := r.jobs[id]
		if seen == nil {
			seen = &jobSeen{org: record.Job.Org, encode: wanted(record.Job.Spec), tasks: make(map[job.TaskID]taskSeen)}
			r.jobs[id] = seen
		}
		seen.held = r.hold(days[record.Job.Org], record, now)
		if !r.followJob(seen, record, l, now) {
			r.again[id] = true // when more nodes are known
		}
	}
	for _, id := range gone {
		record, _ := view.Record(id)
		r.endAll(id, r.jobs[id], record)
		r.engine.RemoveJob(id)
		delete(r.jobs, id)
	}
	r.followLimits(view, days, now)
	l.noteUnmet(now)
	return min(next, untilTomorrow(days, now))
}

// toLookAt lists the jobs that the engine must be told of, oldest first, and those
// that it knows and that are settled. What the leader remembers of the latter goes.
func (r *rack) toLookAt(l *leader, delayed map[job.ID]bool) (there []*surveyed, gone []job.ID) {
	s := &l.survey
	news, again := s.takeNews(), r.again
	l.forget(news)
	r.again = make(map[job.ID]bool)
	if !r.begun {
		r.begun = true
		return s.all(), nil
	}
	maps.Copy(news, again)
	maps.Copy(news, delayed)
	for id := range news {
		if j := s.byID[id]; j != nil {
			there = append(there, j)
		} else if r.jobs[id] != nil {
			gone = append(gone, id)
		}
	}
	slices.SortFunc(there, older)
	slices.Sort(gone)
	return there, gone
}

// same says whether nothing in a job changed: what the state holds is never
// written over.
func same(a, b job.Record) bool {
	return a.Job == b.Job && len(a.Tasks) == len(b.Tasks) && (len(a.Tasks) == 0 || &a.Tasks[0] == &b.Tasks[0])
}

// delayed lists the jobs that have a task which waits for another try, which
// must be looked at though they didn't change, and says how long it is until the
// next of them is due.
func (l *leader) delayed(now time.Time) (map[job.ID]bool, time.Duration) {
	jobs, next := make(map[job.ID]bool), idleStep
	for key, at := range l.retryAt {
		jobs[key.job] = true
		if wait := at.Sub(now); wait > 0 {
			next = min(next, wait)
		}
	}
	return jobs, next
}

func (r *rack) followNodes(view cluster.View, l *leader, now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(l.workers)) {
		worker := l.workers[id]
		closed := worker.closed(view, now)
		told := nodeSeen{worker, closed}
		if r.nodes[id] == told {
			continue
		}
		r.nodes[id] = told
		shared, devices := scheduler.FromProfiles(worker.report.Profiles)
		r.engine.SetNode(scheduler.Node{
			ID: id, Session: worker.report.Session, Host: shared, Devices: devices, Closed: closed,
			Labels: worker.report.Labels, Taints: worker.report.Taints,
		})
	}
	for id := range r.nodes {
		if l.workers[id] == nil {
			r.engine.RemoveNode(id)
			delete(r.nodes, id)
		}
	}
}

// followJob tells the engine of a job's tasks. It is false when an attempt
// couldn't be counted, or the job must be looked at again for another reason.
func (r *rack) followJob(seen *jobSeen, record job.Record, l *leader, now time.Time) bool {
	all := seen.held == nil // a held job is looked at until it may begin
	r.engine.SetJob(describeJob(record))
	inspect := record.Task(job.TaskID(job.InspectTask))
	inspected := inspect != nil && inspect.State == job.TaskFinished
	r.followEncoders(record)
	seen.blocked = false
	for _, task := range record.Tasks {
		had := seen.tasks[task.ID]
		var want taskSeen
		switch {
		case task.Held():
			i := 0
			for attempt := range task.Holders() {
				want.running[i] = attempt.Number
				i++
			}
		case l.retryAt[taskKey{record.Job.ID, task.ID}].After(now):
		case seen.held != nil && task.Kind.Encodes():
		case task.Kind == job.InspectTask && task.State == job.TaskWaiting && r.engine.Encoder(seen.encode) == "":
			all, seen.blocked = false, true // until a node can make the codec
		case ready(record, task, inspected):
			want.queued = task.NextAttempt()
		}
		if had == want {
			continue
		}
		for _, number := range had.without(want) {
			r.end(record.Job.ID, task, number)
		}
		if had.queued != 0 && had.queued != want.queued {
			r.engine.Withdraw(record.Job.ID, task.ID)
		}
		if want.queued != 0 && had.queued != want.queued {
			described := describeTask(record, task)
			described.Attempt = want.queued
			r.engine.Queue(described)
		}
		for _, number := range want.without(had) {
			if !r.adopt(record, task, task.Holder(number)) {
				all = false
				want.running[slices.Index(want.running[:], number)] = 0
			}
		}
		seen.tasks[task.ID] = want
	}
	return all
}

// followEncoders tells the engine what a job's renditions are made with: the plan's
// encoders, and the headers of the chunks that there are. What the engine has bound
// itself, and the state didn't come to have, no longer holds.
func (r *rack) followEncoders(record job.Record) {
	for _, m := range makingsOf(record) {
		r.engine.Bind(record.Job.ID, m.ladder, m.row.Encoder, m.with.headers)
	}
}

// ready is record.Ready without its search for the inspect task at each of
// thousands of chunks.
func ready(record job.Record, task *job.Task, inspected bool) bool {
	switch task.Kind {
	case job.EncodeTask, job.AudioTask, job.ThumbnailsTask:
		return task.State == job.TaskWaiting && inspected
	}
	return record.Ready(task)
}

func (r *rack) adopt(record job.Record, task *job.Task, attempt *job.Attempt) bool {
	described := describeTask(record, task)
	return r.engine.Adopt(scheduler.Run{
		Ref:  job.Ref{Job: record.Job.ID, Task: task.ID, Attempt: attempt.Number},
		Work: described.Work, Frames: described.Frames, FailedOn: described.FailedOn, Node: attempt.Node, Device: attempt.Device,
		Encoder: attempt.Encoder, Headers: attempt.Headers, Threads: attempt.Threads, Started: attempt.Started,
		BackupOf: attempt.BackupOf,
		BackedUp: slices.ContainsFunc(task.Attempts, func(a job.Attempt) bool { return a.BackupOf == attempt.Number }),
	})
}

// end frees an attempt's room, and lets the engine learn how long it took.
func (r *rack) end(id job.ID, task *job.Task, number int) {
	ref := job.Ref{Job: id, Task: task.ID, Attempt: number}
	for _, attempt := range task.Attempts {
		ran := attempt.Ended.Sub(attempt.Started)
		switch {
		case attempt.Number == number && attempt.Outcome == job.OutcomeFinished:
			r.engine.End(ref, ran)
			return
		case attempt.Number == number && attempt.Outcome == job.OutcomeStopped && outrun(task, number):
			r.engine.Outrun(ref, ran)
			return
		}
	}
	r.engine.End(ref, 0)
}

// outrun says whether the backup of an attempt was done first.
func outrun(task *job.Task, number int) bool {
	return slices.ContainsFunc(task.Attempts, func(a job.Attempt) bool {
		return a.BackupOf == number && (a.Outcome == job.OutcomeFinished || a.Outcome == job.OutcomeRunning)
	})
}

// endAll ends what the engine takes to be running of a job that is settled.
func (r *rack) endAll(of job.ID, seen *jobSeen, record job.Record) {
	for _, id := range slices.Sorted(maps.Keys(seen.tasks)) {
		task := &job.Task{ID: id}
		if record.Job != nil && record.Task(id) != nil {
			task = record.Task(id)
		}
		for _, number := range seen.tasks[id].without(taskSeen{}) {
			r.end(of, task, number)
		}
	}
}

// decide asks the engine what starts now.
func (r *rack) decide() []scheduler.Assignment {
	placed := r.engine.Decide()
	for i, a := range placed {
		seen := r.jobs[a.Job]
		seen.tasks[a.Task] = taskSeen{running: [job.MaxHolders]int{a.Attempt}}
		if a.Task == job.TaskID(job.InspectTask) {
			// The plan is made for the encoder that the rack does most with.
			placed[i].Encoder = r.engine.Encoder(seen.encode)
		}
	}
	return placed
}

// refused takes back what the state didn't accept: a newer change was faster.
func (r *rack) refused(placed []scheduler.Assignment, started []job.Ref) {
	for _, a := range placed {
		ref := job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}
		if slices.Contains(started, ref) {
			continue
		}
		r.engine.End(ref, 0)
		if seen := r.jobs[a.Job]; seen != nil {
			seen.tasks[a.Task] = taskSeen{running: [job.MaxHolders]int{a.BackupOf}}
			r.again[a.Job] = true
		}
	}
}
