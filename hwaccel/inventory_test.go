//go:build cgo

package hwaccel

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"

	"millrace/job"
)

// rig is an inventory over a mock driver and a machine of files, whose trials
// give what the test says. Tests change all that by [rig.change].
type rig struct {
	*Inventory
	mu     sync.Mutex // of the files and the trials
	asking sync.Mutex // of the driver, which may hang
	driver *server.Server
	root   fstest.MapFS
	broken map[string]string // why an encoder fails its trial, by device name
	trials []string          // names of devices that were tried, fresh ones with a "!"
	stop   func()
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
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trials = append(r.trials, d.Name+mark)
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

func TestEveryDeviceIsTriedOnce(t *testing.T) {
	within(t, func() *server.Server { return ready(dgxh100.New()) }, func(t *testing.T, r *rig) {
		noticing()
		if tried := r.tried(); len(tried) != 9 || tried[0] != "a CPU" || len(r.Profiles()) != 9 || len(r.Missing()) != 1 || len(r.Sightings()) != 9 {
			t.Errorf("tried %v; %d profiles, missing %v", tried, len(r.Profiles()), r.Missing())
		}
	})
}

func TestLostDeviceIsOutWithinTenSecondsAndComesBackByATrial(t *testing.T) {
	within(t, func() *server.Server { return cards(cardL4, cardT4) }, func(t *testing.T, r *rig) {
		whole := r.driver.DeviceGetHandleByIndexFunc
		id := r.profile(t, "Tesla T4").Device.ID
		ctx, use := r.Begin(t.Context(), id, "h264_nvenc", 1, 1)
		other, elsewhere := r.Begin(t.Context(), r.profile(t, "NVIDIA L4").Device.ID, "h264_nvenc", 1, 1)
		changed := r.Changed()

		r.change(func() { loses(r.driver, 1, nvml.ERROR_GPU_IS_LOST) })
		noticing()
		select {
		case <-changed:
		default:
			t.Error("nobody was told")
		}
		lost := r.profile(t, "Tesla T4")
		if e := encoderOf(lost); e.Works || !strings.Contains(e.Reason, "fallen off the bus") || !strings.Contains(lost.Device.Unusable, "lost") {
			t.Errorf("got %+v", lost)
		}
		var failure *job.Failure
		if !errors.As(context.Cause(ctx), &failure) || failure.Code != job.HardwareLost {
			t.Errorf("its attempt ended by %v", context.Cause(ctx))
		}
		if other.Err() != nil || !encoderOf(r.profile(t, "NVIDIA L4")).Works {
			t.Error("the other card's attempt was ended too")
		}
		use.End(t.Context(), failure, false)
		elsewhere.End(t.Context(), nil, false)

		r.change(func() {
			r.trials, r.broken["Tesla T4"] = nil, "a trial encode failed"
			r.driver.DeviceGetHandleByIndexFunc = whole
		})
		noticing()
		tried := r.tried()
		if e := encoderOf(r.profile(t, "Tesla T4")); e.Works || !slices.Equal(tried, []string{"Tesla T4!"}) {
			t.Errorf("back without a trial that works: %+v after %v", e, tried)
		}
		r.change(func() { delete(r.broken, "Tesla T4") })
		time.Sleep(2 * trialPause)
		noticing()
		tried = r.tried()
		if e := encoderOf(r.profile(t, "Tesla T4")); !e.Works || len(tried) != 1 {
			t.Errorf("not back: %+v after %v", e, tried)
		}
	})
}

func TestHangingDriverIsNoticedWithinTenSeconds(t *testing.T) {
	within(t, oneL4, func(t *testing.T, r *rig) {
		hang := make(chan struct{})
		count := r.driver.DeviceGetCountFunc
		r.change(func() { r.driver.DeviceGetCountFunc = func() (int, nvml.Return) { <-hang; return count() } })
		noticing()
		if e := encoderOf(r.profile(t, "NVIDIA L4")); e.Works || !strings.Contains(e.Reason, "has not answered") {
			t.Errorf("got %+v", e)
		}
		close(hang)
		r.change(func() { r.driver.DeviceGetCountFunc = count })
		noticing()
		if e := encoderOf(r.profile(t, "NVIDIA L4")); !e.Works {
			t.Errorf("got %+v", e)
		}
	})
}

func TestReloadedDriverHasItsDevicesTriedAgain(t *testing.T) {
	within(t, oneL4, func(t *testing.T, r *rig) {
		count := r.driver.DeviceGetCountFunc
		r.change(func() {
			r.driver.DeviceGetCountFunc = func() (int, nvml.Return) { return 0, nvml.ERROR_DRIVER_NOT_LOADED }
		})
		noticing()
		if e := encoderOf(r.profile(t, "NVIDIA L4")); e.Works || !strings.Contains(e.Reason, "the driver was unloaded") {
			t.Errorf("got %+v", e)
		}
		r.change(func() { r.trials, r.driver.DeviceGetCountFunc, r.driver.DriverVersion = nil, count, "570.86.15" })
		noticing()
		p, tried := r.profile(t, "NVIDIA L4"), r.tried()
		if !encoderOf(p).Works || p.Device.DriverVersion != "570.86.15" || len(tried) == 0 {
			t.Errorf("got %+v after %v", p, tried)
		}
	})
}

func TestDeviceThatAppearsIsTried(t *testing.T) {
	within(t, oneL4, func(t *testing.T, r *rig) {
		const node = "sys/class/drm/renderD128/device/uevent"
		r.change(func() {
			r.driver.Devices = append(r.driver.Devices, cards(cardT4).Devices[0])
			r.root[node] = &fstest.MapFile{Data: []byte("DRIVER=i915\nPCI_SLOT_NAME=0000:00:02.0\n")}
		})
		noticing()
		tried := r.tried()
		if !encoderOf(r.profile(t, "Tesla T4")).Works || !slices.Contains(tried, "Intel GPU 0000:0000") || len(r.Missing()) != 0 {
			t.Errorf("tried %v, missing %v", tried, r.Missing())
		}
		r.change(func() { delete(r.root, node) })
		noticing()
		if e := encoderOf(r.profile(t, "Intel GPU 0000:0000")); e.Works || !strings.Contains(e.Reason, "isn't there any more") {
			t.Errorf("got %+v", e)
		}
	})
}

func TestNewQuotaChangesTheCPUsRoom(t *testing.T) {
	within(t, oneL4, func(t *testing.T, r *rig) {
		if p := r.profile(t, "a CPU"); p.Room.Threads != 8 {
			t.Fatalf("got %+v", p.Room)
		}
		r.change(func() { r.root["sys/fs/cgroup/cpu.max"] = &fstest.MapFile{Data: []byte("250000 100000\n")} })
		noticing()
		if p := r.profile(t, "a CPU"); p.Room.Threads != 2 || !strings.Contains(p.Device.Driver, "quota of 2.5 CPUs") {
			t.Errorf("got %+v", p)
		}
	})
}

func TestWorkOfOthersLeavesLessRoom(t *testing.T) {
	within(t, oneL4, func(t *testing.T, r *rig) {
		gpu := gpuOf(r.driver, 0)
		r.change(func() {
			gpu.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) {
				return []nvml.ProcessInfo{{Pid: 1, UsedGpuMemory: 2<<30 + 1}}, nvml.SUCCESS
			}
			gpu.GetProcessUtilizationFunc = func(uint64) ([]nvml.ProcessUtilizationSample, nvml.Return) {
				return []nvml.ProcessUtilizationSample{{Pid: 1, TimeStamp: 1, EncUtil: 40}}, nvml.SUCCESS
			}
		})
		noticing()
		p := r.profile(t, "NVIDIA L4")
		if want := p.Device.MemoryBytes - 2<<30 - othersMemoryStep; p.Room.MemoryBytes != want || encoderOf(p).FramesPerSecond["1080p"] != 200 {
			t.Errorf("got %+v, %+v", p.Room, encoderOf(p))
		}
		r.change(func() {
			gpu.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) { return nil, nvml.SUCCESS }
			gpu.GetProcessUtilizationFunc = func(uint64) ([]nvml.ProcessUtilizationSample, nvml.Return) { return nil, nvml.ERROR_NOT_FOUND }
		})
		noticing()
		if p := r.profile(t, "NVIDIA L4"); p.Room.MemoryBytes != p.Device.MemoryBytes || encoderOf(p).FramesPerSecond["1080p"] != 400 {
			t.Errorf("still less room: %+v", p)
		}
	})
}

