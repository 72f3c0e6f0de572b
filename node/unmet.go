package node

import (
	"time"

	"millrace/job"
)

// A job is inspected once a node can make what it asks for: its plan is for an
// encoder that there is. Until then it waits, as long as it takes, for a node with
// what it requires may join at any time; the same where the nodes go later. The log
// says so once, and the job's view and explanation for as long as it is so.

const (
	// unmetGrace is how long a job may wait for a node with what it requires before
	// the log has a line: after an election or a restart nodes need a moment to report.
	unmetGrace = 30 * time.Second
	// unmetEvery is how often the jobs that require something are looked at for that.
	unmetEvery = 5 * time.Second
)

// unmet is the jobs that require what no open node has.
type unmet struct {
	looked time.Time
	jobs   map[job.ID]*unmetJob
}

type unmetJob struct {
	since  time.Time
	logged bool
	why    string // as it was found last
	// now says that it is so still: what was logged is remembered beyond.
	now bool
}

// noteUnmet looks for jobs that require what no open node has. The caller holds l.mu.
func (l *leader) noteUnmet(now time.Time) {
	u := &l.unmet
	if now.Sub(u.looked) < unmetEvery && !now.Before(u.looked) {
		return
	}
	u.looked = now
	known := u.jobs
	u.jobs = make(map[job.ID]*unmetJob)
	for id, seen := range l.rack.jobs {
		if seen.encode.Requires == "" {
			continue
		}
		j, why := known[id], l.rack.whyUnmet(id)
		if j != nil && j.why != why || j == nil && why != "" {
			l.survey.moved(id)
		}
		switch {
		case why != "" && (j == nil || !j.now):
			j = &unmetJob{since: now, logged: j != nil && j.logged, now: true}
		case j != nil:
			j.now = why != ""
		}
		if j == nil {
			continue
		}
		u.jobs[id], j.why = j, why
		if j.now && !j.logged && now.Sub(j.since) >= unmetGrace {
			j.logged = true
			l.log.Warn("a job waits for a node with what it requires", "job", id, "requires", seen.encode.Requires, "reason", why)
		}
	}
}

// whyUnmet says why no open node can do what a job has waiting; empty if one could.
func (r *rack) whyUnmet(id job.ID) string {
	seen := r.jobs[id]
	switch {
	case seen == nil || seen.held != nil:
		return ""
	case seen.blocked:
		return r.engine.Unmet(seen.encode)
	}
	return r.engine.UnmetOf(id)
}

// waitsFor is what a job that requires something waits for, as it was found last;
// empty if it doesn't. The caller holds l.mu.
func (l *leader) waitsFor(id job.ID) string {
	if j := l.unmet.jobs[id]; j == nil || !j.now || l.rack == nil {
		return ""
	}
	return l.rack.whyUnmet(id)
}
