//go:build cgo

package hwaccel

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxa100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxb200"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh200"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/gpus"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"
)

// Cards that encode, beside the chips for computing that the library brings.
var (
	cardL4   = gpus.Config{Name: "NVIDIA L4", Architecture: nvml.DEVICE_ARCH_ADA, Brand: nvml.BRAND_NVIDIA, MemoryMB: 23034, CudaMajor: 8, CudaMinor: 9, PciDeviceId: 0x27b810de}
	cardT4   = gpus.Config{Name: "Tesla T4", Architecture: nvml.DEVICE_ARCH_TURING, Brand: nvml.BRAND_TESLA, MemoryMB: 15360, CudaMajor: 7, CudaMinor: 5, PciDeviceId: 0x1eb810de}
	cardHome = gpus.Config{Name: "NVIDIA GeForce RTX 3060", Architecture: nvml.DEVICE_ARCH_AMPERE, Brand: nvml.BRAND_GEFORCE, MemoryMB: 12288, CudaMajor: 8, CudaMinor: 6, PciDeviceId: 0x250310de}
)

func cards(configs ...gpus.Config) *server.Server {
	return ready(server.NewServerWithGPUs("550.54.15", "12.550.54.15", 12040, configs...))
}

// ready gives a mock server answers to what the library's own leave out: a GPU
// that has nothing to do.
func ready(s *server.Server) *server.Server {
	s.ErrorStringFunc = func(ret nvml.Return) string { return ret.Error() }
	s.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) { return nil, nvml.ERROR_NOT_SUPPORTED }
	for i := range s.Devices {
		gpu := gpuOf(s, i)
		gpu.GetPciInfoFunc = func() (nvml.PciInfo, nvml.Return) { return nvml.PciInfo{Bus: uint32(0x10 + i)}, nvml.SUCCESS }
		gpu.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 41, nvml.SUCCESS }
		gpu.GetPowerUsageFunc = func() (uint32, nvml.Return) { return 17500, nvml.SUCCESS }
		gpu.GetTotalEnergyConsumptionFunc = func() (uint64, nvml.Return) { return 1234567, nvml.SUCCESS }
		gpu.GetCurrentClocksThrottleReasonsFunc = func() (uint64, nvml.Return) { return nvml.ClocksThrottleReasonGpuIdle, nvml.SUCCESS }
		gpu.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{Gpu: 3}, nvml.SUCCESS } //nolint:misspell // the library's own name
		gpu.GetEncoderUtilizationFunc = func() (uint32, uint32, nvml.Return) { return 0, 1000, nvml.SUCCESS }
		gpu.GetDecoderUtilizationFunc = func() (uint32, uint32, nvml.Return) { return 0, 1000, nvml.SUCCESS }
		gpu.GetEncoderSessionsFunc = func() ([]nvml.EncoderSessionInfo, nvml.Return) { return nil, nvml.SUCCESS }
		gpu.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) { return nil, nvml.SUCCESS }
		gpu.GetGraphicsRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) { return nil, nvml.SUCCESS }
		gpu.GetProcessUtilizationFunc = func(uint64) ([]nvml.ProcessUtilizationSample, nvml.Return) { return nil, nvml.ERROR_NOT_FOUND }
		gpu.GetSupportedEventTypesFunc = func() (uint64, nvml.Return) { return 0, nvml.ERROR_NOT_SUPPORTED }
	}
	return s
}

func gpuOf(s *server.Server, i int) *server.Device { return s.Devices[i].(*server.Device) }

// loses makes a GPU answer everything with ret, as a lost one does.
func loses(s *server.Server, i int, ret nvml.Return) {
	whole := s.DeviceGetHandleByIndexFunc
	s.DeviceGetHandleByIndexFunc = func(index int) (nvml.Device, nvml.Return) {
		if index == i {
			return nil, ret
		}
		return whole(index)
	}
}

// ourPID is the one process that is ours in these tests.
const ourPID = 4711

func driverOf(lib nvml.Interface) *nvmlDriver {
	return newNVML(lib, func(pid int) bool { return pid == ourPID })
}