// open sets the sessions that the driver shows on a card.
func (r *rig) open(i int, pids ...uint32) {
	r.change(func() {
		gpuOf(r.driver, i).GetEncoderSessionsFunc = func() ([]nvml.EncoderSessionInfo, nvml.Return) {
			var list []nvml.EncoderSessionInfo
			for _, pid := range pids {
				list = append(list, nvml.EncoderSessionInfo{Pid: pid})
			}
			return list, nvml.SUCCESS
		}
	})
}

func TestRefusedSessionTeachesTheLimit(t *testing.T) {
	within(t, func() *server.Server { return cards(cardHome) }, func(t *testing.T, r *rig) {
		home := r.profile(t, cardHome.Name)
		if home.Room.Sessions != 0 {
			t.Fatalf("a limit from nowhere: %+v", home.Room)
		}
		var uses []*Use
		for range 3 {
			_, use := r.Begin(t.Context(), home.Device.ID, "h264_nvenc", 1, 1)
			uses = append(uses, use)
		}
		r.open(0, ourPID, ourPID, ourPID, 1, 1) // two are of another program
		noticing()
		_, refused := r.Begin(t.Context(), home.Device.ID, "h264_nvenc", 1, 1)
		refused.End(t.Context(), job.Fail(job.HardwareSessions, "no more"), false)
		if p := r.profile(t, cardHome.Name); p.Room.Sessions != 3 || encoderOf(p).Sessions != 3 || !encoderOf(p).Works {
			t.Errorf("got %+v, %+v, want the 3 that were ours", p.Room, encoderOf(p))
		}
		r.open(0, ourPID, ourPID, ourPID) // the other program has ended
		noticing()
		if p := r.profile(t, cardHome.Name); p.Room.Sessions != 5 {
			t.Errorf("got %+v, want all 5", p.Room)
		}
		r.open(0, 1, 1, 1, 1, 1)
		for _, use := range uses {
			use.End(t.Context(), nil, false)
		}
		noticing()
		if e := encoderOf(r.profile(t, cardHome.Name)); e.Works || !strings.Contains(e.Reason, "the limit is 5, and others hold 5") {
			t.Errorf("got %+v", e)
		}
		time.Sleep(limitFor)
		noticing()
		if e := encoderOf(r.profile(t, cardHome.Name)); !e.Works || e.Sessions != 0 {
			t.Errorf("a limit is never tried again: %+v", e)
		}
	})
}

