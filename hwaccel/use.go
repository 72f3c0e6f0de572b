package hwaccel

import (
	"context"
	"time"

	"millrace/job"
)

// Use is an attempt at work on a device.
type Use struct {
	inventory *Inventory
	device    *state
	encoder   string
	sessions  int
	began     time.Time
	shares    []*share // of the device's energy, and of the CPU's
	cancel    context.CancelCauseFunc
}

// Begin says that an attempt begins: on which device and with which encoder
// (both may be empty), how many encode sessions it opens, and how many CPU
// threads it takes up. The context ends with ctx, or when the device is lost:
// then its cause is a *job.Failure of code HardwareLost. Each Use must be ended.
func (i *Inventory) Begin(ctx context.Context, device, encoder string, sessions, threads int) (context.Context, *Use) {
	ctx, cancel := context.WithCancelCause(ctx)
	use := &Use{inventory: i, encoder: encoder, sessions: sessions, cancel: cancel}
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	use.began = now
	if use.device = i.find(device); use.device != nil {
		s := use.device
		if s.sighting.Device.Kind == CPU {
			use.sessions = 0
		}
		s.uses[use] = true
		if s.sighting.Device.Kind != CPU {
			use.shares = append(use.shares, s.energy.begin(1, now))
		}
		if s.lost != "" {
			use.lose(s.lost)
		}
	}
	for _, s := range i.devices {
		if s.sighting.Device.Kind == CPU {
			use.shares = append(use.shares, s.energy.begin(float64(threads), now))
		}
	}
	i.scanSoon()
	return ctx, use
}

// lose ends the attempt since its device is gone.
func (u *Use) lose(reason string) {
	u.cancel(job.Fail(job.HardwareLost, "the device was lost: %s", reason))
}

// End says how the attempt ended; failure is nil if it worked, and nil and
// stopped if it was told to stop. The answer is the energy that it took, in
// joules: its part of the device's, and of the CPU's, of those that can be read;
// 0 if its own device's can't be.
func (u *Use) End(ctx context.Context, failure *job.Failure, stopped bool) (joules float64) {
	u.cancel(nil)
	i := u.inventory
	i.mu.Lock()
	now := time.Now()
	readable := false
	for _, s := range u.shares {
		s.ended = now
		readable = readable || !s.unknown
	}
	if s := u.device; s != nil {
		delete(s.uses, u)
		if !stopped && u.encoder != "" {
			i.learn(s, u, failure, now)
		}
	}
	scanned := i.scanned
	i.mu.Unlock()
	if readable {
		i.scanSoon()
		i.await(ctx, scanned)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for k, s := range u.shares {
		switch {
		case !s.unknown:
			joules += s.joules
		case k == 0:
			return 0
		}
	}
	return joules
}

// await waits for a scan to be over, but not for ever: energy is not worth that.
func (i *Inventory) await(ctx context.Context, scanned <-chan struct{}) {
	timer := time.NewTimer(watchEvery + driverPatience)
	defer timer.Stop()
	select {
	case <-scanned:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (i *Inventory) scanSoon() {
	select {
	case i.kick <- struct{}{}:
	default:
	}
}

// learn takes in what an attempt's end says of its device. i.mu is held.
func (i *Inventory) learn(s *state, u *Use, failure *job.Failure, now time.Time) {
	b := s.breakers[u.encoder]
	if failure == nil {
		if b != nil {
			b.worked()
		}
		if !s.faulty && !u.began.Before(s.sound) {
			s.faults = 0
		}
		return
	}
	log := i.log.With("device", s.sighting.Device.ID, "encoder", u.encoder, "code", failure.Code)
	switch RemedyFor(failure.Code) {
	case RetryHere:
		open := i.othersSessions(s, s.sighting) + s.sessions()
		for _, other := range i.devices {
			if other != s && i.limits.refused[other.sighting.Device.ID] {
				open += i.othersSessions(other, other.sighting) + other.sessions()
			}
		}
		i.limits.learn(s.sighting.Device.ID, open, u.sessions, now)
		log.Info("the driver's limit of encode sessions was met", "limit", i.limits.limit)
		i.tell()
	case Elsewhere, NextEncoder:
		if s.sighting.Device.Kind == CPU {
			// Software is the last resort: without it a job would wait for ever
			// rather than end in its error. Its tasks go to other nodes by themselves.
			return
		}
		if failure.Code == job.HardwareLost {
			i.fault(s, u, failure, now)
			return
		}
		if b == nil {
			b = &breaker{}
			s.breakers[u.encoder] = b
		}
		if b.failed(now, failure.Message) {
			log.Warn("encoder taken out of use", "reason", b.why())
			i.tell()
		}
	}
}

// tryBroken tries the encoders that are out of use and whose trial is due.
func (i *Inventory) tryBroken(ctx context.Context) {
	select {
	case i.trying <- struct{}{}:
		defer func() { <-i.trying }()
	case <-ctx.Done():
		return
	}
	for {
		s, encoder := i.broken()
		if s == nil {
			return
		}
		i.mu.Lock()
		sighting := s.sighting
		i.mu.Unlock()
		result, err := i.config.Trials.Encoder(ctx, sighting.Device, sighting.Room, encoder)
		if ctx.Err() != nil {
			return
		}
		i.retried(s, encoder, result, err)
	}
}

// broken finds an encoder whose trial is due.
func (i *Inventory) broken() (*state, string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, s := range i.devices {
		for encoder, b := range s.breakers {
			if s.lost == "" && s.trial == noTrial && b.trialDue(time.Now()) {
				return s, encoder
			}
		}
	}
	return nil, ""
}

// retried takes the end of a trial of an encoder that was out of use.
func (i *Inventory) retried(s *state, encoder string, result EncoderProfile, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	b := s.breakers[encoder]
	if b == nil || s.lost != "" {
		return
	}
	reason := whyNot(result, err)
	b.tried(time.Now(), reason)
	i.log.Info("encoder tried after failures", "device", s.sighting.Device.ID, "encoder", encoder, "works", reason == "", "reason", reason)
	i.tell()
}
