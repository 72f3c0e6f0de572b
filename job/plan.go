package job

import (
	"fmt"
	"slices"
	"time"
)

// PlanTasks lists the tasks that a plan needs after its inspection: an encode
// task for each chunk with the whole ladder (so that each frame is decoded
// once), or for each chunk and group of renditions where the plan has such, one
// audio task, thumbnails if asked for, and the package task. whole are the indices
// of the chunks that have one task although the plan has groups.
func PlanTasks(id ID, spec Spec, plan Plan, whole ...int) []Task {
	names := make([]string, len(plan.Renditions))
	for i, rendition := range plan.Renditions {
		names[i] = rendition.Name
	}
	var tasks []Task
	for _, chunk := range plan.Chunks {
		if len(plan.Groups) == 0 || slices.Contains(whole, chunk.Index) {
			tasks = append(tasks, Task{ID: EncodeTaskID(chunk.Index), Kind: EncodeTask, Chunk: &chunk, Renditions: names})
			continue
		}
		for i, group := range plan.Groups {
			tasks = append(tasks, Task{ID: encodeGroupID(chunk.Index, i+1), Kind: EncodeTask, Chunk: &chunk, Renditions: group})
		}
	}
	if len(plan.Audio) > 0 {
		tasks = append(tasks, Task{ID: TaskID(AudioTask), Kind: AudioTask})
	}
	if spec.Wants(Thumbnails) {
		tasks = append(tasks, Task{ID: TaskID(ThumbnailsTask), Kind: ThumbnailsTask})
	}
	tasks = append(tasks, Task{ID: TaskID(PackageTask), Kind: PackageTask})
	for i := range tasks {
		tasks[i].Job, tasks[i].State = id, TaskWaiting
	}
	return tasks
}

// InParts says whether several encoders make a plan's renditions, each some of them.
func (p *Plan) InParts() bool {
	return p != nil && slices.ContainsFunc(p.Renditions, func(r Rendition) bool { return r.Encoder != p.Renditions[0].Encoder })
}

// Whole are the indices of the chunks whose ladder one task makes although the plan has
// groups.
func (r Record) Whole() []int {
	if len(r.Job.Plan.Groups) == 0 {
		return nil // all of them, and a film has thousands
	}
	var whole []int
	for _, chunk := range r.Job.Plan.Chunks {
		if r.Task(EncodeTaskID(chunk.Index)) != nil {
			whole = append(whole, chunk.Index)
		}
	}
	return whole
}

// Adopt takes the plan that an inspect attempt reported, cut into chunks, and
// puts its tasks in the queue. On a retry, finished tasks that the new plan
// needs unchanged are kept.
func (r Record) Adopt(ref Ref, plan Plan, tasks []Task, at time.Time) (Change, error) {
	inspect, err := r.end(ref, OutcomeFinished, nil, "", 0, at)
	if err != nil || inspect.State != TaskRunning {
		return Change{Tasks: compact(inspect)}, err
	}
	if inspect.Kind != InspectTask {
		return Change{}, fmt.Errorf("plan from %s: %w", ref, ErrTransition)
	}
	if inspect, err = inspect.to(TaskFinished); err != nil {
		return Change{}, err
	}
	planned := *r.Job
	planned.Plan = &plan
	change := Change{Job: &planned, Tasks: []*Task{inspect}}
	keep := r.Job.Plan != nil && r.Job.Plan.covers(plan)
	for _, task := range tasks {
		task.Job, task.State = r.Job.ID, TaskWaiting
		if old := r.Task(task.ID); old != nil {
			if old.State == TaskFinished && keep {
				continue
			}
			if old.Held() {
				return Change{}, fmt.Errorf("plan %s again while %s runs: %w", r.Job.ID, old.ID, ErrTransition)
			}
			// The numbers go on, so that an attempt of an earlier run stays fenced.
			task.Attempts = old.Attempts
		}
		change.Tasks = append(change.Tasks, &task)
	}
	for _, old := range r.Tasks {
		planned := slices.ContainsFunc(tasks, func(t Task) bool { return t.ID == old.ID })
		if !planned && old.Kind != InspectTask && old.Kind != CleanupTask {
			change.Removed = append(change.Removed, old.ID)
		}
	}
	return change, nil
}

// covers says whether segments made for plan p serve plan next just as well.
func (p Plan) covers(next Plan) bool {
	return p.Source.Identity == next.Source.Identity &&
		p.Timeline == next.Timeline &&
		p.Picture == next.Picture &&
		p.DelayFrames == next.DelayFrames &&
		slices.Equal(p.Chunks, next.Chunks) &&
		slices.EqualFunc(p.Groups, next.Groups, slices.Equal) &&
		slices.Equal(p.Audio, next.Audio) &&
		!slices.ContainsFunc(next.Renditions, func(r Rendition) bool { return !slices.Contains(p.Renditions, r) })
}

// Retry queues a failed or cancelled job again. With resolutions, only those
// rungs of what was asked for. The source is inspected anew; finished chunks
// that the new plan needs unchanged are kept (see Adopt).
func (r Record) Retry(resolutions []Resolution, at time.Time) (Change, error) {
	if r.Job.Status != Error && r.Job.Status != Cancelled {
		return Change{}, fmt.Errorf("retry a job that is %s: %w", r.Job.Status, ErrNotEnded)
	}
	if cleanup := r.Task(TaskID(CleanupTask)); r.held() || cleanup != nil && cleanup.State == TaskWaiting {
		return Change{}, fmt.Errorf("retry %s: %w", r.Job.ID, ErrStopping)
	}
	queued, err := r.Job.to(Queued, at)
	if err != nil {
		return Change{}, err
	}
	queued.Run++
	if len(resolutions) > 0 {
		queued.Spec.Resolutions = slices.Clone(resolutions)
	}
	change := Change{Job: queued}
	for _, task := range r.Tasks {
		copied := *task
		copied.Failures = 0
		if task.Kind == InspectTask {
			again, err := task.to(TaskWaiting)
			if err != nil {
				return Change{}, err
			}
			copied.State, copied.Result = again.State, nil
		}
		if copied.State != task.State || copied.Failures != task.Failures {
			change.Tasks = append(change.Tasks, &copied)
		}
	}
	return change, nil
}
