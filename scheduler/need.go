package scheduler

import (
	"millrace/hwaccel"
	"millrace/job"
)

// What a run of ffmpeg takes of memory besides what grows with the picture, and
// that growth, per pixel of the largest rendition: measured with a ladder of
// five from 1080p, one thread, 381 MiB in all (docs/benchmarks.md).
const (
	runBytes       = 150 << 20
	bytesPerPixel  = 120
	smallTaskBytes = 100 << 20
)

// Need is the room that a task takes up on a CPU. One thread for each encode:
// narrow encodes side by side take 0.93 of the CPU time of a wide one.
func Need(kind job.TaskKind, plan *job.Plan, threads int) hwaccel.Room {
	need := hwaccel.Room{Threads: max(1, threads), MemoryBytes: smallTaskBytes}
	if kind == job.EncodeTask && plan != nil {
		largest := 0
		for _, rendition := range plan.Renditions {
			largest = max(largest, rendition.Width*rendition.Height)
		}
		source := plan.Source.Width * plan.Source.Height
		need.MemoryBytes = runBytes + bytesPerPixel*int64(max(largest, source))
	}
	return need
}
