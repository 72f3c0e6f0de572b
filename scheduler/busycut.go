package scheduler

import (
	"time"

	"millrace/job"
)

const (
	// busyRun is how long a chunk should run under a full queue: long enough for
	// its start to cost little, short enough to lose little with a node.
	busyRun = time.Minute
	// runPart is for which part of the time in which all that waits can be done a chunk
	// runs at most: its pictures may be harder than is known.
	runPart = 0.75
	// quietRun is less than what chunks are made longer for.
	quietRun = time.Second
	// busyLongest bounds such a chunk's pictures, for fast devices.
	busyLongest = 4 * time.Minute
	// lastRun is how long the chunks run that nothing comes after: shorter ones would
	// cost more to start than they save.
	lastRun = 6 * time.Second
	// ownTimes is how many times as much as its own organisation's other jobs what is
	// due after a job may be: organisations have their parts at once, so that one's
	// last job may be the last of all although others' were due later.
	ownTimes = 4
)

// CutFor decides how many segments each chunk of a timeline has. A job that has
// the rack to itself is cut so that all slots end together (see [Cut]). The more
// waits the longer are chunks; but those of the jobs that are due last get shorter
// towards the end, since nothing follows that could even out when they end.
func CutFor(timeline job.Timeline, outlook Outlook, leads []time.Duration) []int {
	if outlook.Run == 0 || outlook.SecondsPerFrame <= 0 {
		return Cut(timeline, outlook.Slots, outlook.SecondsPerFrame, leads)
	}
	perSegment := outlook.SecondsPerFrame * float64(timeline.SegmentFrames)
	longest := segmentsIn(busyLongest, timeline.At(timeline.SegmentFrames))
	var counts []int
	for left := timeline.Segments(); left > 0; {
		run := outlook.Run.Seconds()
		rest := outlook.After.Seconds() + float64(left)*perSegment/float64(max(1, outlook.Slots))
		run = min(run, max(lastRun.Seconds(), rest))
		length := min(max(int(run/perSegment), 1), longest)
		chunks := (left + length - 1) / length
		count := (left + chunks - 1) / chunks // all about alike
		count = cheapest(count, left, 1, length, leads)
		counts = append(counts, count)
		left -= count
	}
	return counts
}

// run is how long a job's chunks should run at most: the longer the more waits, but
// for short jobs, which don't.
func (e *Engine) run(frames int64) time.Duration {
	run := time.Duration(runPart * e.horizon * float64(time.Second))
	switch {
	case run < quietRun:
		return 0
	case e.isShort(frames) && e.backlog() < hastyBacklog && !e.crowded():
		return min(run, hastyRun)
	}
	return min(run, busyRun)
}

// after is for how long the devices of an encoder are busy with what waits of the jobs
// that are due after one that takes so many seconds alone.
func (e *Engine) after(q *queued, encoder string, alone float64) time.Duration {
	due := e.dueAt(q, alone)
	all, own := 0.0, 0.0
	for _, p := range e.active {
		if p.tasks == 0 || p.work.Kind != job.EncodeTask || p.work.Encoders != encoder {
			continue
		}
		perSecond := e.rate(p)
		if perSecond == 0 {
			continue
		}
		for _, l := range p.lanes.items {
			for _, g := range l.jobs.items {
				if g.job.due <= due {
					continue
				}
				seconds := float64(g.frames) / perSecond
				if all += seconds; l.org == q.org {
					own += seconds
				}
			}
		}
	}
	return time.Duration(min(all, ownTimes*own) * float64(time.Second))
}
