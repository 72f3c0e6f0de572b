package scheduler

import (
	"time"

	"millrace/job"
)

// Short jobs hurry: they need little, and who sent a clip of a minute waits for
// it. Their tasks go before all others, also before those of organisations that
// have had less, for as long as an organisation's short jobs take no more than
// hastyPart of its fair share of the rack, and a little credit. So a film that
// took its organisation far ahead of the others doesn't hold back its next clip,
// no organisation gains by sending many short jobs in place of long ones (what
// they take is part of what it has had), and its long jobs go on.
//
// This is start-time fair queueing (Goyal, Vin and Cheng 1996): the engine's
// virtual time goes on with all work that is given out, by the part of it that an
// organisation of weight 1 may use for short jobs; what short jobs were given
// moves their organisation's own time, which must not run ahead.
const (
	// shortPart is how long a job may be to be short, as a part of the mean.
	shortPart = 0.5
	// lengthsFrom is how many jobs the mean length goes back to.
	lengthsFrom = 256
	// hastyPart is the part of an organisation's share that short jobs may take first.
	hastyPart = 0.75
	// hastyCredit is how many seconds of the rack's threads they may take at once.
	hastyCredit = 5.0
	// hastyRun is how long a short job's chunk should run while others wait: its
	// start costs a part of that, and the job waits for its last one.
	hastyRun = 2 * time.Second
	// hastyBacklog is how many seconds of the rack all short jobs may be behind for
	// it to be worth while to cut one for speed.
	hastyBacklog = 10.0
)

// meet takes note of a job's length when it is first known, and finds whether it
// is short: compared with the others, so that this holds for any rack and any
// kind of videos.
func (e *Engine) meet(q *queued) {
	mean := &e.lengths
	q.short = e.isShort(q.Frames)
	mean.n = min(mean.n+1, lengthsFrom)
	mean.sum += (float64(q.Frames) - mean.sum) / mean.n
}

// length is the mean of the jobs' lengths in frames, about the latest ones.
type length struct{ sum, n float64 }

// isShort says whether a job of so many frames is short.
func (e *Engine) isShort(frames int64) bool { return float64(frames) <= shortPart*e.lengths.sum }

// mayHurry says whether an organisation's short jobs go first.
func (e *Engine) mayHurry(o *org) bool { return o.quick <= e.virtual }

// hurried counts what a lane was given for the order of short jobs.
func (e *Engine) hurried(l *lane, seconds float64) {
	o := l.org
	e.virtual += hastyPart * seconds / max(e.weights, o.weight())
	if l.short {
		credit := hastyCredit * float64(max(1, e.threads)) / o.weight()
		o.quick = max(o.quick, e.virtual-credit) + seconds/o.weight()
	}
}

// hurriesBefore orders lanes of short jobs.
func (l *lane) hurriesBefore(other *lane) bool {
	if l.org.quick != other.org.quick {
		return l.org.quick < other.org.quick
	}
	return l.org.ID < other.org.ID
}

// crowded says whether an organisation has so many jobs that some aren't looked
// at yet: then it isn't one clip that somebody waits for.
func (e *Engine) crowded() bool {
	for _, o := range e.orgs { // the order doesn't matter
		if o.held.len() > 0 && o.ahead >= e.aheadLimit() {
			return true
		}
	}
	return false
}

// backlog is how many seconds of the rack the short jobs that wait take.
func (e *Engine) backlog() float64 {
	sum := 0.0
	for _, p := range e.active {
		if p.hastyFrames > 0 && p.work.Kind == job.EncodeTask {
			if perSecond := e.rate(p); perSecond > 0 {
				sum += float64(p.hastyFrames) / perSecond
			}
		}
	}
	return sum
}