func sight(t *testing.T, driver *nvmlDriver) []Sighting {
	t.Helper()
	found, reason := driver.scan(t.Context())
	if len(found) == 0 {
		t.Fatalf("no GPU: %s", reason)
	}
	return found
}

func TestEachGPUOfAServerIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		server *server.Server
		gpu    string
		count  int
		memory int64 // GiB
	}{
		"DGX A100": {ready(dgxa100.New()), "Mock NVIDIA A100-SXM4-40GB", 8, 40},
		"DGX H100": {ready(dgxh100.New()), "NVIDIA H100 80GB HBM3", 8, 80},
		"DGX H200": {ready(dgxh200.New()), "NVIDIA H200 141GB HBM3e", 8, 141},
		"DGX B200": {ready(dgxb200.New()), "NVIDIA B200 180GB HBM3e", 8, 180},
		"two L4":   {cards(cardL4, cardL4), "NVIDIA L4", 2, 22},
		"a T4":     {cards(cardT4), "Tesla T4", 1, 15},
		"at home":  {cards(cardHome), "NVIDIA GeForce RTX 3060", 1, 12},
	} {
		t.Run(name, func(t *testing.T) {
			found := sight(t, driverOf(c.server))
			if len(found) != c.count {
				t.Fatalf("found %d GPUs, want %d", len(found), c.count)
			}
			seen := map[string]bool{}
			for i, sighting := range found {
				d := sighting.Device
				if d.Name != c.gpu || d.Kind != NVIDIA || d.Vendor != VendorNVIDIA || d.Index != i || d.ID != d.UUID ||
					!strings.HasPrefix(d.UUID, "GPU-") || seen[d.ID] || d.MemoryBytes>>30 != c.memory || d.MIG != nil || d.Unusable != "" ||
					d.DriverVersion != c.server.DriverVersion || d.Driver != "NVIDIA "+d.DriverVersion || !strings.HasPrefix(d.CUDAVersion, "12.") && !strings.HasPrefix(d.CUDAVersion, "11.") {
					t.Errorf("got %+v", d)
				}
				if sighting.Health.Lost != "" || *sighting.Health.TemperatureCelsius != 41 || *sighting.Health.PowerWatts != 17.5 ||
					*sighting.Health.EnergyJoules != 1234.567 || sighting.Health.Throttled != nil {
					t.Errorf("got %+v", sighting.Health)
				}
				if sighting.Room.MemoryBytes != d.MemoryBytes || *sighting.Usage.GPUPercent != 3 || *sighting.Usage.Sessions != 0 {
					t.Errorf("got %+v, %+v", sighting.Room, sighting.Usage)
				}
				seen[d.ID] = true
			}
			if d := found[0].Device; d.PCI != "0000:10:00.0" || !slices.Contains(d.Paths, "/dev/nvidia0") || !slices.Contains(d.Paths, "/dev/nvidiactl") {
				t.Errorf("got %+v", d)
			}
		})
	}
}

func TestMachineWithoutAnNVIDIADriverSaysWhy(t *testing.T) {
	for ret, want := range map[nvml.Return]string{
		nvml.ERROR_LIBRARY_NOT_FOUND:       "no NVIDIA driver: libnvidia-ml.so.1 isn't there",
		nvml.ERROR_DRIVER_NOT_LOADED:       "the NVIDIA driver's kernel module isn't loaded",
		nvml.ERROR_NO_PERMISSION:           "/dev/nvidiactl can't be opened",
		nvml.ERROR_LIB_RM_VERSION_MISMATCH: "restart the machine, or reload the module",
		nvml.ERROR_UNKNOWN:                 "the NVIDIA driver can't be used: ",
	} {
		s := cards(cardL4)
		s.InitFunc = func() nvml.Return { return ret }
		if found, reason := driverOf(s).scan(t.Context()); len(found) != 0 || !strings.Contains(reason, want) {
			t.Errorf("%v: got %v, %q, want %q", ret, found, reason, want)
		}
	}
	none := cards()
	if found, reason := driverOf(none).scan(t.Context()); len(found) != 0 || reason != "the NVIDIA driver 550.54.15 sees no GPU" {
		t.Errorf("got %v, %q", found, reason)
	}
	old := cards(cardT4)
	old.LookupSymbolFunc = func(symbol string) error {
		if symbol == "nvmlDeviceGetMigMode" {
			return nvml.ERROR_FUNCTION_NOT_FOUND
		}
		return nil
	}
	if found, reason := driverOf(old).scan(t.Context()); len(found) != 0 || !strings.Contains(reason, "too old: it lacks nvmlDeviceGetMigMode") {
		t.Errorf("got %v, %q", found, reason)
	}
}

