package node

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"millrace/cluster"
	"millrace/hwaccel"
	"millrace/job"
)

// survey is what the leader looks at of the jobs that haven't ended. It keeps what
// it found of each, and a look at a newer state finds anew only what has changed:
// there may be ten thousand jobs of hundreds of tasks, an event every millisecond,
// and as many polls as nodes that wait for each. The zero survey has seen nothing.
// Its leader's lock guards it.
type survey struct {
	index uint64 // of the state that was looked at
	jobs  []*surveyed
	byID  map[job.ID]*surveyed
	held  map[string]*hand // by node
	// changed are the jobs that came, changed or went since news was asked for.
	changed map[job.ID]bool
}

// surveyed is one job.
type surveyed struct {
	record  job.Record
	place   int       // among the survey's jobs, oldest first
	holders []holding // of its tasks
	// row is the encoder of its renditions, if it is bound to one, with is what its
	// chunks are made with, worn is why that should be given up, and waits says
	// whether any of its chunks waits.
	row   hwaccel.Row
	bound bool
	with  made
	worn  string
	waits bool
}

// hand is what a node holds: attempts by job and by the node's session, and how many
// of them are to stop.
type hand struct {
	jobs     map[*surveyed]int
	sessions map[string]int
	stopping int
}

// holding is an attempt that holds its task.
type holding struct {
	ref     job.Ref
	task    *job.Task
	attempt *job.Attempt
}

// look brings the survey to a view's state.
func (s *survey) look(view cluster.View) {
	if s.byID == nil {
		s.byID, s.held, s.changed = make(map[job.ID]*surveyed), make(map[string]*hand), make(map[job.ID]bool)
	} else if view.Index() == s.index {
		return
	}
	s.index = view.Index()
	before, added, next := s.jobs, 0, 0
	now := make([]*surveyed, 0, len(before)+1)
	for record := range view.Unsettled() {
		id := record.Job.ID
		var known *surveyed
		if next < len(before) && before[next].record.Job.ID == id { // as nearly always
			known = before[next]
		} else {
			known = s.byID[id]
		}
		if known == nil {
			known, added = &surveyed{}, added+1
			s.byID[id] = known
		} else {
			next = known.place + 1
		}
		if known.record.Job == nil || !same(known.record, record) {
			s.note(known, record)
		}
		known.place = len(now)
		now = append(now, known)
	}
	s.jobs = now
	if len(now) == len(before)+added {
		return
	}
	for _, old := range before {
		if old.place >= len(now) || now[old.place] != old {
			s.release(old)
			delete(s.byID, old.record.Job.ID)
			s.changed[old.record.Job.ID] = true
		}
	}
}

// note takes note of how a job is now.
func (s *survey) note(j *surveyed, record job.Record) {
	s.release(j)
	place := j.place
	*j = surveyed{record: record, place: place, holders: j.holders[:0]}
	for _, task := range record.Tasks {
		for attempt := range task.Holders() {
			j.holders = append(j.holders, holding{job.Ref{Job: record.Job.ID, Task: task.ID, Attempt: attempt.Number}, task, attempt})
			s.count(j, task, attempt, 1)
		}
	}
	if j.row, j.bound = boundTo(record); j.bound {
		j.with, j.waits = made{j.row.Encoder, record.Headers(), labelsFor(record.Job.Spec)}, waits(record)
		if j.row.Kind != hwaccel.CPU {
			j.worn = worn(record, j.row.Encoder)
		}
	}
	s.changed[record.Job.ID] = true
}

// release takes a job out of what nodes hold.
func (s *survey) release(j *surveyed) {
	for _, h := range j.holders {
		s.count(j, h.task, h.attempt, -1)
	}
}

// count adds an attempt to what its node holds, or takes it away with −1.
func (s *survey) count(j *surveyed, task *job.Task, attempt *job.Attempt, sign int) {
	held := s.held[attempt.Node]
	if held == nil {
		held = &hand{jobs: make(map[*surveyed]int), sessions: make(map[string]int)}
		s.held[attempt.Node] = held
	}
	if held.jobs[j] += sign; held.jobs[j] == 0 {
		delete(held.jobs, j)
	}
	if held.sessions[attempt.Session] += sign; held.sessions[attempt.Session] == 0 {
		delete(held.sessions, attempt.Session)
	}
	if task.State == job.TaskStopping {
		held.stopping += sign
	}
	if len(held.jobs) == 0 {
		delete(s.held, attempt.Node)
	}
}

// only says whether a node holds nothing but attempts of one session that go on.
func (h *hand) only(session string) bool {
	return h.stopping == 0 && (session == "" || len(h.sessions) == 1 && h.sessions[session] > 0)
}

// heldBy lists the jobs of which a node holds attempts, oldest first.
func (s *survey) heldBy(node string) []*surveyed {
	if s.held[node] == nil {
		return nil
	}
	list := slices.Collect(maps.Keys(s.held[node].jobs))
	slices.SortFunc(list, func(a, b *surveyed) int { return cmp.Compare(a.place, b.place) })
	return list
}

// holdings are the attempts that a node holds, the oldest job's first.
func (s *survey) holdings(node string) iter.Seq[holding] {
	return func(yield func(holding) bool) {
		for _, j := range s.heldBy(node) {
			for _, h := range j.holders {
				if h.attempt.Node == node && !yield(h) {
					return
				}
			}
		}
	}
}

// news are the jobs that came, changed or went since it was asked for before.
func (s *survey) news() map[job.ID]bool {
	news := s.changed
	s.changed = make(map[job.ID]bool)
	return news
}
