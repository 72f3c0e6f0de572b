package hwaccel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// watchEvery is how often the machine is looked at. With driverPatience it
	// makes sure that whatever happens to a device is known within ten seconds.
	watchEvery = 3 * time.Second
	// trialPause is the wait before a device that has come back, but with which
	// nothing works, is tried again; it doubles up to breakerMaxPause.
	trialPause = time.Minute
)

// InventoryConfig is what an Inventory is made of.
type InventoryConfig struct {
	Machine *Machine // the Inventory's own from then on
	// Trials measures devices; a *Trials, but for tests.
	Trials Trier
	// Threads bounds the CPU's, 0: what it has.
	Threads int
	// ScratchBytes is the disk that all attempts of the machine may fill together;
	// 0 is no limit.
	ScratchBytes int64
	Logger       *slog.Logger // nil is silent
}

// Trier measures devices: see the methods of [Trials].
type Trier interface {
	Profile(context.Context, Device, Room) (Profile, error)
	Fresh(context.Context, Device, Room) (Profile, error)
	Encoder(ctx context.Context, d Device, r Room, encoder string) (EncoderProfile, error)
}

// Inventory is the devices of this node at every moment: which are there, what
// works on them, and how much room others leave. [Inventory.Run] watches them;
// attempts tell it by [Inventory.Begin] and [Use.End] what they use and how it
// went. Its methods may be called from several goroutines.
//
// A device that is lost, or an encoder that keeps failing, stays listed with the
// reason why nothing works. It comes back after a trial encode has worked.
type Inventory struct {
	config InventoryConfig
	log    *slog.Logger
	// kick asks for a scan now; a token in it is a scan that hasn't begun.
	kick chan struct{}
	// trying is held by who measures: two measurements at once would both be wrong.
	trying chan struct{}

	mu      sync.Mutex
	devices []*state // in the order of discovery
	missing []Missing
	changed chan struct{} // closed when what Profiles says has changed
	scanned chan struct{} // closed when the next scan is over
	limits  sessionLimits
}

// state is all that is known of a device.
type state struct {
	sighting Sighting
	// lost says why the device is gone; empty while it is there.
	lost string
	// profile is what was measured; nil before the first trial.
	profile *Profile
	trial   trialNeed
	worked  bool // something on it did once
	// faulty says that it was lost, or said so itself, since its last good trial, which
	// ended at sound; faults counts how often in a row without an attempt that worked, and
	// suspect is the encoder of the latest (see fault).
	faulty  bool
	sound   time.Time
	faults  int
	suspect string
	// due is when the needed trial may begin, and pause how long the next waits
	// if that one finds nothing that works.
	due      time.Time
	pause    time.Duration
	breakers map[string]*breaker // by encoder
	uses     map[*Use]bool
	energy   meter
	power    integrator
}

// trialNeed is why a device is to be tried.
type trialNeed int

const (
	noTrial    trialNeed = iota
	firstTrial           // a new device or driver: what was measured before will do
	quickTrial           // an attempt said that it is lost: the encoder tells
	freshTrial           // it was lost: only a new one tells
)

// NewInventory makes one that knows of no device yet.
func NewInventory(config InventoryConfig) *Inventory {
	log := config.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Inventory{
		config: config, log: log, kick: make(chan struct{}, 1), trying: make(chan struct{}, 1),
		changed: make(chan struct{}), scanned: make(chan struct{}),
	}
}

// Start looks at the machine for the first time and has the CPU tried, so that
// there is something to work with. Run has the other devices tried.
func (i *Inventory) Start(ctx context.Context) error {
	i.look(ctx)
	if err := i.tryNext(ctx, func(s *state) bool { return s.sighting.Device.Kind == CPU }); err != nil {
		return err
	}
	return ctx.Err()
}

// Run watches the devices and tries those that are new or have come back, until
// ctx ends.
func (i *Inventory) Run(ctx context.Context) {
	defer i.config.Machine.Close()
	var trials sync.WaitGroup
	defer trials.Wait()
	trials.Go(func() { i.tryAll(ctx) })
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-i.kick:
		}
		i.look(ctx)
	}
}