func TestLostGPUIsStillNamedAndTheOthersWorkOn(t *testing.T) {
	for ret, want := range map[nvml.Return]string{
		nvml.ERROR_GPU_IS_LOST:    "the GPU has fallen off the bus, or can't be reached any more",
		nvml.ERROR_RESET_REQUIRED: "the GPU has to be reset before it can be used again",
	} {
		s := cards(cardL4, cardT4)
		driver := driverOf(s)
		before := sight(t, driver)
		loses(s, 1, ret)
		after := sight(t, driver)
		if len(after) != 2 || after[0].Health.Lost != "" || after[1].Health.Lost != want || after[1].Device.ID != before[1].Device.ID || after[1].Device.Name != "Tesla T4" {
			t.Errorf("got %+v", after)
		}
	}
	// One that was lost before anybody asked for its name.
	s := cards(cardL4)
	loses(s, 0, nvml.ERROR_GPU_IS_LOST)
	if found := sight(t, driverOf(s)); found[0].Health.Lost == "" || found[0].Device.ID != "nvidia-0" {
		t.Errorf("got %+v", found)
	}
}

func TestGPULostBetweenTwoQuestionsIsLost(t *testing.T) {
	s := cards(cardL4)
	driver := driverOf(s)
	sight(t, driver)
	gpuOf(s, 0).GetPowerUsageFunc = func() (uint32, nvml.Return) { return 0, nvml.ERROR_GPU_IS_LOST }
	if found := sight(t, driver); found[0].Health.Lost == "" || found[0].Device.Name != "NVIDIA L4" {
		t.Errorf("got %+v", found)
	}
}

func TestReloadedDriverIsAskedAnew(t *testing.T) {
	s := cards(cardL4)
	driver := driverOf(s)
	sight(t, driver)
	count := s.DeviceGetCountFunc
	s.DeviceGetCountFunc = func() (int, nvml.Return) { return 0, nvml.ERROR_DRIVER_NOT_LOADED }
	if found, reason := driver.scan(t.Context()); len(found) != 0 || !strings.Contains(reason, "the driver was unloaded") {
		t.Fatalf("got %+v, %q", found, reason)
	}
	s.DeviceGetCountFunc, s.DriverVersion = count, "570.86.15"
	if found := sight(t, driver); found[0].Device.DriverVersion != "570.86.15" || len(s.InitCalls()) != 2 || len(s.ShutdownCalls()) != 1 {
		t.Errorf("got %+v after %d loads and %d unloads", found, len(s.InitCalls()), len(s.ShutdownCalls()))
	}
}

