package node

import (
	"slices"
	"strings"

	"millrace/hwaccel"
	"millrace/job"
	"millrace/scheduler"
)

// describeJob is what the scheduler is to know of a job.
func describeJob(record job.Record) scheduler.Job {
	j := scheduler.Job{
		ID: record.Job.ID, Org: record.Job.Org, Priority: record.Job.Spec.Priority, Queued: record.Job.Created,
		Started: record.Job.Status != job.Queued, Deadline: record.Job.Spec.Deadline,
	}
	if record.Job.Plan != nil {
		j.Frames = record.Job.Plan.Timeline.Frames
	}
	return j
}

// efforts is what a frame takes at each quality, in percent of standard: the
// presets' own proportions (see hwaccel's table of encoders).
var efforts = map[job.Quality]int{job.Economy: 50, job.Standard: 100, job.High: 300}

// describeTask is what the scheduler is to know of a task.
func describeTask(record job.Record, task *job.Task) scheduler.Task {
	described := scheduler.Task{Job: record.Job.ID, Task: task.ID, Work: scheduler.Work{Kind: task.Kind, Requires: labelsFor(record.Job.Spec)}, Frames: 1}
	plan := record.Job.Plan
	switch {
	case plan == nil:
	case task.Kind == job.EncodeTask:
		described.Work = encodeWork(record.Job.Spec, plan, renditionsOf(plan, task.Renditions))
		described.Frames = task.Chunk.Frames.Len()
	case task.Kind == job.AudioTask:
		described.Frames = scheduler.SoundFrames(plan)
	case task.Kind == job.ThumbnailsTask:
		described.Frames = plan.Timeline.Frames
	}
	described.FailedOn = failedOn(task)
	return described
}

// failedOn is where a task failed: on a device, or on a machine if that may be at fault,
// since it is none of the device's failures or a second of its devices failed.
func failedOn(task *job.Task) (places []scheduler.Place) {
	for _, attempt := range task.Attempts {
		if attempt.Outcome != job.OutcomeFailed {
			continue
		}
		at := scheduler.Place{Node: attempt.Node, Device: attempt.Device}
		remedy := hwaccel.RemedyFor(attempt.Failure.Code)
		if remedy == hwaccel.RetryHere {
			continue
		}
		second := slices.ContainsFunc(places, func(p scheduler.Place) bool { return p.Node == at.Node && p.Device != at.Device })
		if second || remedy != hwaccel.Elsewhere && remedy != hwaccel.NextEncoder {
			at.Device = ""
		}
		if !slices.Contains(places, at) {
			places = append(places, at)
		}
	}
	return places
}

// encodeWork is what a frame of some renditions is to the scheduler.
func encodeWork(spec job.Spec, plan *job.Plan, renditions []job.Rendition) scheduler.Work {
	work := scheduler.Work{
		Kind: job.EncodeTask, Ladder: scheduler.Ladder(renditions), Effort: efforts[spec.Quality],
		SourceCodec: plan.Source.VideoCodec, SourcePixels: scheduler.SourcePixels(plan.Source.Width, plan.Source.Height),
		ToneMap: plan.Picture.ToneMap, Deinterlace: plan.Picture.Deinterlace,
		Requires: strings.Join(spec.Requires, ","), Prefer: prefers[spec.Prefer],
	}
	if len(renditions) > 0 {
		work.Encoders = renditions[0].Encoder
	}
	if seconds := plan.Source.Duration.Seconds(); seconds > 0 {
		work.Density = scheduler.Density(float64(plan.Source.SizeBytes)*8/seconds, plan.Source.Width*plan.Source.Height)
	}
	return work
}

func renditionsOf(plan *job.Plan, names []string) []job.Rendition {
	var list []job.Rendition
	for _, rendition := range plan.Renditions {
		if slices.Contains(names, rendition.Name) {
			list = append(list, rendition)
		}
	}
	return list
}

// prefers is what the scheduler is told of a job's preference.
var prefers = map[job.Preference]string{job.PreferEnergy: scheduler.PreferEnergy}

// wanted is any encode of a job, as far as that is known before its source is.
func wanted(spec job.Spec) scheduler.Work {
	return scheduler.Work{Kind: job.EncodeTask, Encoders: encodersFor(spec), Requires: strings.Join(spec.Requires, ","), Prefer: prefers[spec.Prefer]}
}

// encodersFor names the encoders that can make a job's codec and are of the kind
// that it requires, separated by commas.
func encodersFor(spec job.Spec) string {
	names := ""
	for _, row := range hwaccel.Rows() {
		if row.Codec == spec.Codec && job.OfKind(row.Encoder, spec.RequiredKind()) {
			if names != "" {
				names += ","
			}
			names += row.Encoder
		}
	}
	return names
}
