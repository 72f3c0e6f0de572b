package hwaccel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"millrace/job"
	"millrace/media/ffmpeg"
)

// Trials measures devices by encoding and decoding on them.
type Trials struct {
	Tools *ffmpeg.Tools
	// Cache is the file that profiles are kept in; empty keeps none.
	Cache string
	// Scratch is an existing folder for the encodes.
	Scratch string
	// Sandbox confines the encodes; nil means Tools.Sandbox.
	Sandbox *ffmpeg.Sandbox
	// Machine is asked for the energy that devices take while they are tried; nil:
	// nobody is. It is the trials' own, and its drivers are let go of after each.
	Machine *Machine
	Logger  *slog.Logger // nil is silent
}

// trialTime is how long the trials of one GPU may take together. What it
// doesn't suffice for is said not to work for that reason. Those of a CPU take
// five seconds of two cores.
const trialTime = 60 * time.Second

// Profile measures a device, or reads what was measured before of the same
// device, driver, ffmpeg build and room. An encoder that doesn't work is no
// error, but has its reason in the profile. The error is the context's, or says
// why the scratch folder can't be used.
func (t Trials) Profile(ctx context.Context, device Device, room Room) (Profile, error) {
	key := cacheKey(device, room, t.Tools.Build)
	cached, err := readCache(t.Cache)
	if err != nil {
		t.logger().Warn("measuring anew: the file of profiles can't be read", "device", device.ID, "err", err)
	}
	if profile, known := cached[key]; known {
		profile.Room = profile.roomOf(room)
		return profile, nil
	}
	return t.Fresh(ctx, device, room)
}

// Fresh is Profile without a look at what was measured before; what it finds is
// kept in its place.
func (t Trials) Fresh(ctx context.Context, device Device, room Room) (Profile, error) {
	profile, err := t.Measure(ctx, device, room)
	if err != nil {
		return Profile{}, err
	}
	if profile.unfinished() {
		t.logger().Warn("the profile is not kept: the time for trials was up before all was tried", "device", device.ID)
		return profile, nil
	}
	cached, _ := readCache(t.Cache) // what can't be read is replaced
	if err := writeCache(t.Cache, cacheKey(device, room, t.Tools.Build), profile, cached); err != nil {
		// Then it is measured again at the next start.
		t.logger().Warn("the profile is not kept", "device", device.ID, "err", err)
	}
	return profile, nil
}