func TestInstancesOfACutUpGPUAreTheDevices(t *testing.T) {
	s := ready(dgxh100.NewWithGPUs(gpus.H100_SXM5_80GB))
	gpu := gpuOf(s, 0)
	gpu.MigMode = nvml.DEVICE_MIG_ENABLE
	gpu.GetMaxMigDeviceCountFunc = func() (int, nvml.Return) { return 7, nvml.SUCCESS }
	part := func(id int) nvml.Device {
		return &mock.Device{
			GetUUIDFunc:              func() (string, nvml.Return) { return "MIG-" + string(rune('a'+id)), nvml.SUCCESS },
			GetNameFunc:              func() (string, nvml.Return) { return "NVIDIA H100 80GB HBM3 MIG 1g.10gb", nvml.SUCCESS },
			GetGpuInstanceIdFunc:     func() (int, nvml.Return) { return 7 + id, nvml.SUCCESS },
			GetComputeInstanceIdFunc: func() (int, nvml.Return) { return 0, nvml.SUCCESS },
			GetMemoryInfoFunc:        func() (nvml.Memory, nvml.Return) { return nvml.Memory{Total: 10 << 30, Used: 1 << 30}, nvml.SUCCESS },
		}
	}
	there := 2
	gpu.GetMigDeviceHandleByIndexFunc = func(i int) (nvml.Device, nvml.Return) {
		if i >= there {
			return nil, nvml.ERROR_NOT_FOUND
		}
		return part(i), nvml.SUCCESS
	}
	found := sight(t, driverOf(s))
	if len(found) != 2 {
		t.Fatalf("got %+v", found)
	}
	d := found[1].Device
	if d.ID != "MIG-b" || *d.MIG != (MIG{Parent: gpu.UUID, GPUInstance: 8}) || d.MemoryBytes != 10<<30 || d.Name != "NVIDIA H100 80GB HBM3 MIG 1g.10gb" ||
		!slices.Contains(d.Paths, "/dev/nvidia-caps") || found[1].Health.EnergyJoules != nil || *found[1].Usage.MemoryUsedBytes != 1<<30 {
		t.Errorf("got %+v", found[1])
	}
	if pin := d.Pin(CUDA); !slices.Contains(pin.Env, "CUDA_VISIBLE_DEVICES=MIG-b") {
		t.Errorf("pinned by %v", pin.Env)
	}
	there = 0
	if found := sight(t, driverOf(s)); len(found) != 1 || !strings.Contains(found[0].Device.Unusable, "no instances") {
		t.Errorf("got %+v", found)
	}
}

func TestWorkOfOthersIsToldFromOurs(t *testing.T) {
	s := cards(cardL4)
	gpu := gpuOf(s, 0)
	gpu.GetEncoderSessionsFunc = func() ([]nvml.EncoderSessionInfo, nvml.Return) {
		return []nvml.EncoderSessionInfo{{Pid: ourPID}, {Pid: 1}, {Pid: 2}}, nvml.SUCCESS
	}
	gpu.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) {
		return []nvml.ProcessInfo{{Pid: ourPID, UsedGpuMemory: 5 << 30}, {Pid: 1, UsedGpuMemory: 2 << 30}, {Pid: 2, UsedGpuMemory: notAvailable}}, nvml.SUCCESS
	}
	gpu.GetGraphicsRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) {
		return []nvml.ProcessInfo{{Pid: 1, UsedGpuMemory: 2 << 30}, {Pid: 3, UsedGpuMemory: 1 << 30}}, nvml.SUCCESS
	}
	gpu.GetProcessUtilizationFunc = func(uint64) ([]nvml.ProcessUtilizationSample, nvml.Return) {
		return []nvml.ProcessUtilizationSample{
			{Pid: 1, TimeStamp: 1, EncUtil: 90}, {Pid: 1, TimeStamp: 2, EncUtil: 30, DecUtil: 5}, {Pid: ourPID, TimeStamp: 2, EncUtil: 50},
		}, nvml.SUCCESS
	}
	gpu.GetCurrentClocksThrottleReasonsFunc = func() (uint64, nvml.Return) {
		return nvml.ClocksThrottleReasonSwPowerCap | nvml.ClocksThrottleReasonHwThermalSlowdown, nvml.SUCCESS
	}
	found := sight(t, driverOf(s))[0]
	if want := (Others{Sessions: 2, MemoryBytes: 3 << 30, EncoderPercent: 30, DecoderPercent: 5}); found.Usage.Others != want || *found.Usage.Sessions != 3 {
		t.Errorf("got %+v, want %+v", found.Usage.Others, want)
	}
	if !slices.Equal(found.Health.Throttled, []string{"power cap", "temperature (hardware)"}) {
		t.Errorf("throttled by %v", found.Health.Throttled)
	}
}

