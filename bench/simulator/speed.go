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
	// which has one core for as long (GOMAXPROCS is 1): collecting garbage is
	// counted, and other processes' work isn't. PerSecondWall is by the clock.
	PerSecond     float64 `json:"per_second"`
	PerSecondWall float64 `json:"per_second_wall"`
	// Quantiles of the time from an event to its decision, by the clock.
	EventP50Micros float64 `json:"event_p50_us"`
	EventP99Micros float64 `json:"event_p99_us"`
	EventMaxMicros float64 `json:"event_max_us"`
	// Curve is the mean time of a placement after so many.
	Curve []Point `json:"curve"`
	// LaterToEarlier is that time over the later half of the curve to the earlier
	// half: 1 if a decision costs the same however much was placed before.
	LaterToEarlier float64 `json:"later_to_earlier"`
}

// Point is one of the curve.
type Point struct {
	Placed int `json:"placed"`
	// Nanos is CPU time for each placement since the point before.
	Nanos float64 `json:"ns"`
}

// curvePoints is how many points the curve has.
const curvePoints = 10

// MeasureSpeed fills a rack of so many devices from a queue of so many tasks and
// places as many more. The queue is filled up again at each point of the curve,
// which isn't counted, so that points differ in nothing but what was placed
// before.
func MeasureSpeed(devices, tasks, placements int) Speed {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	b := newBacklog(devices)
	b.fill(tasks)
	now := epoch
	running := refs(nil, b.engine.Decide())
	speed := Speed{Devices: devices, Waiting: tasks}
	times := make([]float64, 0, placements)
	var cpu, wall time.Duration
	for point := range curvePoints {
		b.fill(tasks)
		runtime.GC() // of the filling
		placed, until := 0, placements*(point+1)/curvePoints-speed.Placed
		started, startedCPU := time.Now(), cpuTime()
		for placed < until && len(running) > 0 {
			event := time.Now()
			now = now.Add(time.Millisecond)
			ended := running[0]
			running = running[1:]
			b.engine.Advance(now)
			b.end(ended)
			starts := b.engine.Decide()
			times = append(times, float64(time.Since(event).Nanoseconds())/1000)
			running = refs(running, starts)
			placed += len(starts)
		}
		took := cpuTime() - startedCPU
		cpu, wall = cpu+took, wall+time.Since(started)
		speed.Placed += placed
		speed.Curve = append(speed.Curve, Point{speed.Placed, finite(float64(took.Nanoseconds()) / float64(placed))})
	}
	speed.PerSecond = finite(float64(speed.Placed) / cpu.Seconds())
	speed.PerSecondWall = finite(float64(speed.Placed) / wall.Seconds())
	slices.Sort(times)
	speed.EventP50Micros, speed.EventP99Micros, speed.EventMaxMicros = quantile(times, 0.5), quantile(times, 0.99), quantile(times, 1)
	speed.LaterToEarlier = laterToEarlier(speed.Curve)
	return speed
}

func laterToEarlier(curve []Point) float64 {
	var halves [2]float64
	for i, point := range curve {
		halves[2*i/len(curve)] += point.Nanos
	}
	return finite(halves[1] / halves[0])
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

// backlog is a mixed rack with more work than it can do, from twenty
// organisations.
type backlog struct {
	engine *scheduler.Engine
	jobs   int            // made so far
	left   map[job.ID]int // tasks of each job that haven't ended
	names  []job.TaskID   // shared by all jobs
}

// backlogTasks is how many chunks each job has.
const backlogTasks = 100

func newBacklog(devices int) *backlog {
	b := &backlog{engine: scheduler.NewEngine(epoch), left: make(map[job.ID]int)}
	order := []string{"l4", "cpu8", "t4", "cpu64", "a10", "arc"}
	for n, made := 0, 0; made < devices; n++ {
		node := kinds[order[n%len(order)]]()
		node.ID = fmt.Sprintf("n%05d", n)
		made += len(node.Devices)
		b.engine.SetNode(node)
	}
	for t := range backlogTasks {
		b.names = append(b.names, job.EncodeTaskID(t))
	}
	return b
}

// fill queues jobs until so many tasks wait.
func (b *backlog) fill(tasks int) {
	for b.engine.Waiting() < tasks {
		i := b.jobs
		b.jobs++
		u := upload{id: job.ID(fmt.Sprintf("j%07d", i)), clip: clips[i%len(clips)], density: 4}
		b.engine.SetJob(scheduler.Job{
			ID: u.id, Org: fmt.Sprint("o", i%20), Queued: at(float64(i) / 1000), Frames: backlogTasks * 900, Started: true,
		})
		work := u.work(job.EncodeTask, u.clip.renditions())
		work.Encoders = b.engine.Outlook(u.id, work, backlogTasks*900).Encoder // as a job is planned
		for t, name := range b.names {
			b.engine.Queue(scheduler.Task{Job: u.id, Task: name, Attempt: 1, Work: work, Frames: int64(900 - t)})
		}
		b.left[u.id] = backlogTasks
	}
}

// end ends an attempt, and its job with the last one.
func (b *backlog) end(ref job.Ref) {
	b.engine.End(ref, 20*time.Second)
	if b.left[ref.Job]--; b.left[ref.Job] == 0 {
		delete(b.left, ref.Job)
		b.engine.RemoveJob(ref.Job)
	}
}