func TestConsumerCardsOfAHostShareTheirLimit(t *testing.T) {
	within(t, func() *server.Server { return cards(cardHome, cardHome) }, func(t *testing.T, r *rig) {
		a, b := r.Profiles()[1].Device.ID, r.Profiles()[2].Device.ID
		begin := func(id string, n int) (uses []*Use) {
			for range n {
				_, use := r.Begin(t.Context(), id, "h264_nvenc", 1, 1)
				uses = append(uses, use)
			}
			return uses
		}
		refuse := func(id string) {
			begin(id, 1)[0].End(t.Context(), job.Fail(job.HardwareSessions, "no more"), false)
		}
		onA, onB := begin(a, 3), begin(b, 2)
		refuse(a)
		refuse(b) // now both are known to have the limit
		rooms := func() (int, int) {
			profiles := r.Profiles()
			return profiles[1].Room.Sessions, profiles[2].Room.Sessions
		}
		if roomA, roomB := rooms(); roomA != 3 || roomB != 2 {
			t.Errorf("got room for %d and %d", roomA, roomB)
		}
		for _, p := range r.Profiles()[1:] {
			if p.SharedSessions != 5 {
				t.Errorf("%s says that the cards may hold %d sessions together, they were seen to hold 5", p.Device.ID, p.SharedSessions)
			}
		}
		for _, use := range onB {
			use.End(t.Context(), nil, false)
		}
		if roomA, roomB := rooms(); roomA != 5 || roomB != 2 {
			t.Errorf("once one card is free, the other has room for %d, and it for %d", roomA, roomB)
		}
		for _, use := range onA {
			use.End(t.Context(), nil, false)
		}
	})
}

func TestContainersOwnProcessNumbersDoNotMakeOursOthers(t *testing.T) {
	within(t, func() *server.Server { return cards(cardHome) }, func(t *testing.T, r *rig) {
		id := r.profile(t, cardHome.Name).Device.ID
		_, one := r.Begin(t.Context(), id, "h264_nvenc", 2, 1)
		r.open(0, 31000, 31000) // ours, by the host's numbers
		noticing()
		_, refused := r.Begin(t.Context(), id, "h264_nvenc", 1, 1)
		refused.End(t.Context(), job.Fail(job.HardwareSessions, "no more"), false)
		if p := r.profile(t, cardHome.Name); p.Room.Sessions != 2 {
			t.Errorf("got %+v", p.Room)
		}
		one.End(t.Context(), nil, false)
	})
}

