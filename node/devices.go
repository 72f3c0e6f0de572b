package node

import (
	"context"
	"errors"

	"millrace/hwaccel"
	"millrace/job"
)

// uses lets the inventory know what attempts do with this node's devices, and
// ends those whose device is lost. It is an executor around another.
type uses struct {
	inventory *hwaccel.Inventory
	executor  executor
	energy    *energyMetrics // nil counts nothing
}

func (u *uses) execute(ctx context.Context, order Order, progress progressFunc) Ended {
	device, encoder, sessions := order.Device, "", 0
	if order.Task.Kind == job.EncodeTask {
		encoder, sessions = order.Encoder, max(1, len(order.Task.Renditions))
	}
	on, use := u.inventory.Begin(ctx, device, encoder, sessions, order.Threads)
	ended := u.executor.execute(on, order, progress)
	// That ffmpeg failed too is only what follows.
	var lost *job.Failure
	if ctx.Err() == nil && ended.Result == nil && errors.As(context.Cause(on), &lost) {
		ended = Ended{Failure: lost, LastWords: ended.LastWords}
	}
	// The energy is worth a moment though ctx may have ended.
	ended.EnergyJoules = use.End(context.WithoutCancel(ctx), ended.Failure, ended.Stopped)
	u.energy.note(order, ended)
	return ended
}
