package node

import (
	"fmt"
	"time"

	"millrace/cluster"
	"millrace/job"
	"millrace/scheduler"
)

// An organisation with minutes per day begins to encode no job that doesn't fit in
// what the day has left, the oldest first: smaller jobs that came later go before
// one that doesn't fit, until midnight; then the oldest is first again, so none
// waits for ever. A job longer than a whole day's minutes is begun on a day that
// nothing else has been, and is that day's only one. How long a job is, its inspection
// tells; where nothing is left, not even that begins.

// allowance is what an organisation may still begin to encode today.
type allowance struct {
	minutes int // that it has each day
	left    time.Duration
	// untouched says that nothing has been begun today, nor is about to be.
	untouched bool
	// held says that a job waits for another day.
	held bool
}

// take lets so much video be begun if it may be.
func (a *allowance) take(video time.Duration) bool {
	if video > a.left && !a.untouched {
		a.held = true
		return false
	}
	a.left -= video
	a.untouched = false
	return true
}

// allowances is what is left of the day for each organisation that has a limit,
// without what was let begin and hasn't yet.
func (r *rack) allowances(view cluster.View, now time.Time) map[string]*allowance {
	all := make(map[string]*allowance)
	for _, org := range view.Organisations() {
		if r.minutes[org.ID] != org.MinutesPerDay {
			r.minutes[org.ID] = org.MinutesPerDay
			r.lookAgain(org.ID)
		}
		if org.MinutesPerDay > 0 {
			used := org.UsedOn(now)
			all[org.ID] = &allowance{
				minutes: org.MinutesPerDay, untouched: used == 0,
				left: time.Duration(org.MinutesPerDay)*time.Minute - used,
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	for id, run := range r.letBegin {
		record, known := view.Record(id)
		if !known || record.Job.Status.Terminal() || record.Job.Plan == nil || record.Job.Run != run || record.Job.MeteredRun == run {
			delete(r.letBegin, id)
			continue
		}
		if a := all[record.Job.Org]; a != nil {
			a.left -= record.Job.Plan.Timeline.Duration()
			a.untouched = false
		}
	}
	return all
}

// lookAgain forgets how an organisation's jobs were, so that each is looked at.
func (r *rack) lookAgain(org string) {
	for id, seen := range r.jobs {
		if seen.org == org {
			r.again[id] = true
		}
	}
}

// hold says of the tasks of a job that must wait for another day what they wait
// for; nil for one that may begin, or needs no leave.
func (r *rack) hold(a *allowance, record job.Record, now time.Time) *job.Placement {
	id, run := record.Job.ID, record.Job.Run
	if a == nil || record.Job.Status.Terminal() || record.Job.Plan == nil || record.Job.MeteredRun == run || r.letBegin[id] == run {
		return nil
	}
	held := &job.Placement{}
	for _, task := range record.Tasks {
		if task.Kind.Encodes() && task.State == job.TaskWaiting {
			if held.Count++; held.Task == "" {
				held.Task = task.ID
			}
		}
	}
	video := record.Job.Plan.Timeline.Duration()
	switch {
	case held.Count == 0:
		return nil
	case a.take(video):
		r.letBegin[id] = run
		return nil
	}
	held.Reason = fmt.Sprintf(
		"its %s of video don't fit in what today has left of its organisation's %d min of video per day; more may begin from %s on",
		video.Round(time.Second), a.minutes, cluster.DayEnds(now).Format(time.RFC3339))
	return held
}

// followLimits tells the engine what each organisation may have.
func (r *rack) followLimits(view cluster.View, days map[string]*allowance, now time.Time) {
	for _, org := range view.Organisations() {
		rights := scheduler.Org{ID: org.ID, Weight: org.Weight, Running: org.MaxRunning}
		if a := days[org.ID]; a != nil && a.left <= 0 {
			rights.Closed = fmt.Sprintf("its organisation's %d min of video per day are used up; more may begin from %s on",
				a.minutes, cluster.DayEnds(now).Format(time.RFC3339))
		}
		if r.orgs[org.ID] != rights {
			r.engine.SetOrg(rights)
			r.orgs[org.ID] = rights
		}
	}
}

// untilTomorrow is how long it takes until jobs that wait for another day must be
// looked at, idleStep if none does.
func untilTomorrow(days map[string]*allowance, now time.Time) time.Duration {
	for _, a := range days {
		if a.held || a.left <= 0 {
			return min(idleStep, cluster.DayEnds(now).Sub(now))
		}
	}
	return idleStep
}
