package hwaccel

import (
	"fmt"
	"io/fs"
	"math"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
)

// meteredFS is a machine with one CPU package, whose counter says what joules does.
type meteredFS struct {
	mu     sync.Mutex
	joules func() float64
}

func (m *meteredFS) Open(name string) (fs.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	counter := "0"
	if name == "sys/class/powercap/intel-rapl:0/energy_uj" {
		counter = fmt.Sprintf("%.0f", 1e6*m.joules())
	}
	return powercap(map[string]map[string]string{"intel-rapl:0": zone("package-0", counter, "262143328850")}).Open(name)
}

// load is a device that draws some watts at rest and more at work, from the moment
// at which it was made.
type load struct {
	mu            sync.Mutex
	resting, work float64
	at            time.Time
	busy          bool
	sum           float64
}

// joules is what it has taken so far.
func (l *load) joules() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.sum += l.watts() * now.Sub(l.at).Seconds()
	l.at = now
	return l.sum
}

func (l *load) watts() float64 {
	if l.busy {
		return l.work
	}
	return l.resting
}

// works has it work for a while.
func (l *load) works(span time.Duration) {
	l.joules()
	l.mu.Lock()
	l.busy = true
	l.mu.Unlock()
	time.Sleep(span)
	l.joules()
	l.mu.Lock()
	l.busy = false
	l.mu.Unlock()
}

// checkMeter watches a device at rest and at work, in a bubble of its own time.
func checkMeter(t *testing.T, l *load, device Device, machine *Machine, off float64) {
	t.Helper()
	b := &bench{trials: Trials{Machine: machine}, device: device}
	meter := b.watchRest(t.Context())
	if meter == nil {
		t.Fatal("its energy can't be read")
	}
	if math.Abs(meter.resting-l.resting) > off {
		t.Errorf("at rest it draws %g W, want %g", meter.resting, l.resting)
	}
	joules, span, known := meter.over(t.Context(), func() { l.works(3 * time.Second) })
	if !known || span != 3*time.Second || math.Abs(joules-3*l.work) > 3*off {
		t.Errorf("at work it took %g J in %s (known: %v), want %g", joules, span, known, 3*l.work)
	}
}

func TestACPUsEnergyIsReadFromItsCounters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &load{resting: 12, work: 150, at: time.Now()}
		checkMeter(t, l, testDevice, &Machine{Root: &meteredFS{joules: l.joules}, Affinity: 2}, 1e-3)
	})
}

func TestADeviceWithoutACounterIsNotWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		b := &bench{trials: Trials{Machine: &Machine{Root: fstest.MapFS{}, Affinity: 2}}, device: testDevice}
		if b.watchRest(t.Context()) != nil || (&bench{device: testDevice}).watchRest(t.Context()) != nil {
			t.Error("energy is read from nothing")
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("and it takes %s", took)
		}
	})
}

func TestEnergyThatCantBeReadThroughoutIsNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &load{resting: 12, work: 150, at: time.Now()}
		root := &meteredFS{joules: l.joules}
		b := &bench{trials: Trials{Machine: &Machine{Root: root, Affinity: 2}}, device: testDevice}
		meter := b.watchRest(t.Context())
		_, _, known := meter.over(t.Context(), func() { meter.machine.Root = fstest.MapFS{} })
		if known {
			t.Error("the counter went away meanwhile, and the energy is known")
		}
	})
}

// TestTrialsMeasureTheEnergyOfAFrame has a real encoder run, on a machine whose
// counter moves by 100 J for each encode whose energy is measured.
func TestTrialsMeasureTheEnergyOfAFrame(t *testing.T) {
	const eachRun, whileResting = 100, 0.001
	readings := 0
	root := &meteredFS{joules: func() float64 {
		readings++
		if readings < 3 { // whether it can be read, and before it rests
			return 0
		}
		return whileResting + eachRun*float64((readings-3)/2)
	}}
	b := newBench(t, wrapped(t, `exec $REAL "$@"`), testDevice)
	b.features.Encoders = map[string]bool{"libx264": true}
	b.trials.Machine = &Machine{Root: root, Affinity: 2}
	b.tryAll(t.Context())
	e, _ := b.profile.Encoder("libx264")
	fps := e.FramesPerSecond["360p"]
	frames := math.Floor(fps * energySeconds)
	if frames = max(frames, speedFrames/2); !e.Works || math.Abs(e.JoulesPerFrame["360p"]*frames-eachRun) > 1 {
		t.Fatalf("%g frames took 100 J, and a frame takes %v J: %+v", frames, e.JoulesPerFrame, e)
	}
	if watts := e.Watts(); math.Abs(watts-e.JoulesPerFrame["360p"]*fps) > 1e-6 {
		t.Errorf("at %g frames a second it draws %g W", fps, watts)
	}
	if old := (EncoderProfile{Works: true, FramesPerSecond: e.FramesPerSecond}); old.Watts() != 0 {
		t.Errorf("a profile from before says %g W", old.Watts())
	}
}