func TestWhatTheDriverDoesNotTellIsNotZero(t *testing.T) {
	s := cards(cardHome)
	gpu := gpuOf(s, 0)
	gpu.GetTotalEnergyConsumptionFunc = func() (uint64, nvml.Return) { return 0, nvml.ERROR_NOT_SUPPORTED }
	gpu.GetPowerUsageFunc = func() (uint32, nvml.Return) { return 0, nvml.ERROR_NOT_SUPPORTED }
	gpu.GetEncoderUtilizationFunc = func() (uint32, uint32, nvml.Return) { return 0, 0, nvml.ERROR_NOT_SUPPORTED }
	gpu.GetEncoderSessionsFunc = func() ([]nvml.EncoderSessionInfo, nvml.Return) { return nil, nvml.ERROR_NOT_SUPPORTED }
	gpu.GetEncoderStatsFunc = func() (int, uint32, uint32, nvml.Return) { return 0, 0, 0, nvml.ERROR_NOT_SUPPORTED }
	found := sight(t, driverOf(s))[0]
	if found.Health.EnergyJoules != nil || found.Health.PowerWatts != nil || found.Usage.EncoderPercent != nil || found.Usage.Sessions != nil || found.Health.Lost != "" {
		t.Errorf("got %+v, %+v", found.Health, found.Usage)
	}
}

func TestFatalXidTakesAGPUOutForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cards(cardL4, cardT4)
		var queue []nvml.EventData
		s.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) {
			return &mock.EventSet{
				FreeFunc: func() nvml.Return { return nvml.SUCCESS },
				WaitFunc: func(uint32) (nvml.EventData, nvml.Return) {
					if len(queue) == 0 {
						return nvml.EventData{}, nvml.ERROR_TIMEOUT
					}
					event := queue[0]
					queue = queue[1:]
					return event, nvml.SUCCESS
				},
			}, nvml.SUCCESS
		}
		for i := range s.Devices {
			gpuOf(s, i).GetSupportedEventTypesFunc = func() (uint64, nvml.Return) { return nvml.EventTypeXidCriticalError, nvml.SUCCESS }
			gpuOf(s, i).RegisterEventsFunc = func(uint64, nvml.EventSet) nvml.Return { return nvml.SUCCESS }
		}
		driver := driverOf(s)
		sight(t, driver)
		xid := func(i int, n uint64) {
			queue = append(queue, nvml.EventData{Device: s.Devices[i], EventType: nvml.EventTypeXidCriticalError, EventData: n})
		}
		xid(0, 31) // a program's own fault
		xid(1, 79)
		xid(1, 45) // what follows
		found := sight(t, driver)
		if found[0].Health.Lost != "" || found[0].Health.Xid != 31 || !strings.Contains(found[1].Health.Lost, "Xid 79") || found[1].Health.Xid != 79 {
			t.Errorf("got %+v, %+v", found[0].Health, found[1].Health)
		}
		time.Sleep(faultRest)
		if found := sight(t, driver); found[1].Health.Lost != "" {
			t.Errorf("a trial can't begin: %s", found[1].Health.Lost)
		}
	})
}

func TestHangingDriverIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cards(cardL4)
		p := newPatient(driverOf(s))
		before, _ := p.scan(t.Context())
		hang := make(chan struct{})
		s.DeviceGetCountFunc = func() (int, nvml.Return) { <-hang; return 1, nvml.SUCCESS }
		started := time.Now()
		found, _ := p.scan(t.Context())
		if len(found) != 1 || found[0].Device.ID != before[0].Device.ID || !strings.Contains(found[0].Health.Lost, "has not answered for 5s") {
			t.Errorf("got %+v", found)
		}
		if took := time.Since(started); took > driverPatience {
			t.Errorf("waited %s", took)
		}
		close(hang)
		if found, _ := p.scan(t.Context()); len(found) != 1 || found[0].Health.Lost != "" {
			t.Errorf("after it has come back: %+v", found)
		}
		p.close()
	})
}
