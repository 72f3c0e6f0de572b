//go:build cgo

package hwaccel

import (
	"context"
	"io/fs"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"
)

// rig is an inventory over a mock driver and a machine of files, whose trials
// give what the test says. Tests change all that by [rig.change].
type rig struct {
	*Inventory
	mu        sync.Mutex // of the files and the trials
	asking    sync.Mutex // of the driver, which may hang
	driver    *server.Server
	root      fstest.MapFS
	broken    map[string]string // why an encoder fails its trial, by device name
	trials    []string          // names of devices that were tried, fresh ones with a "!"
	meanwhile bool              // whether the device that was tried last was offered meanwhile
	stop      func()
}

// newRig starts an inventory and waits until every device is tried.
func newRig(t *testing.T, driver *server.Server) *rig {
	t.Helper()
	r := &rig{driver: driver, broken: map[string]string{}, root: fstest.MapFS{
		"proc/cpuinfo":           {Data: []byte("model name : a CPU\n")},
		"proc/self/cgroup":       {Data: []byte("0::/\n")},
		"sys/fs/cgroup/cpu.max":  {Data: []byte("max 100000\n")},
		"sys/class/drm/version":  {Data: []byte("drm\n")},
		"proc/sys/kernel/random": {Mode: os.ModeDir},
	}}
	machine := &Machine{
		Root: guardedFS{&r.mu, r.root}, Affinity: 8, Open: works, PID: ourPID,
		nvidia: newPatient(guardedDriver{&r.asking, driverOf(driver)}),
	}
	r.Inventory = NewInventory(InventoryConfig{
		Machine: machine,
		Trials:  rigTrials{r},
	})
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	r.stop = func() {
		cancel()
		running.Wait()
	}
	synctest.Wait()
	return r
}

// change changes the world between two looks at it.
func (r *rig) change(world func()) {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asking.Lock()
	defer r.asking.Unlock()
	world()
}

// tried lists the trials since the last time.
func (r *rig) tried() (names []string) {
	r.change(func() { names, r.trials = r.trials, nil })
	return names
}

// rigTrials are the trials of a rig.
type rigTrials struct{ *rig }

func (r rigTrials) Profile(_ context.Context, d Device, room Room) (Profile, error) {
	return r.try(d, room, ""), nil
}

func (r rigTrials) Fresh(_ context.Context, d Device, room Room) (Profile, error) {
	return r.try(d, room, "!"), nil
}

func (r rigTrials) Encoder(_ context.Context, d Device, room Room, encoder string) (EncoderProfile, error) {
	e, _ := r.try(d, room, "/"+encoder).Encoder(encoder)
	return e, nil
}

type guardedDriver struct {
	mu *sync.Mutex
	nvidiaDriver
}

func (g guardedDriver) scan(ctx context.Context) ([]Sighting, string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.nvidiaDriver.scan(ctx)
}

type guardedFS struct {
	mu *sync.Mutex
	fs fstest.MapFS
}

func (g guardedFS) Open(name string) (fs.File, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fs.Open(name)
}

func (r *rig) try(d Device, room Room, mark string) Profile {
	offered := slices.ContainsFunc(r.Profiles(), func(p Profile) bool { return p.Device.ID == d.ID && p.Works("h264_nvenc") })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.meanwhile, r.trials = offered, append(r.trials, d.Name+mark)
	encoder := "h264_nvenc"
	if d.Kind == CPU {
		encoder = "libx264"
	}
	e := EncoderProfile{Encoder: encoder, Works: true, FramesPerSecond: map[string]float64{"1080p": 400}}
	if reason := r.broken[d.Name]; reason != "" {
		e = EncoderProfile{Encoder: encoder, Reason: reason}
	}
	return Profile{Device: d, Room: room, Encoders: []EncoderProfile{e}}
}

func (r *rig) profile(t *testing.T, name string) Profile {
	t.Helper()
	for _, p := range r.Profiles() {
		if p.Device.Name == name {
			return p
		}
	}
	t.Fatalf("%s is not listed: %+v", name, r.Profiles())
	return Profile{}
}

func encoderOf(p Profile) EncoderProfile { return p.Encoders[0] }

// noticing lets so much time pass as the watch may take to notice something.
func noticing() { time.Sleep(10 * time.Second); synctest.Wait() }

// within runs a test with a rig in a bubble of its own time.
func within(t *testing.T, driver func() *server.Server, test func(*testing.T, *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, driver())
		defer r.stop()
		test(t, r)
	})
}

func oneL4() *server.Server { return cards(cardL4) }
