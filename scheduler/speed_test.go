package scheduler

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"millrace/job"
)

// BenchmarkEngine keeps a rack of 10,000 devices full from a queue of 1,000,000
// tasks: each round one attempt ends and whatever then fits is placed. It
// reports placements a second, and how long an event takes to its decision.
func BenchmarkEngine(b *testing.B) {
	for b.Loop() {
		e, waiting := largeRack(10_000, 1_000_000)
		started := time.Now()
		placed := e.Decide()
		filled := time.Since(started)
		b.ReportMetric(float64(len(placed))/filled.Seconds(), "fill/s")
		running := make([]job.Ref, 0, len(placed))
		for _, a := range placed {
			running = append(running, job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt})
		}
		var times []time.Duration
		count := 0
		now := noon
		started = time.Now()
		for i := 0; count < min(300_000, waiting-len(placed)); i++ {
			event := time.Now()
			now = now.Add(time.Millisecond)
			e.Advance(now)
			e.End(running[i], 20*time.Second)
			for _, a := range e.Decide() {
				running = append(running, job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt})
				count++
			}
			times = append(times, time.Since(event))
		}
		b.ReportMetric(float64(count)/time.Since(started).Seconds(), "placements/s")
		slices.Sort(times)
		b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-µs")
		b.ReportMetric(float64(times[len(times)-1].Microseconds()), "max-µs")
	}
}

func largeRack(devices, tasks int) (*Engine, int) {
	e := NewEngine(noon)
	for n, made := 0, 0; made < devices; n++ {
		id := fmt.Sprintf("n%05d", n)
		var node Node
		switch n % 4 {
		case 0:
			node = gpuNode(id, 32, 4, nil)
		case 1:
			node = gpuNode(id, 16, 1, func(d *Device) { d.Encoders[0].FramesPerSecond[fullHD1] = 1300 })
		case 2:
			node = cpuNode(id, 8, nil)
		default:
			node = cpuNode(id, 64, nil)
		}
		made += len(node.Devices)
		e.SetNode(node)
	}
	works := []Work{
		ladderWork(nil),
		ladderWork(func(w *Work) { w.Ladder = "1280x720,854x480,640x360" }),
		ladderWork(func(w *Work) { w.SourceCodec = "hevc" }),
		ladderWork(func(w *Work) { w.Ladder = "854x480,640x360"; w.SourcePixels = hd }),
	}
	const perJob = 100
	for i := range tasks / perJob {
		id := job.ID(fmt.Sprintf("j%07d", i))
		e.SetJob(Job{ID: id, Org: fmt.Sprint("o", i%20), Queued: noon.Add(time.Duration(i) * time.Millisecond), Frames: perJob * 900})
		for t := range perJob {
			e.Queue(Task{Job: id, Task: job.EncodeTaskID(t), Attempt: 1, Work: works[i%len(works)], Frames: int64(900 - t)})
		}
	}
	return e, tasks
}
