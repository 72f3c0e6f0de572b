package cluster

import (
	"cmp"
	"slices"
	"sync"

	"millrace/job"
)

// journal remembers which jobs the latest commands changed, so that who follows the
// state looks at those alone and not, after each event, at all that there are. It
// forgets what is long ago: who comes from then looks at all of them once.
type journal struct {
	mu      sync.Mutex
	from    uint64    // it knows all that changed after this raft index
	touched []touched // in the order of the changes; what is there is never written over
}

// touched is a job that a batch up to a raft index created, changed or deleted.
type touched struct {
	index uint64
	job   job.ID
}

// journalLength is how many changes a journal remembers at least: at ten thousand
// per second, what happens in three seconds.
const journalLength = 1 << 15

// add takes up what a batch up to an index did.
func (j *journal) add(index uint64, jobs []job.ID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.touched) >= 2*journalLength {
		gone := len(j.touched) - journalLength
		j.from = j.touched[gone-1].index
		for gone < len(j.touched) && j.touched[gone].index == j.from {
			gone++ // a batch is known whole or not at all
		}
		j.touched = slices.Clone(j.touched[gone:])
	}
	for _, id := range jobs {
		j.touched = append(j.touched, touched{index, id})
	}
}

// between lists what changed after one index up to another, each job once, in no
// order; false if the first is too long ago.
func (j *journal) between(after, upTo uint64) ([]job.ID, bool) {
	j.mu.Lock()
	from, list := j.from, j.touched
	j.mu.Unlock()
	if after < from {
		return nil, false
	}
	list = list[firstAfter(list, after):]
	list = list[:firstAfter(list, upTo)]
	jobs := make([]job.ID, 0, len(list))
	for _, t := range list {
		jobs = append(jobs, t.job)
	}
	slices.Sort(jobs)
	return slices.Compact(jobs), true
}

func firstAfter(list []touched, index uint64) int {
	at, _ := slices.BinarySearchFunc(list, index+1, func(t touched, index uint64) int { return cmp.Compare(t.index, index) })
	return at
}
