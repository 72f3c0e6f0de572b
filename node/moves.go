package node

import (
	"container/list"
	"crypto/rand"

	"millrace/api"
	"millrace/job"
)

// moves is in which order jobs' progress moved last, so that who asks again
// is told of those that moved since, and nobody looks at the others. The zero moves
// is of no job. It isn't safe for use by several goroutines.
type moves struct {
	source string // another for each moves: what one told another doesn't go on from
	last   uint64
	order  list.List // of move, newest first
	of     map[job.ID]*list.Element
}

type move struct {
	job     job.ID
	version uint64
}

// touch notes that a job's progress moved.
func (m *moves) touch(id job.ID) {
	if m.of == nil {
		m.source, m.of = rand.Text(), make(map[job.ID]*list.Element)
	}
	m.last++
	if e := m.of[id]; e != nil {
		e.Value = move{id, m.last}
		m.order.MoveToFront(e)
		return
	}
	m.of[id] = m.order.PushFront(move{id, m.last})
}

// forget drops a job that has ended.
func (m *moves) forget(id job.ID) {
	if e := m.of[id]; e != nil {
		m.order.Remove(e)
		delete(m.of, id)
	}
}

// since lists the jobs that moved after a mark, the latest first, and says how far
// that is; all says that the mark isn't of these moves, so that the list is of all jobs.
func (m *moves) since(mark api.ProgressMark) (jobs []job.ID, now api.ProgressMark, all bool) {
	all = mark.Source == "" || mark.Source != m.source
	for e := m.order.Front(); e != nil; e = e.Next() {
		moved := e.Value.(move)
		if !all && moved.version <= mark.Version {
			break
		}
		jobs = append(jobs, moved.job)
	}
	return jobs, api.ProgressMark{Source: m.source, Version: m.last}, all
}