func TestEncoderThatKeepsFailingIsOutUntilATrialWorks(t *testing.T) {
	within(t, oneL4, func(t *testing.T, r *rig) {
		id := r.profile(t, "NVIDIA L4").Device.ID
		attempt := func(failure *job.Failure) {
			_, use := r.Begin(t.Context(), id, "h264_nvenc", 1, 1)
			use.End(t.Context(), failure, false)
		}
		for range 10 {
			attempt(job.Fail(job.MediaCorrupt, "the input's fault"))
			attempt(job.Fail(job.OutputUnreachable, "the store's"))
		}
		if !encoderOf(r.profile(t, "NVIDIA L4")).Works {
			t.Fatal("out for faults that aren't its own")
		}
		r.change(func() { r.trials, r.broken["NVIDIA L4"] = nil, "it gave grey pictures" })
		for range breakerFailures {
			attempt(job.Fail(job.EncoderFailed, "exited with status 1"))
		}
		noticing()
		if e := encoderOf(r.profile(t, "NVIDIA L4")); e.Works || !strings.Contains(e.Reason, "it gave grey pictures") {
			t.Errorf("got %+v", e)
		}
		r.change(func() { delete(r.broken, "NVIDIA L4") })
		time.Sleep(breakerPause)
		noticing()
		tried := r.tried()
		if e := encoderOf(r.profile(t, "NVIDIA L4")); !e.Works || len(tried) != 2 {
			t.Errorf("got %+v after %v", e, tried)
		}
	})
}

func TestSoftwareIsNeverTakenOut(t *testing.T) {
	within(t, oneL4, func(t *testing.T, r *rig) {
		r.change(func() { r.broken["a CPU"] = "it fails always" })
		for range 10 {
			for _, code := range []job.Code{job.EncoderFailed, job.HardwareLost, job.HardwareUnavailable} {
				_, use := r.Begin(t.Context(), "cpu", "libx264", 0, 1)
				use.End(t.Context(), job.Fail(code, "exited with status 1"), false)
			}
		}
		noticing()
		if e := encoderOf(r.profile(t, "a CPU")); !e.Works {
			t.Errorf("a job with nothing else would wait for ever: %s", e.Reason)
		}
	})
}

func TestFaultOfTheDeviceHasItTriedAtOnce(t *testing.T) {
	within(t, oneL4, func(t *testing.T, r *rig) {
		r.change(func() { r.trials, r.broken["NVIDIA L4"] = nil, "CUDA_ERROR_ECC_UNCORRECTABLE" })
		_, use := r.Begin(t.Context(), r.profile(t, "NVIDIA L4").Device.ID, "h264_nvenc", 1, 1)
		use.End(t.Context(), job.Fail(job.HardwareLost, "the GPU has had a fault"), false)
		if e := encoderOf(r.profile(t, "NVIDIA L4")); e.Works {
			t.Errorf("got %+v", e)
		}
		noticing()
		tried := r.tried()
		if e := encoderOf(r.profile(t, "NVIDIA L4")); e.Works || e.Reason != "CUDA_ERROR_ECC_UNCORRECTABLE" || !slices.Equal(tried, []string{"NVIDIA L4!"}) {
			t.Errorf("got %+v after %v", e, tried)
		}
	})
}

func TestAttemptsAreToldTheEnergyTheyTook(t *testing.T) {
	within(t, oneL4, func(t *testing.T, r *rig) {
		start := time.Now()
		r.change(func() {
			gpuOf(r.driver, 0).GetTotalEnergyConsumptionFunc = func() (uint64, nvml.Return) { // 60 W
				return uint64(time.Since(start).Milliseconds() * 60), nvml.SUCCESS
			}
		})
		noticing()
		id := r.profile(t, "NVIDIA L4").Device.ID
		_, one := r.Begin(t.Context(), id, "h264_nvenc", 1, 1)
		synctest.Wait()
		time.Sleep(10 * time.Second)
		_, two := r.Begin(t.Context(), id, "h264_nvenc", 1, 1)
		synctest.Wait()
		time.Sleep(10 * time.Second)
		if joules := two.End(t.Context(), nil, false); !near(joules, 300) {
			t.Errorf("the second took %g J, want half of ten seconds", joules)
		}
		if joules := one.End(t.Context(), nil, false); !near(joules, 900) {
			t.Errorf("the first took %g J", joules)
		}
		// This machine's CPU has no counter: software's energy isn't known.
		_, software := r.Begin(t.Context(), "cpu", "libx264", 1, 4)
		time.Sleep(10 * time.Second)
		if joules := software.End(t.Context(), nil, false); joules != 0 {
			t.Errorf("software took %g J", joules)
		}
	})
}

func TestMeasuringAgainTriesEverything(t *testing.T) {
	within(t, oneL4, func(t *testing.T, r *rig) {
		r.tried()
		profiles, err := r.Measure(t.Context())
		if tried := r.tried(); err != nil || len(profiles) != 2 || !slices.Equal(tried, []string{"a CPU!", "NVIDIA L4!"}) {
			t.Errorf("got %d profiles after %v, %v", len(profiles), tried, err)
		}
	})
}
