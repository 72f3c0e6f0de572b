package scheduler

import (
	"fmt"
	"time"

	"millrace/hwaccel"
	"millrace/job"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

const (
	hd       = 1280 * 720
	fullHD1  = 1920 * 1080
	ladder5  = "1920x1080,1280x720,854x480,640x360,426x240"
	tenYears = 10 * 365 * 24 * time.Hour
)

// cpuNode is a node with a CPU of so many threads, which encodes a frame of
// 1080p on each of them 40 times a second.
func cpuNode(id string, threads int, change func(*Node)) Node {
	node := Node{
		ID: id, Session: "s", Host: Room{Threads: int64(threads) * Thread, Memory: 64 << 30},
		Devices: []Device{{
			ID: "cpu", Kind: hwaccel.CPU,
			Encoders: []Speed{{Codec: "libx264", FramesPerSecond: map[int]float64{fullHD1: 40 * float64(threads), 640 * 360: 360 * float64(threads)}}},
		}},
	}
	if change != nil {
		change(&node)
	}
	return node
}

// gpuNode has a CPU and GPUs that encode and decode.
func gpuNode(id string, threads, gpus int, change func(*Device)) Node {
	return cpuNode(id, threads, func(n *Node) {
		for i := range gpus {
			d := Device{
				ID: fmt.Sprintf("gpu-%d", i), Kind: hwaccel.NVIDIA, MemoryBytes: 16 << 30,
				Encoders: []Speed{{Codec: "h264_nvenc", FramesPerSecond: map[int]float64{fullHD1: 600, 640 * 360: 3000}}},
				Decoders: []Speed{{Codec: "h264", FramesPerSecond: map[int]float64{fullHD1: 1500}}},
			}
			if change != nil {
				change(&d)
			}
			n.Devices = append(n.Devices, d)
		}
	})
}

// ladderWork is a whole ladder from a 1080p source, by any encoder.
func ladderWork(change func(*Work)) Work {
	work := Work{Kind: job.EncodeTask, Encoders: "h264_nvenc,libx264", Ladder: ladder5, SourceCodec: "h264", SourcePixels: fullHD1}
	if change != nil {
		change(&work)
	}
	return work
}

// engineWith is an engine at noon with these nodes.
func engineWith(nodes ...Node) *Engine {
	e := NewEngine(noon)
	for _, node := range nodes {
		e.SetNode(node)
	}
	return e
}

// queue adds a job with encode tasks of so many frames each.
func queue(e *Engine, j Job, work Work, frames ...int64) {
	if j.Queued.IsZero() {
		j.Queued = noon
	}
	if j.Org == "" {
		j.Org = "o"
	}
	e.SetJob(j)
	for i, n := range frames {
		e.Queue(Task{Job: j.ID, Task: job.EncodeTaskID(i), Attempt: 1, Work: work, Frames: n})
	}
}

// where writes a decision as "job/task@node/device×threads".
func where(placed []Assignment) []string {
	var list []string
	for _, a := range placed {
		list = append(list, fmt.Sprintf("%s/%s@%s/%s×%d", a.Job, a.Task, a.Node, a.Device, a.Threads))
	}
	return list
}
