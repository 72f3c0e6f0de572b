//go:build cgo

package hwaccel

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"

	"millrace/job"
)

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
		if e := encoderOf(r.profile(t, "NVIDIA L4")); e.Works || e.Reason != "CUDA_ERROR_ECC_UNCORRECTABLE" || !slices.Equal(tried, []string{"NVIDIA L4/h264_nvenc", "NVIDIA L4!"}) {
			t.Errorf("got %+v after %v", e, tried)
		}
	})
}

// TestDeviceThatFailsThoughTrialsWork costs few attempts: each fault has it wait longer,
// until an attempt has worked.
func TestDeviceThatFailsThoughTrialsWork(t *testing.T) {
	within(t, oneL4, func(t *testing.T, r *rig) {
		id := r.profile(t, "NVIDIA L4").Device.ID
		works := func() bool { synctest.Wait(); return encoderOf(r.profile(t, "NVIDIA L4")).Works }
		attempt := func(failure *job.Failure) {
			_, use := r.Begin(t.Context(), id, "h264_nvenc", 1, 1)
			use.End(t.Context(), failure, false)
		}
		fault := job.Fail(job.HardwareLost, "the GPU has had a fault")
		_, old := r.Begin(t.Context(), id, "h264_nvenc", 1, 1)
		r.tried()
		for _, pause := range []time.Duration{0, faultPause, 2 * faultPause} {
			time.Sleep(time.Second)
			if attempt(fault); pause > 0 {
				time.Sleep(pause - 2*watchEvery)
				if works() {
					t.Errorf("it is back before %s", pause)
				}
				time.Sleep(3 * watchEvery)
			}
			if tried := r.tried(); !works() || !slices.Equal(tried, []string{"NVIDIA L4/h264_nvenc"}) || r.meanwhile {
				t.Errorf("after %s it works: %t, was offered during its trial: %t, and tried %v", pause, works(), r.meanwhile, tried)
			}
		}
		old.End(t.Context(), fault, false) // it began before all of that
		if tried := r.tried(); !works() || len(tried) > 0 {
			t.Errorf("an old attempt has it tried: %v", tried)
		}
		attempt(nil)
		attempt(fault)
		if tried := r.tried(); !works() || len(tried) != 1 {
			t.Errorf("after an attempt that worked it isn't tried at once: %v", tried)
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