// Measure tries every encoder, decoder and filter that the device might have,
// whatever was measured before, and keeps nothing.
func (t Trials) Measure(ctx context.Context, device Device, room Room) (Profile, error) {
	features, err := t.Tools.Features(ctx)
	if err != nil {
		return Profile{}, fmt.Errorf("measure %s: %w", device.Name, err)
	}
	dir, err := os.MkdirTemp(t.Scratch, "trial-")
	if err != nil {
		return Profile{}, fmt.Errorf("measure %s: %w", device.Name, err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // what stays is swept with the scratch folder

	bench := &bench{
		trials: t, features: features, device: device, dir: dir, threads: room.Threads,
		until:   time.Now().Add(trialTime),
		profile: Profile{Device: device, FFmpegBuild: t.Tools.Build},
	}
	bench.tryAll(ctx)
	if err := ctx.Err(); err != nil {
		return Profile{}, err // a trial that was cut short says nothing
	}
	bench.profile.Room = bench.profile.roomOf(room)
	return bench.profile, nil
}

// roomOf is the room of the device: what is given, and for a GPU what its
// encoders were seen to do.
func (p Profile) roomOf(given Room) Room {
	if p.Device.Kind == CPU {
		return given
	}
	for _, e := range p.Encoders {
		if !e.Works {
			continue
		}
		given.Sessions = max(given.Sessions, e.Sessions)
		given.PixelsPerSecond = max(given.PixelsPerSecond, int64(e.PixelsPerSecond()))
	}
	return given
}

// bench is the trials of one device while they run.
type bench struct {
	trials   Trials
	features *ffmpeg.Features
	device   Device
	dir      string
	threads  int
	until    time.Time
	clips    map[clipKey]clip
	decoded  map[clipKey]bool // by software, while encoders were tried
	profile  Profile
}

func (b *bench) tryAll(ctx context.Context) {
	if b.device.Unusable != "" {
		b.profile.decline(b.device, b.device.Unusable)
		return
	}
	meter := b.watchRest(ctx)
	if b.trials.Machine != nil {
		defer b.trials.Machine.Close()
	}
	for _, row := range rows {
		if !row.DrivenBy(b.device) || ctx.Err() != nil {
			continue
		}
		result := b.encoder(ctx, row)
		b.log().Debug("tried an encoder", "device", b.device.ID, "encoder", row.Encoder,
			"works", result.Works, "reason", result.Reason, "frames_per_second", result.FramesPerSecond)
		b.profile.Encoders = append(b.profile.Encoders, result)
	}
	for _, api := range apisOf(b.device) {
		b.filters(ctx, api)
	}
	b.decoders(ctx)
	for i := range b.profile.Encoders {
		if e := &b.profile.Encoders[i]; e.Works && b.device.Kind != CPU && ctx.Err() == nil {
			row, _ := Encoder(e.Encoder)
			b.sessions(ctx, row, e)
			b.log().Debug("measured an encoder's sessions", "device", b.device.ID, "encoder", e.Encoder,
				"sessions", e.Sessions, "frames_per_second", e.SessionsFramesPerSecond)
		}
	}
	for i := range b.profile.Encoders {
		if e := &b.profile.Encoders[i]; meter != nil && e.Works && !b.late() && ctx.Err() == nil {
			row, _ := Encoder(e.Encoder)
			b.energy(ctx, meter, row, e)
			b.log().Debug("measured an encoder's energy", "device", b.device.ID, "encoder", e.Encoder, "joules_per_frame", e.JoulesPerFrame)
		}
	}
}

// Declined is the profile of a device on which nothing could be tried: every
// encoder that it might have, not working for the one reason.
func Declined(device Device, reason string) Profile {
	p := Profile{Device: device}
	p.decline(device, reason)
	return p
}

func (p *Profile) decline(device Device, reason string) {
	for _, row := range rows {
		if row.DrivenBy(device) {
			p.Encoders = append(p.Encoders, EncoderProfile{Encoder: row.Encoder, Reason: reason})
		}
	}
}

// late says that the time for trials is up. A CPU that is busy with other work
// gets the time that it needs: without it there would be no encoder at all.
func (b *bench) late() bool { return b.device.Kind != CPU && time.Now().After(b.until) }

// unfinished says whether an encoder wasn't tried for lack of time. (Decoders
// come later; without one, software decodes.)
func (p Profile) unfinished() bool {
	return slices.ContainsFunc(p.Encoders, func(e EncoderProfile) bool { return e.Reason == notTried || e.TenBitReason == notTried })
}

// notTried is the reason of what there was no time for.
var notTried = fmt.Sprintf("it was not tried: the other trials of this device took the %s that there are for all", trialTime)

func (b *bench) log() *slog.Logger { return b.trials.logger() }

// Watchdogs of a trial: a device that answers no sooner is of no use.
const (
	trialFirstFrame = 30 * time.Second
	trialStall      = 15 * time.Second
)

// run runs ffmpeg on the device, driven by api. On a GPU it ends when the time
// for trials does.
func (b *bench) run(ctx context.Context, api API, args ...string) (ffmpeg.Report, error) {
	if b.device.Kind != CPU {
		limited, cancel := context.WithDeadline(ctx, b.until)
		defer cancel()
		ctx = limited
	}
	pin := b.device.Pin(api)
	sandbox := b.trials.Sandbox
	if sandbox == nil {
		sandbox = b.trials.Tools.Sandbox
	}
	if sandbox != nil && len(pin.Paths) > 0 {
		opened := *sandbox
		opened.DevicePaths = slices.Concat(sandbox.DevicePaths, pin.Paths)
		sandbox = &opened
	}
	return b.trials.Tools.Run(ctx, ffmpeg.Command{
		Args: slices.Concat(pin.Args, args), Env: pin.Env, Dir: b.dir, Sandbox: sandbox,
		FirstFrameTimeout: trialFirstFrame, StallTimeout: trialStall, Logger: b.trials.Logger,
	})
}

// sentence says for people why a trial failed.
func sentence(what string, err error) string {
	var failure *job.Failure
	if errors.Is(err, context.DeadlineExceeded) {
		return notTried
	}
	if errors.As(err, &failure) {
		return fmt.Sprintf("a trial %s failed: %s", what, failure.Message)
	}
	return fmt.Sprintf("a trial %s failed: %v", what, err)
}

func (t Trials) logger() *slog.Logger {
	if t.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return t.Logger
}