// Changed is closed as soon as Profiles may say something new. Take it before
// calling Profiles, so that no change is missed.
func (i *Inventory) Changed() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.changed
}

// Missing lists the kinds of device that this machine has none of, with the reasons.
func (i *Inventory) Missing() []Missing {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.missing)
}

// Sightings is what the latest look at the machine has shown, lost devices included.
func (i *Inventory) Sightings() []Sighting {
	i.mu.Lock()
	defer i.mu.Unlock()
	var all []Sighting
	for _, s := range i.devices {
		all = append(all, s.sighting)
	}
	return all
}

// tell wakes whoever waits for a change. i.mu is held.
func (i *Inventory) tell() {
	close(i.changed)
	i.changed = make(chan struct{})
}

// look scans the machine and takes in what is new.
func (i *Inventory) look(ctx context.Context) {
	scan := i.config.Machine.Scan(ctx)
	if ctx.Err() != nil {
		return // it was cut short
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	changed := !slices.Equal(i.missing, scan.Missing)
	i.missing = scan.Missing
	seen := make(map[string]bool)
	for _, sighting := range scan.Devices {
		if i.config.Threads > 0 && sighting.Device.Kind == CPU {
			sighting.Room.Threads = i.config.Threads
		}
		if sighting.Device.Kind == CPU {
			sighting.Room.ScratchBytes = i.config.ScratchBytes
		}
		seen[sighting.Device.ID] = true
		s := i.find(sighting.Device.ID)
		if s == nil {
			s = &state{breakers: make(map[string]*breaker), uses: make(map[*Use]bool), trial: firstTrial}
			i.devices = append(i.devices, s)
			i.log.Info("device found", "device", sighting.Device.ID, "name", sighting.Device.Name, "driver", sighting.Device.Driver, "unusable", sighting.Device.Unusable)
			s.sighting = sighting
			changed = true
		}
		changed = i.update(s, sighting, now) || changed
	}
	for _, s := range i.devices {
		if !seen[s.sighting.Device.ID] {
			gone := Sighting{Device: s.sighting.Device, Room: s.sighting.Room, Health: Health{Lost: i.whyGone(scan, s.sighting.Device.Kind)}}
			changed = i.update(s, gone, now) || changed
		}
	}
	if changed {
		i.tell()
	}
	close(i.scanned)
	i.scanned = make(chan struct{})
}

// whyGone is why a device isn't listed any more.
func (i *Inventory) whyGone(scan Scan, kind DeviceKind) string {
	for _, m := range scan.Missing {
		if m.Kind == kind {
			return "it isn't there any more: " + m.Reason
		}
	}
	return "it isn't there any more"
}

// update takes in what a scan says of a device; the answer is whether that
// changes what Profiles says. i.mu is held.
func (i *Inventory) update(s *state, sighting Sighting, now time.Time) (changed bool) {
	before := s.sighting
	log := i.log.With("device", before.Device.ID, "name", before.Device.Name)
	s.energy.read(s.power.counter(sighting.Health, now), now)
	switch lost := sighting.Health.Lost; {
	case lost != "" && s.lost == "":
		log.Warn("device lost", "reason", lost)
		s.lost, s.trial, s.faulty, changed = lost, noTrial, true, true
		for use := range s.uses {
			use.lose(lost)
		}
	case lost != "":
		changed = s.lost != lost
		s.lost = lost
	case s.lost != "":
		log.Info("device is back, and is tried before it gets work")
		s.lost, s.trial, s.due, s.pause = "", freshTrial, now, trialPause
		changed = true
	}
	if sighting.Health.Lost != "" {
		sighting.Device = before.Device // what a lost device says of itself is not to be trusted
	}
	s.sighting = sighting
	if sighting.Device.Driver != before.Device.Driver || sighting.Device.Unusable != before.Device.Unusable ||
		sighting.Device.MemoryBytes != before.Device.MemoryBytes || sighting.Room.Threads != before.Room.Threads {
		log.Info("device changed", "driver", sighting.Device.Driver, "unusable", sighting.Device.Unusable, "threads", sighting.Room.Threads)
		switch s.trial {
		case noTrial:
			s.trial, s.due = firstTrial, now
		case quickTrial:
			s.trial = freshTrial
		}
		changed = true
	}
	return changed || i.roomOf(s) != i.roomWith(s, before) || sighting.Room != before.Room
}

func (i *Inventory) find(id string) *state {
	for _, s := range i.devices {
		if s.sighting.Device.ID == id {
			return s
		}
	}
	return nil
}

// Measure tries all devices anew, whatever was measured before, and gives what
// is then known. It is for people who have changed something.
func (i *Inventory) Measure(ctx context.Context) ([]Profile, error) {
	i.mu.Lock()
	now := time.Now()
	for _, s := range i.devices {
		if s.lost == "" {
			s.trial, s.due = freshTrial, now
		}
	}
	i.mu.Unlock()
	if err := i.tryNext(ctx, func(*state) bool { return true }); err != nil {
		return nil, err
	}
	return i.Profiles(), ctx.Err()
}

// errGone is a trial of a device that was lost meanwhile.
var errGone = errors.New("the device is gone")

// tryAll tries devices as they need it, until ctx ends.
func (i *Inventory) tryAll(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		if err := i.tryNext(ctx, func(*state) bool { return true }); err != nil && ctx.Err() == nil {
			i.log.Warn("a device can't be tried", "err", err)
		}
		i.tryBroken(ctx)
		changed := i.Changed()
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-ticker.C:
		}
	}
}

