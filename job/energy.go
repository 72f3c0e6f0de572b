package job

import "slices"

// Spent notes the energy of the attempt that ref names, in joules, so that what
// ends it keeps it. An attempt that doesn't hold the task, and an energy that
// isn't known (0), change nothing.
func (r Record) Spent(ref Ref, joules float64) Record {
	i := slices.IndexFunc(r.Tasks, func(t *Task) bool { return t.ID == ref.Task })
	if joules <= 0 || i < 0 || !r.Tasks[i].Held() || r.Tasks[i].Holder(ref.Attempt) == nil {
		return r
	}
	task := *r.Tasks[i]
	task.Attempts = slices.Clone(task.Attempts)
	spent := task.Holder(ref.Attempt)
	spent.EnergyJoules = joules
	if minutes := r.videoMinutes(&task); minutes > 0 {
		spent.JoulesPerVideoMinute = joules / minutes
	}
	r.Tasks = slices.Clone(r.Tasks)
	r.Tasks[i] = &task
	return r
}

// videoMinutes is how much of the video a task is for: an encode task for its
// chunk, others for all of it; 0 before the plan is made.
func (r Record) videoMinutes(task *Task) float64 {
	if r.Job == nil || r.Job.Plan == nil {
		return 0
	}
	timeline := r.Job.Plan.Timeline
	frames := timeline.Frames
	if task.Chunk != nil {
		frames = task.Chunk.Frames.Len()
	}
	if timeline.Rate.Num <= 0 {
		return 0
	}
	return float64(frames) * float64(timeline.Rate.Den) / float64(timeline.Rate.Num) / 60
}
