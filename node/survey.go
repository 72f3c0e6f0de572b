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
	view cluster.View // that was looked at last; nil before the first look
	byID map[job.ID]*surveyed
	held map[string]*hand // by node
	// waiting are the jobs whose chunks wait, by what those must be made with, and
	// worn those of which an encoder should be given up, or should be if there is no
	// other device for it.
	waiting map[made]map[*surveyed]bool
	worn    map[*surveyed]bool
	// news are the jobs that came, changed or went since they were taken.
	news map[job.ID]bool
	// moves are of the jobs that run or wait to.
	moves moves
}

// surveyed is one job.
type surveyed struct {
	record  job.Record
	holders []holding // of its tasks
	makings []making  // what its renditions are bound to
	// work is measured when its progress is asked for, nil before.
	work *workload
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

// look brings the survey to a view's state, unless it has seen a newer one: a poll
// may be faster than a step that took its view before. It answers the view that the
// survey is of.
func (s *survey) look(view cluster.View) cluster.View {
	if s.view == nil {
		*s = survey{
			byID: make(map[job.ID]*surveyed), held: make(map[string]*hand), news: make(map[job.ID]bool),
			waiting: make(map[made]map[*surveyed]bool), worn: make(map[*surveyed]bool),
		}
		s.lookAtAll(view)
		return view
	}
	before := s.view.Index()
	if view.Index() <= before {
		return s.view
	}
	changed, gone, known := view.ChangedJobs(before)
	if !known {
		s.lookAtAll(view)
		return view
	}
	for _, j := range changed {
		if record, unsettled := view.UnsettledRecord(j.ID); unsettled {
			s.note(record)
		} else {
			s.drop(j.ID)
		}
	}
	for _, id := range gone {
		s.drop(id)
	}
	s.view = view
	return view
}

// lookAtAll compares all that the survey knows with a view.
func (s *survey) lookAtAll(view cluster.View) {
	there := make(map[job.ID]bool)
	for record := range view.Unsettled() {
		there[record.Job.ID] = true
		if known := s.byID[record.Job.ID]; known == nil || !same(known.record, record) {
			s.note(record)
		}
	}
	for id := range s.byID {
		if !there[id] {
			s.drop(id)
		}
	}
	s.view = view
}

// note takes note of how a job is now.
func (s *survey) note(record job.Record) {
	id := record.Job.ID
	j := s.byID[id]
	if j == nil {
		j = &surveyed{}
		s.byID[id] = j
	}
	s.release(j)
	*j = surveyed{record: record, holders: j.holders[:0]}
	for _, task := range record.Tasks {
		for attempt := range task.Holders() {
			j.holders = append(j.holders, holding{job.Ref{Job: id, Task: task.ID, Attempt: attempt.Number}, task, attempt})
			s.count(j, task, attempt, 1)
		}
	}
	s.noteEncoders(j)
	if s.news[id] = true; record.Job.Status.Terminal() {
		s.moves.forget(id)
	} else {
		s.moves.touch(id)
	}
}

// noteEncoders takes note of what a job's chunks are made with.
func (s *survey) noteEncoders(j *surveyed) {
	j.makings = makingsOf(j.record)
	for i := range j.makings {
		m := &j.makings[i]
		if m.row.Kind != hwaccel.CPU {
			m.worn, m.lost = worn(j.record, m.row.Encoder), lostOf(j.record, m.row.Encoder, m.renditions)
		}
		if m.worn != "" || len(m.lost) > 0 {
			s.worn[j] = true
		}
		if m.worn == "" && m.waits {
			if s.waiting[m.with] == nil {
				s.waiting[m.with] = make(map[*surveyed]bool)
			}
			s.waiting[m.with][j] = true
		}
	}
}

// moved notes that a job has other progress than before, or waits for something else.
func (s *survey) moved(id job.ID) {
	if j := s.byID[id]; j != nil && !j.record.Job.Status.Terminal() {
		s.moves.touch(id)
	}
}

// drop forgets a job that is settled.
func (s *survey) drop(id job.ID) {
	if j := s.byID[id]; j != nil {
		s.release(j)
		s.moves.forget(id)
		delete(s.byID, id)
		s.news[id] = true
	}
}

// release takes a job out of what nodes hold and out of the jobs that wait.
func (s *survey) release(j *surveyed) {
	for _, h := range j.holders {
		s.count(j, h.task, h.attempt, -1)
	}
	delete(s.worn, j)
	for _, m := range j.makings {
		if delete(s.waiting[m.with], j); len(s.waiting[m.with]) == 0 {
			delete(s.waiting, m.with)
		}
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

// older sorts jobs as the state lists them: the oldest first.
func older(a, b *surveyed) int {
	return cmp.Or(a.record.Job.Created.Compare(b.record.Job.Created), cmp.Compare(a.record.Job.ID, b.record.Job.ID))
}

// all are the jobs, oldest first.
func (s *survey) all() []*surveyed { return slices.SortedFunc(maps.Values(s.byID), older) }

// heldBy lists the jobs of which a node holds attempts, oldest first.
func (s *survey) heldBy(node string) []*surveyed {
	if s.held[node] == nil {
		return nil
	}
	return slices.SortedFunc(maps.Keys(s.held[node].jobs), older)
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

// takeNews hands over the jobs that came, changed or went since it did before.
func (s *survey) takeNews() map[job.ID]bool {
	news := s.news
	s.news = make(map[job.ID]bool)
	return news
}
