package node

import (
	"time"

	"millrace/cluster"
	"millrace/job"
)

// Shares of a job's progress that aren't encoding: what comes before it, which
// has no measure of its own, and packaging, which must not show 100 before it
// is done.
const (
	inspectedPercent = 1
	encodedPercent   = 98
)

// Progress is how far a job has come, from the state and the workers' latest
// polls. It is false on a peer that doesn't lead, and for a job that neither runs nor
// waits for a node with what it requires.
func (l *leader) Progress(id job.ID) (job.Progress, bool) {
	record, found := l.state.Stale().Record(id)
	if !found || record.Job.Status.Terminal() {
		return job.Progress{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.leading {
		return job.Progress{}, false
	}
	var progress job.Progress
	running := record.Job.Status == job.Transcoding
	if running {
		progress = l.progress(record)
	}
	progress.WaitsFor = l.waitsFor(id)
	return progress, running || progress.WaitsFor != ""
}

// progress is how far a running job has come. The caller holds l.mu.
func (l *leader) progress(record job.Record) job.Progress {
	plan := record.Job.Plan
	if plan == nil {
		return job.Progress{}
	}
	var done, all float64
	for _, task := range record.Tasks {
		work := taskWork(task, plan)
		all += work
		switch {
		case task.State == job.TaskFinished:
			done += work
		case task.State == job.TaskRunning && work > 0:
			done += work * min(1, float64(l.framesOf(record, task))/taskFrames(task, plan))
		}
	}
	if all == 0 {
		return job.Progress{Percent: inspectedPercent}
	}
	share := done / all
	run := runKey{record.Job.ID, record.Job.Run}
	l.shown[run] = max(l.shown[run], inspectedPercent+share*(encodedPercent-inspectedPercent))
	progress := job.Progress{Percent: l.shown[run]}
	if elapsed := l.now().Sub(record.Job.Started); share > 0.01 && elapsed > 0 {
		left := time.Duration(float64(elapsed) * (1 - share) / share)
		progress.ETA = &left
	}
	return progress
}

// framesOf is how many frames of a running task are encoded, by the attempt of it
// that has most. The caller holds l.mu.
func (l *leader) framesOf(record job.Record, task *job.Task) int64 {
	most := int64(0)
	for attempt := range task.Holders() {
		if worker := l.workers[attempt.Node]; worker != nil {
			most = max(most, worker.frames[job.Ref{Job: record.Job.ID, Task: task.ID, Attempt: attempt.Number}].Frames)
		}
	}
	return most
}

// progresses is how far all running jobs have come, and what others wait for.
func (l *leader) progresses() (Progresses, error) {
	if !l.leads() {
		return nil, cluster.ErrNotLeader
	}
	all := make(Progresses)
	for record := range l.state.Stale().Unsettled() {
		if progress, known := l.Progress(record.Job.ID); known {
			all[record.Job.ID] = RunProgress{Run: record.Job.Run, Percent: progress.Percent, ETA: progress.ETA, WaitsFor: progress.WaitsFor}
		}
	}
	return all, nil
}

// leads says whether this leader is in office.
func (l *leader) leads() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leading
}

// taskWork weighs a task: frames of its renditions, or of sound.
func taskWork(task *job.Task, plan *job.Plan) float64 {
	switch task.Kind {
	case job.EncodeTask:
		pixels := 0
		for _, rendition := range renditionsOf(plan, task.Renditions) {
			pixels += rendition.Width * rendition.Height
		}
		return float64(task.Chunk.Frames.Len()) * float64(pixels)
	case job.AudioTask:
		return float64(plan.Timeline.Frames) * audioPixels
	}
	return 0
}

func taskFrames(task *job.Task, plan *job.Plan) float64 {
	if task.Chunk != nil {
		return float64(task.Chunk.Frames.Len())
	}
	return float64(plan.Timeline.Frames)
}