// tryNext tries one after another all devices that need it and are chosen.
func (i *Inventory) tryNext(ctx context.Context, chosen func(*state) bool) error {
	select {
	case i.trying <- struct{}{}:
		defer func() { <-i.trying }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		s, sighting, need := i.needsTrial(chosen)
		if s == nil {
			return nil
		}
		if need == quickTrial {
			if err := i.tryQuickly(ctx, s, sighting); err != nil {
				return err
			}
			continue
		}
		measure := i.config.Trials.Profile
		if need == freshTrial {
			measure = i.config.Trials.Fresh
		}
		profile, err := measure(ctx, sighting.Device, sighting.Room)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := i.tried(s, sighting, profile, err); err != nil && !errors.Is(err, errGone) {
			return fmt.Errorf("try %s: %w", sighting.Device.Name, err)
		}
	}
}

// needsTrial finds a device whose trial is due, and takes note that it begins.
func (i *Inventory) needsTrial(chosen func(*state) bool) (*state, Sighting, trialNeed) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, s := range i.devices {
		if s.trial == noTrial || s.lost != "" || !chosen(s) || time.Now().Before(s.due) {
			continue
		}
		need := s.trial
		s.trial = noTrial
		if s.sighting.Device.Unusable != "" {
			declined := Declined(s.sighting.Device, s.sighting.Device.Unusable)
			s.profile = &declined
			i.tell()
			continue
		}
		return s, s.sighting, need
	}
	return nil, Sighting{}, noTrial
}

// tried takes the end of a trial.
func (i *Inventory) tried(s *state, sighting Sighting, profile Profile, err error) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if s.lost != "" {
		return errGone
	}
	now := time.Now()
	works := slices.ContainsFunc(profile.Encoders, func(e EncoderProfile) bool { return e.Works })
	s.worked = s.worked || works
	if err != nil || !works && s.worked {
		// It did work once, so it may again.
		s.pause = min(max(trialPause, 2*s.pause), breakerMaxPause)
		s.trial, s.due = max(s.trial, freshTrial), now.Add(s.pause)
	}
	if err != nil {
		return err
	}
	for _, e := range profile.Encoders {
		i.log.Info("encoder tried", "device", sighting.Device.ID, "encoder", e.Encoder, "works", e.Works, "reason", e.Reason,
			"frames_per_second", e.FramesPerSecond, "sessions", e.Sessions, "joules_per_frame", e.JoulesPerFrame)
	}
	profile.Device = sighting.Device
	s.profile = &profile
	if s.trial == noTrial {
		s.faulty, s.sound = false, now
	}
	clear(s.breakers)
	i.tell()
	return nil
}
