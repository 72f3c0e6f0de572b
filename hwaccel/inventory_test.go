//go:build cgo

package hwaccel

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"

	"millrace/job"
)

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

// TestDeviceThatWorkedOnceIsTriedAgainUntilItWorks, however often the trial fails.
func TestDeviceThatWorkedOnceIsTriedAgainUntilItWorks(t *testing.T) {
	within(t, oneL4, func(t *testing.T, r *rig) {
		r.change(func() { r.trials, r.broken["NVIDIA L4"] = nil, "a trial encode failed" })
		_, use := r.Begin(t.Context(), r.profile(t, "NVIDIA L4").Device.ID, "h264_nvenc", 1, 1)
		use.End(t.Context(), job.Fail(job.HardwareLost, "the GPU has had a fault"), false)
		for _, pause := range []time.Duration{0, 2 * trialPause, 4 * trialPause} {
			time.Sleep(pause)
			noticing()
			if tried := r.tried(); !slices.Contains(tried, "NVIDIA L4!") {
				t.Fatalf("after %s it isn't tried: %v", pause, tried)
			}
		}
		r.change(func() { delete(r.broken, "NVIDIA L4") })
		time.Sleep(8 * trialPause)
		noticing()
		if e := encoderOf(r.profile(t, "NVIDIA L4")); !e.Works {
			t.Errorf("not back: %+v", e)
		}
	})
}
