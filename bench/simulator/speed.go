package simulator

import (
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"time"

	"millrace/job"
	"millrace/scheduler"
)

// Speed is how fast the scheduler decides, on a rack that is kept full: each
// event is the end of one attempt, and its decision what starts in its place.
type Speed struct {
	Devices int `json:"devices"`
	Waiting int `json:"waiting"`
	Placed  int `json:"placed"`
	// PerSecond is placements for each second of CPU time of the whole process,
	// collecting garbage included: what one core does. PerSecondWall is by the
	// clock, other processes' work included.
	PerSecond     float64 `json:"per_second"`
	PerSecondWall float64 `json:"per_second_wall"`
	// Quantiles of the time from an event to its decision, by the clock.
	EventP50Micros float64 `json:"event_p50_us"`
	EventP99Micros float64 `json:"event_p99_us"`
	// Curve is the mean time of a placement after so many, in microseconds of CPU time.
	Curve []Point `json:"curve"`
}

// Point is one of the curve.
type Point struct {
	Placed int     `json:"placed"`
	Micros float64 `json:"micros"`
}

// MeasureSpeed fills a rack of so many devices from a queue of so many tasks
// and places as many more.
func MeasureSpeed(devices, tasks, placements int) Speed {
	e := filledQueue(devices, tasks)
	now := epoch
	running := refs(nil, e.Decide())
	speed := Speed{Devices: devices, Waiting: tasks}
	placements = min(placements, tasks-len(running))
	runtime.GC()
	var times []float64
	start, startCPU := time.Now(), cpuTime()
	lastCPU, every := startCPU, max(1, placements/20)
	for i := 0; speed.Placed < placements && i < len(running); i++ {
		event := time.Now()
		now = now.Add(time.Millisecond)
		e.Advance(now)
		e.End(running[i], 20*time.Second)
		placed := e.Decide()
		running = refs(running, placed)
		before := speed.Placed / every
		speed.Placed += len(placed)
		times = append(times, float64(time.Since(event).Nanoseconds())/1000)
		if speed.Placed/every > before {
			cpu := cpuTime()
			speed.Curve = append(speed.Curve, Point{speed.Placed, (cpu - lastCPU).Seconds() * 1e6 / float64(every)})
			lastCPU = cpu
		}
	}
	speed.PerSecond = finite(float64(speed.Placed) / (cpuTime() - startCPU).Seconds())
	speed.PerSecondWall = finite(float64(speed.Placed) / time.Since(start).Seconds())
	slices.Sort(times)
	speed.EventP50Micros, speed.EventP99Micros = quantile(times, 0.5), quantile(times, 0.99)
	return speed
}

func refs(list []job.Ref, placed []scheduler.Assignment) []job.Ref {
	for _, a := range placed {
		list = append(list, job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt})
	}
	return list
}

// cpuTime is what this process has used of CPUs.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// filledQueue is a mixed rack without anything running, and jobs of a hundred
// chunks from twenty organisations.
func filledQueue(devices, tasks int) *scheduler.Engine {
	e := scheduler.NewEngine(epoch)
	order := []string{"l4", "cpu8", "t4", "cpu64", "a10", "arc"}
	for n, made := 0, 0; made < devices; n++ {
		node := kinds[order[n%len(order)]]()
		node.ID = fmt.Sprintf("n%05d", n)
		made += len(node.Devices)
		e.SetNode(node)
	}
	const perJob = 100
	for i := range tasks / perJob {
		u := upload{id: job.ID(fmt.Sprintf("j%07d", i)), clip: clips[i%len(clips)], density: 4}
		e.SetJob(scheduler.Job{ID: u.id, Org: fmt.Sprint("o", i%20), Queued: at(float64(i) / 1000), Frames: perJob * 900, Started: true})
		work := u.work(job.EncodeTask, u.clip.renditions())
		for t := range perJob {
			e.Queue(scheduler.Task{Job: u.id, Task: job.EncodeTaskID(t), Attempt: 1, Work: work, Frames: int64(900 - t)})
		}
	}
	return e
}
