package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"millrace/api"
	"millrace/hwaccel"
	"millrace/job"
	"millrace/media"
	"millrace/storage"
)

// opener decrypts what the API sealed.
type opener interface {
	Open(sealed []byte, context string) ([]byte, error)
}

// lease lets an attempt change what readers see only while it is the one that
// may (see worker.whileHeld), and a backup write anything only once it is alone.
type lease interface {
	holdAlone(ctx context.Context, ref job.Ref) error
	whileHeld(ctx context.Context, ref job.Ref, change func(ctx context.Context) error) error
}

// tasks runs attempts with the media room's toolbox.
type tasks struct {
	toolbox  *media.Toolbox
	store    *storage.Store
	loopback *storage.Loopback
	secrets  opener
	lease    lease
	log      *slog.Logger
	// devices is what the node has now.
	devices func() []hwaccel.Profile
}

// device is what trials found of one of the node's devices.
func (t *tasks) device(id string) hwaccel.Profile {
	for _, profile := range t.devices() {
		if profile.Device.ID == id {
			return profile
		}
	}
	return hwaccel.Profile{}
}

type progressFunc = func(frames int64, framesPerSecond float64)

func (t *tasks) execute(ctx context.Context, order Order, progress progressFunc) Ended {
	log := t.log.With("job", order.Ref.Job, "task", order.Ref.Task, "attempt", order.Ref.Attempt)
	result, err := t.run(ctx, order, progress)
	switch {
	case err == nil:
		return Ended{Result: &result}
	case ctx.Err() != nil, errors.Is(err, errFenced):
		log.Debug("attempt stopped", "err", err)
		return Ended{Stopped: true}
	}
	ended := Ended{Failure: failureOf(err)}
	var run *media.RunError
	if errors.As(err, &run) {
		ended.LastWords = run.LastWords
	}
	var redo *media.RedoError
	if errors.As(err, &redo) {
		ended.Redo = redo.Tasks
	}
	log.Debug("attempt failed", "err", err)
	return ended
}

// failureOf finds the failure to show in an error. One that has none is a bug,
// or a fault of this machine.
func failureOf(err error) *job.Failure {
	var failure *job.Failure
	if errors.As(err, &failure) {
		return failure
	}
	return job.Fail(job.InternalError, "%v", err)
}

func (t *tasks) run(ctx context.Context, order Order, progress progressFunc) (job.Result, error) {
	output, err := t.openOutput(ctx, order.Spec.Output)
	if err != nil {
		return job.Result{}, err
	}
	whileHeld := func(ctx context.Context, change func(ctx context.Context) error) error {
		return t.lease.whileHeld(ctx, order.Ref, change)
	}
	switch order.Task.Kind {
	case job.PackageTask:
		return t.toolbox.Package(ctx, output, media.PackageTask{
			Spec: order.Spec, Plan: *order.Plan, Tasks: order.Finished, WhileHeld: whileHeld,
		})
	case job.CleanupTask:
		return job.Result{}, whileHeld(ctx, func(ctx context.Context) error { return media.Cleanup(ctx, output, order.Plan) })
	}

	source, err := t.openSource(ctx, order)
	if err != nil {
		return job.Result{}, err
	}
	defer func() { _ = source.Close() }()
	served := t.loopback.Serve(source)
	defer served.Release()
	in := media.Input{URL: served.URL(), Name: source.Name(), Reader: source, Size: source.Size(), Identity: source.Identity()}
	result, err := t.runOnSource(ctx, order, in, output, progress)
	// ffmpeg can only say that reading failed; the source itself knows why.
	if failure := served.Failure(); err != nil && failure != nil {
		return job.Result{}, fmt.Errorf("read the source: %w", failure)
	}
	return result, err
}

func (t *tasks) runOnSource(ctx context.Context, order Order, in media.Input, output *storage.Output, progress progressFunc) (job.Result, error) {
	switch order.Task.Kind {
	case job.InspectTask:
		encoder, known := hwaccel.Encoder(order.Encoder)
		if !known {
			return job.Result{}, job.Fail(job.HardwareUnavailable, "this node knows no encoder %q", order.Encoder)
		}
		plan, err := t.toolbox.Inspect(ctx, in, order.Spec, encoder)
		if err != nil {
			return job.Result{}, err
		}
		return job.Result{Plan: &plan}, t.lease.whileHeld(ctx, order.Ref, func(ctx context.Context) error {
			return media.Prepare(ctx, output, plan)
		})
	case job.EncodeTask:
		encoder, known := hwaccel.Encoder(order.Encoder)
		if !known {
			return job.Result{}, job.Fail(job.HardwareUnavailable, "this node knows no encoder %q", order.Encoder)
		}
		device := t.device(order.Device)
		if encoder.Kind != hwaccel.CPU && !encoder.DrivenBy(device.Device) {
			return job.Result{}, job.Fail(job.HardwareUnavailable, "this node has no device %q for %s any more", order.Device, order.Encoder)
		}
		var alone func(context.Context) error
		if order.BackupOf != 0 {
			alone = func(ctx context.Context) error { return t.lease.holdAlone(ctx, order.Ref) }
		}
		return t.toolbox.Encode(ctx, in, output, media.EncodeTask{
			Alone: alone,
			Plan:  *order.Plan, Quality: order.Spec.Quality, Chunk: *order.Task.Chunk,
			Renditions: media.Renditions(*order.Plan, order.Task.Renditions),
			Encoder:    encoder, Device: device, Plain: order.Task.Failures > 0, Threads: order.Threads, Attempt: order.Ref.Attempt, Progress: progress,
		})
	case job.AudioTask:
		return t.toolbox.Audio(ctx, in, output, *order.Plan, order.Threads, progress)
	case job.ThumbnailsTask:
		return t.toolbox.Thumbnails(ctx, in, output, *order.Plan)
	}
	return job.Result{}, job.Fail(job.InternalError, "this node doesn't know tasks of kind %q", order.Task.Kind)
}

// openSource opens the job's source and makes sure that it is the one that was
// inspected.
func (t *tasks) openSource(ctx context.Context, order Order) (*storage.Source, error) {
	location, err := t.locate(order.Spec.Input, api.InputContext, storage.ParseInput)
	if err != nil {
		return nil, fmt.Errorf("read the source's location: %w", err)
	}
	source, err := t.store.OpenSource(ctx, location)
	if err != nil {
		return nil, fmt.Errorf("open the source: %w", err)
	}
	if order.Plan != nil && order.Task.Kind != job.InspectTask && source.Identity() != order.Plan.Source.Identity {
		_ = source.Close()
		return nil, job.Fail(job.InputChanged, "the source is not the one that was inspected: it has changed since")
	}
	return source, nil
}

func (t *tasks) openOutput(ctx context.Context, sealed job.Location) (*storage.Output, error) {
	location, err := t.locate(sealed, api.OutputContext, storage.ParseOutput)
	if err != nil {
		return nil, fmt.Errorf("read the output's location: %w", err)
	}
	output, err := t.store.OpenOutput(ctx, location)
	if err != nil {
		return nil, fmt.Errorf("open the output: %w", err)
	}
	return output, nil
}

func (t *tasks) locate(l job.Location, context string, parse func(string) (storage.Location, error)) (storage.Location, error) {
	text := l.URL
	if len(l.Sealed) > 0 {
		plain, err := t.secrets.Open(l.Sealed, context)
		if err != nil {
			return storage.Location{}, err
		}
		text = string(plain)
	}
	return parse(text)
}
