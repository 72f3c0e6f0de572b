package node

import (
	"fmt"
	"slices"

	"millrace/cluster"
	"millrace/hwaccel"
	"millrace/job"
	"millrace/scheduler"
)

const (
	// lostTries is how many attempts of a task must be lost with their devices before
	// the encoder is given up: one may come of a driver's hiccup.
	lostTries = 2
	// lostDevices is on how many devices at most: then it isn't they.
	lostDevices = job.MaxFailures
)

// nodeDevice is a device of a node.
type nodeDevice struct{ node, device string }

// lostChunk is a chunk that waits and was lost with its device several times. That counts
// as no failure of the task, since another device may do it.
type lostChunk struct {
	task    job.TaskID
	tries   int
	on      []nodeDevice // where, each once
	message string       // of the latest
}

// lostOf finds such chunks of renditions that are bound to an encoder.
func lostOf(record job.Record, encoder string, renditions []string) (list []lostChunk) {
	for _, task := range record.Tasks {
		if last := task.Last(); task.Kind != job.EncodeTask || task.State != job.TaskWaiting || last == nil || !slices.Equal(task.Renditions, renditions) {
			continue
		}
		found := lostChunk{task: task.ID}
		for _, attempt := range slices.Backward(task.Attempts) {
			if attempt.Encoder != encoder || attempt.Started.Before(record.Job.Started) {
				break // of an encoder, or a run, before
			}
			if attempt.Outcome != job.OutcomeFailed || attempt.Failure.Code != job.HardwareLost {
				continue
			}
			if found.tries++; found.tries == 1 {
				found.message = attempt.Failure.Message
			}
			if on := (nodeDevice{attempt.Node, attempt.Device}); !slices.Contains(found.on, on) {
				found.on = append(found.on, on)
			}
		}
		if found.tries >= lostTries {
			list = append(list, found)
		}
	}
	return list
}

// noneLeft says why renditions' encoder should be given up since a chunk was lost with all
// devices that there are for it, or with too many; empty if another one may do it.
// Devices that write other headers than the chunks have are none: all would have to be
// made anew, and could begin on the same device again.
func (l *leader) noneLeft(view cluster.View, m making) string {
	for _, k := range m.lost {
		if len(k.on) >= lostDevices || !l.offeredBesides(view, m.with, k.on) {
			return fmt.Sprintf("%s was lost with its device %d times, the last time: %s", k.task, k.tries, k.message)
		}
	}
	return ""
}

// offeredBesides says whether an open node with such labels has a device, besides some,
// on which the encoder works and writes such headers.
func (l *leader) offeredBesides(view cluster.View, with made, besides []nodeDevice) bool {
	now := l.now()
	for node, worker := range l.workers {
		if worker.closed(view, now) != "" || !scheduler.Meets(with.labels, worker.report.Labels, worker.report.Taints, "") {
			continue
		}
		if slices.ContainsFunc(worker.report.Profiles, func(p hwaccel.Profile) bool {
			return p.Works(with.encoder) && (with.headers == "" || p.Headers(with.encoder) == with.headers) &&
				!slices.Contains(besides, nodeDevice{node, p.Device.ID})
		}) {
			return true
		}
	}
	return false
}
