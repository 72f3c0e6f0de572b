package node

import (
	"context"
	"io/fs"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace/hwaccel"
	"millrace/job"
)

// machineFiles are a machine with an Intel GPU and a CPU of 60 W.
type machineFiles struct {
	mu    sync.Mutex
	files fstest.MapFS
	start time.Time
}

func newMachineFiles() *machineFiles {
	return &machineFiles{start: time.Now(), files: fstest.MapFS{
		"proc/cpuinfo":                           {Data: []byte("model name : a CPU\n")},
		"sys/class/drm/renderD128/device/uevent": {Data: []byte("DRIVER=i915\nPCI_SLOT_NAME=0000:00:02.0\n")},
		"sys/class/powercap/intel-rapl:0/name":   {Data: []byte("package-0\n")},
	}}
}

func (m *machineFiles) Open(name string) (fs.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	microjoules := time.Since(m.start).Microseconds() * 60
	m.files["sys/class/powercap/intel-rapl:0/energy_uj"] = &fstest.MapFile{Data: []byte(strconv.FormatInt(microjoules, 10))}
	return m.files.Open(name)
}

// pull takes the GPU out.
func (m *machineFiles) pull() {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, "sys/class/drm/renderD128/device/uevent")
}

// always are trials that find that everything works.
type always struct{}

func (always) Profile(_ context.Context, d hwaccel.Device, r hwaccel.Room) (hwaccel.Profile, error) {
	e := hwaccel.EncoderProfile{Encoder: "libx264", Works: true}
	if d.Kind != hwaccel.CPU {
		e.Encoder = "h264_vaapi"
	}
	return hwaccel.Profile{Device: d, Room: r, Encoders: []hwaccel.EncoderProfile{e}}, nil
}

func (a always) Fresh(ctx context.Context, d hwaccel.Device, r hwaccel.Room) (hwaccel.Profile, error) {
	return a.Profile(ctx, d, r)
}

func (always) Encoder(_ context.Context, _ hwaccel.Device, _ hwaccel.Room, encoder string) (hwaccel.EncoderProfile, error) {
	return hwaccel.EncoderProfile{Encoder: encoder, Works: true}, nil
}

// withInventory runs a test with an inventory that watches files.
func withInventory(t *testing.T, test func(*testing.T, *machineFiles, *hwaccel.Inventory)) {
	synctest.Test(t, func(t *testing.T) {
		files := newMachineFiles()
		inventory := hwaccel.NewInventory(hwaccel.InventoryConfig{
			Machine: &hwaccel.Machine{Root: files, Affinity: 4, Open: func(string) error { return nil }},
			Trials:  always{}, Logger: slog.New(slog.DiscardHandler),
		})
		if err := inventory.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() { inventory.Run(ctx) })
		defer watching.Wait()
		defer stop()
		synctest.Wait()
		test(t, files, inventory)
	})
}

func encodeOrder(device, encoder string) Order {
	return Order{
		Ref: someRef, Device: device, Encoder: encoder, Threads: 2,
		Plan: &job.Plan{Timeline: job.Timeline{Rate: job.Rational{Num: 30, Den: 1}, Frames: 1800, SegmentFrames: 60}},
		Task: job.Task{Kind: job.EncodeTask, Renditions: []string{"720p", "360p"}, Chunk: &job.Chunk{Frames: job.FrameRange{Start: 0, End: 900}}},
	}
}

func TestAttemptOfALostDeviceFailsAndTheNodeSaysWhy(t *testing.T) {
	withInventory(t, func(t *testing.T, files *machineFiles, inventory *hwaccel.Inventory) {
		started := make(chan struct{})
		u := &uses{inventory: inventory, executor: executorFunc(func(ctx context.Context, _ Order) Ended {
			close(started)
			<-ctx.Done() // ffmpeg is killed
			return Ended{Stopped: true}
		})}
		var ended Ended
		var attempt sync.WaitGroup
		attempt.Go(func() { ended = u.execute(t.Context(), encodeOrder("0000:00:02.0", "h264_vaapi"), nil) })
		<-started
		files.pull()
		began := time.Now()
		attempt.Wait()
		if ended.Failure == nil || ended.Failure.Code != job.HardwareLost || ended.Stopped || time.Since(began) > 10*time.Second {
			t.Errorf("after %s: %+v", time.Since(began), ended)
		}
		worker := newWorker(nil, nil)
		worker.setDevices(inventory.Profiles())
		report := worker.report(false)
		gpu := report.Profiles[slices.IndexFunc(report.Profiles, func(p hwaccel.Profile) bool { return p.Device.Kind != hwaccel.CPU })]
		if gpu.Works("h264_vaapi") || !strings.Contains(gpu.Encoders[0].Reason, "the device is lost") {
			t.Errorf("the leader is told %+v", gpu)
		}
	})
}

