package node

import (
	"slices"
	"time"

	"millrace/api"
	"millrace/cluster"
	"millrace/job"
	"millrace/scheduler"
)

// Shares of a job's progress that aren't encoding: what comes before it, which
// has no measure of its own, and packaging, which must not show 100 before it
// is done.
const (
	inspectedPercent = 1
	encodedPercent   = 98
)

// workload is the work of a job's tasks, weighed as taskWork says.
type workload struct {
	all, done float64
	running   []runningTask
}

// runningTask is a task that runs: so many frames are its work.
type runningTask struct {
	id           job.TaskID
	work, frames float64
}

// measure sums up a job's work. What runs of it changes with each report, the rest
// only with the job.
func (j *surveyed) measure() *workload {
	if j.work != nil {
		return j.work
	}
	plan := j.record.Job.Plan
	j.work = &workload{}
	var pixels int
	var renditions []string // that have so many
	for _, task := range j.record.Tasks {
		if task.Kind == job.EncodeTask && (renditions == nil || !slices.Equal(renditions, task.Renditions)) {
			pixels, renditions = pixelsOf(plan, task.Renditions), task.Renditions
		}
		work := taskWork(task, plan, pixels)
		j.work.all += work
		switch {
		case task.State == job.TaskFinished:
			j.work.done += work
		case task.State == job.TaskRunning && work > 0:
			j.work.running = append(j.work.running, runningTask{task.ID, work, taskFrames(task, plan)})
		}
	}
	return j.work
}

// Progress is how far a job has come, from the state and the workers' latest
// polls. It is false on a peer that doesn't lead, and for a job that neither runs nor
// waits for a node with what it requires.
func (l *leader) Progress(id job.ID) (job.Progress, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.leading {
		return job.Progress{}, false
	}
	l.survey.look(l.state.Stale())
	return l.progressOf(id)
}

// progressOf is Progress as the survey knows the job. The caller holds l.mu.
func (l *leader) progressOf(id job.ID) (job.Progress, bool) {
	j := l.survey.byID[id]
	if j == nil || j.record.Job.Status.Terminal() {
		return job.Progress{}, false
	}
	var progress job.Progress
	running := j.record.Job.Status == job.Transcoding
	if running {
		progress = l.progress(j)
	}
	progress.WaitsFor = l.waitsFor(id)
	return progress, running || progress.WaitsFor != ""
}

// progress is how far a running job has come. The caller holds l.mu.
func (l *leader) progress(j *surveyed) job.Progress {
	if j.record.Job.Plan == nil {
		return job.Progress{}
	}
	work := j.measure()
	if work.all == 0 {
		return job.Progress{Percent: inspectedPercent}
	}
	done := work.done
	for _, task := range work.running {
		done += task.work * min(1, float64(l.framesOf(j, task.id))/task.frames)
	}
	share, id, run := done/work.all, j.record.Job.ID, j.record.Job.Run
	percent := inspectedPercent + share*(encodedPercent-inspectedPercent)
	if before := l.shown[id]; before.run == run {
		percent = max(percent, before.percent)
	}
	l.shown[id] = shown{run, percent}
	progress := job.Progress{Percent: percent}
	if elapsed := l.now().Sub(j.record.Job.Started); share > 0.01 && elapsed > 0 {
		left := time.Duration(float64(elapsed) * (1 - share) / share)
		progress.ETA = &left
	}
	return progress
}

// framesOf is how many frames of a running task are encoded, by the attempt of it
// that has most. The caller holds l.mu.
func (l *leader) framesOf(j *surveyed, task job.TaskID) int64 {
	most := int64(0)
	for _, h := range j.holders {
		if worker := l.workers[h.attempt.Node]; h.ref.Task == task && worker != nil {
			most = max(most, worker.frames[h.ref].Frames)
		}
	}
	return most
}

// moved lists the jobs whose progress, or what they wait for, moved after a mark; for
// one of another term all that haven't ended. On a peer that doesn't lead it is none.
func (l *leader) moved(since api.ProgressMark) ([]job.ID, api.ProgressMark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.leading {
		return nil, since
	}
	l.survey.look(l.state.Stale())
	jobs, now, _ := l.survey.moves.since(since)
	return jobs, now
}

// progresses is how far the jobs have come of which that moved after a mark, and what
// they wait for.
func (l *leader) progresses(since api.ProgressMark) (Moved, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.leading {
		return Moved{}, cluster.ErrNotLeader
	}
	l.survey.look(l.state.Stale())
	jobs, now, all := l.survey.moves.since(since)
	told := Moved{Mark: now, All: all, Jobs: make(Progresses, len(jobs))}
	for _, id := range jobs {
		if progress, known := l.progressOf(id); known || !all { // one that waits no more is told once
			told.Jobs[id] = RunProgress{Run: l.survey.byID[id].record.Job.Run, Percent: progress.Percent, ETA: progress.ETA, WaitsFor: progress.WaitsFor}
		}
	}
	return told, nil
}

// leads says whether this leader is in office.
func (l *leader) leads() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leading
}

// taskWork weighs a task: frames of its renditions, which have so many pixels
// together, or of sound.
func taskWork(task *job.Task, plan *job.Plan, pixels int) float64 {
	switch task.Kind {
	case job.EncodeTask:
		return float64(task.Chunk.Frames.Len()) * float64(pixels)
	case job.AudioTask:
		return float64(scheduler.SoundFrames(plan)) * audioPixels
	}
	return 0
}

func pixelsOf(plan *job.Plan, renditions []string) int {
	pixels := 0
	for _, rendition := range renditionsOf(plan, renditions) {
		pixels += rendition.Width * rendition.Height
	}
	return pixels
}

func taskFrames(task *job.Task, plan *job.Plan) float64 {
	if task.Chunk != nil {
		return float64(task.Chunk.Frames.Len())
	}
	return float64(plan.Timeline.Frames)
}
