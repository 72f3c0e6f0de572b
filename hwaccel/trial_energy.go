package hwaccel

import (
	"context"
	"sync"
	"time"
)

// How long a device is watched at rest, and about how long the encode takes whose
// energy is measured. Counters of CPUs move every millisecond, those of NVIDIA's
// cards several times a second.
const (
	restTime      = time.Second
	energySeconds = 1.5
	// powerEvery is how often the power of a device is read that has no counter.
	powerEvery = 100 * time.Millisecond
)

// ammeter reads what a device takes while it is tried.
type ammeter struct {
	machine *Machine
	device  Device
	resting float64 // watts, while nothing of ours runs

	mu    sync.Mutex // of the machine's drivers
	power integrator
}

// watchRest reads what the device draws at rest, before anything is tried; nil where
// its energy can't be read, which costs no time.
func (b *bench) watchRest(ctx context.Context) *ammeter {
	if b.trials.Machine == nil || b.device.Unusable != "" {
		return nil
	}
	m := &ammeter{machine: b.trials.Machine, device: b.device}
	if joules, _ := m.read(ctx); joules == nil {
		return nil
	}
	joules, span, known := m.over(ctx, func() {
		timer := time.NewTimer(restTime)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	})
	if !known || span <= 0 {
		return nil
	}
	m.resting = joules / span.Seconds()
	return m
}

// energy measures what a frame of an encoder that works takes of the device's
// energy, beyond what the device draws at rest: of the largest rung whose speed is
// known, by one encode with the whole device at work.
func (b *bench) energy(ctx context.Context, m *ammeter, row Row, result *EncoderProfile) {
	declared, err := Declared(ctx, b.features, row.Encoder)
	if err != nil {
		return
	}
	size, fps := smallRung, result.FramesPerSecond[smallRung.name]
	if large := result.FramesPerSecond[largeRung.name]; large > 0 {
		size, fps = largeRung, large
	}
	try := &encoderTrial{bench: b, row: row, without: result.Without, declared: declared}
	frames := max(speedFrames/2, int64(fps*energySeconds))
	joules, span, known := m.over(ctx, func() {
		_, err = b.run(ctx, row.API, try.args(size, frames, false, "-f", "null", "-")...)
	})
	if beyond := joules - m.resting*span.Seconds(); known && err == nil && beyond > 0 {
		result.JoulesPerFrame = map[string]float64{size.name: beyond / float64(frames)}
	}
}

// over is the energy that the device takes while something is done, and how long
// that takes; not known where it can't be read throughout.
func (m *ammeter) over(ctx context.Context, do func()) (joules float64, span time.Duration, known bool) {
	before, counted := m.read(ctx)
	begun := time.Now()
	var watching sync.WaitGroup
	watched, stop := context.WithCancel(ctx)
	if before != nil && !counted {
		watching.Go(func() { m.watch(watched) })
	}
	do()
	stop()
	watching.Wait()
	after, _ := m.read(ctx)
	span = time.Since(begun)
	if before == nil || after == nil || *after < *before {
		return 0, span, false
	}
	return *after - *before, span, true
}

// watch reads the power until ctx ends, so that it adds up.
func (m *ammeter) watch(ctx context.Context) {
	ticker := time.NewTicker(powerEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			m.read(ctx)
		}
	}
}

// read is the joules that the device has taken since some moment, nil where that
// can't be read, and whether the device itself counts them.
func (m *ammeter) read(ctx context.Context) (joules *float64, counted bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	health := m.machine.Health(ctx, m.device)
	return m.power.counter(health, time.Now()), health.EnergyJoules != nil
}