func TestAttemptThatIsStoppedIsNotTheDevicesFault(t *testing.T) {
	withInventory(t, func(t *testing.T, _ *machineFiles, inventory *hwaccel.Inventory) {
		ctx, stop := context.WithCancel(t.Context())
		u := &uses{inventory: inventory, executor: executorFunc(func(ctx context.Context, _ Order) Ended {
			stop()
			<-ctx.Done()
			return Ended{Stopped: true}
		})}
		if ended := u.execute(ctx, encodeOrder("0000:00:02.0", "h264_vaapi"), nil); !ended.Stopped || ended.Failure != nil {
			t.Errorf("got %+v", ended)
		}
	})
}

// counters are the values of the counters among collectors, by name.
func counters(t *testing.T, collectors ...prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			values[family.GetName()] += metric.GetCounter().GetValue()
		}
	}
	return values
}

func TestEnergyOfAnAttemptIsReportedAndCounted(t *testing.T) {
	withInventory(t, func(t *testing.T, _ *machineFiles, inventory *hwaccel.Inventory) {
		metrics := newEnergyMetrics()
		u := &uses{inventory: inventory, energy: metrics, executor: executorFunc(func(context.Context, Order) Ended {
			time.Sleep(20 * time.Second)
			return Ended{Result: &job.Result{}}
		})}
		ended := u.execute(t.Context(), encodeOrder("cpu", "libx264"), nil)
		if math.Abs(ended.EnergyJoules-1200) > 1 {
			t.Errorf("got %g J, want 20 s of 60 W", ended.EnergyJoules)
		}
		shown := counters(t, metrics.collectors()...)
		joules, seconds := shown["millrace_encode_energy_joules_total"], shown["millrace_encode_energy_video_seconds_total"]
		if seconds != 30 || math.Abs(joules/seconds*60-2400) > 5 {
			t.Errorf("%g J for %g s of video", joules, seconds)
		}
	})
}

func TestTheEnergyOfTrialsIsInTheMetrics(t *testing.T) {
	metrics := newEnergyMetrics()
	tell := &teller{to: &told{}, worker: newWorker(nil, nil), energy: metrics}
	trials := func(joules map[string]float64) []hwaccel.Profile {
		return []hwaccel.Profile{{Device: hwaccel.Device{ID: "cpu"}, Encoders: []hwaccel.EncoderProfile{{Encoder: "libx264", Works: true, JoulesPerFrame: joules}}}}
	}
	shown := func() (values []float64) {
		registry := prometheus.NewRegistry()
		registry.MustRegister(metrics.collectors()...)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				if family.GetName() == "millrace_trial_joules_per_frame" && len(metric.GetLabel()) == 3 {
					values = append(values, metric.GetGauge().GetValue())
				}
			}
		}
		return values
	}
	tell.tellProfile(trials(map[string]float64{"360p": 0.25}), time.Now())
	if got := shown(); !slices.Equal(got, []float64{0.25}) {
		t.Errorf("got %v", got)
	}
	tell.tellProfile(trials(nil), time.Now())
	if got := shown(); len(got) != 0 {
		t.Errorf("of a trial that couldn't read it, after one that could: %v", got)
	}
}

func TestTellerPassesOnWhatTheWatchHasSeen(t *testing.T) {
	withInventory(t, func(t *testing.T, files *machineFiles, inventory *hwaccel.Inventory) {
		heard := &told{}
		worker := newWorker(nil, nil)
		tell := &teller{to: heard, worker: worker, log: worker.log, devices: inventory, machine: func(*toldLoad) {}}
		ctx, stop := context.WithCancel(t.Context())
		var telling sync.WaitGroup
		telling.Go(func() { tell.run(ctx) })
		synctest.Wait()
		files.pull()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		stop()
		telling.Wait()
		if !strings.Contains(string(heard.profile), "the device is lost") {
			t.Errorf("the others were told %s", heard.profile)
		}
		if !slices.ContainsFunc(worker.devices(), func(p hwaccel.Profile) bool { return strings.Contains(p.Device.Unusable, "lost") }) {
			t.Errorf("the worker offers %+v", worker.devices())
		}
	})
}
