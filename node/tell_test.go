package node

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"millrace/api"
	"millrace/cluster"
	"millrace/hwaccel"
	"millrace/job"
)

// told keeps what was shared last.
type told struct {
	mu            sync.Mutex
	profile, load json.RawMessage
}

func (t *told) ShareProfile(text json.RawMessage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.profile = text
}

func (t *told) ShareLoad(text json.RawMessage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.load = text
}

// node is how the API shows a node that told this.
func (t *told) node() api.Node {
	t.mu.Lock()
	defer t.mu.Unlock()
	node := api.Node{}
	addTold(&node, cluster.Shared{Profile: t.profile, Load: t.load})
	return node
}

func profiles(name string) []hwaccel.Profile {
	return []hwaccel.Profile{{
		Device: hwaccel.Device{ID: "cpu", Kind: hwaccel.CPU, Name: name}, Room: hwaccel.Room{Threads: 4},
		Encoders: []hwaccel.EncoderProfile{
			{Encoder: "libx264", Works: true, FramesPerSecond: map[string]float64{"360p": 120}},
			{Encoder: "libsvtav1", Reason: "ffmpeg was built without it"},
		},
		Decoders: []hwaccel.DecoderProfile{{Codec: "h264", PixelFormat: "yuv420p", Works: true}},
	}}
}

func TestNodeTellsItsDevicesAndItsLoadInWordsThatTheAPIShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := &told{}
		w := &worker{now: time.Now, profiles: profiles("before"), running: map[job.Ref]*attempt{
			{Task: "a"}: {running: Running{FramesPerSecond: 20}}, {Task: "b"}: {running: Running{FramesPerSecond: 5}},
		}}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			(&teller{to: heard, worker: w, log: slog.New(slog.DiscardHandler), machine: func(l *toldLoad) { l.CPU = 0.5 }}).run(ctx)
		})
		synctest.Wait()
		node := heard.node()
		if len(node.Devices) != 1 || node.Devices[0].Name != "before" || node.Devices[0].Threads != 4 || node.Measured == nil {
			t.Fatalf("got %+v", node)
		}
		if e := node.Devices[0].Encoders; !e[0].Works || e[0].Reason != nil || e[0].FramesPerSecond["360p"] != 120 || e[1].Works || e[1].Reason == nil {
			t.Errorf("got %+v", e)
		}
		if d := node.Devices[0].Decoders; len(d) != 1 || d[0].Codec != "h264" || !d[0].Works || d[0].Reason != nil {
			t.Errorf("got %+v", d)
		}
		if node.Load == nil || node.Load.Attempts != 2 || node.Load.FramesPerSecond != 25 || node.Load.CPU != 0.5 {
			t.Errorf("got %+v", node.Load)
		}
		w.mu.Lock()
		clear(w.running)
		w.mu.Unlock()
		time.Sleep(2 * tellEvery)
		synctest.Wait()
		if node := heard.node(); node.Load.Attempts != 0 {
			t.Errorf("later %+v", node.Load)
		}
		stop()
		running.Wait()
	})
}

func TestDevicesAreMeasuredOneRunAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard, w := &told{}, &worker{now: time.Now, profiles: profiles("before")}
		asked := make(chan struct{}, 1)
		ask := func() {
			select {
			case asked <- struct{}{}:
			default:
			}
		}
		runs, atOnce := 0, 0
		results := make(chan []hwaccel.Profile)
		tell := &teller{to: heard, worker: w, log: slog.New(slog.DiscardHandler), machine: func(*toldLoad) {}, asked: asked, since: time.Now().Add(-time.Hour),
			measure: func(ctx context.Context) ([]hwaccel.Profile, error) {
				runs++
				atOnce++
				defer func() { atOnce-- }()
				if atOnce > 1 {
					t.Error("two measurements at once")
				}
				select {
				case found := <-results:
					if found == nil {
						return nil, errors.New("the disk is full")
					}
					return found, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { tell.run(ctx) })
		for range 5 {
			ask()
			synctest.Wait()
		}
		if node := heard.node(); !node.Measured.Equal(tell.since) {
			t.Errorf("told to be measured at %s", node.Measured)
		}
		results <- profiles("after")
		synctest.Wait()
		if node := heard.node(); !node.Measured.After(tell.since) {
			t.Errorf("measured again, but still of %s", node.Measured)
		}
		if node := heard.node(); node.Devices[0].Name != "after" || w.devices()[0].Device.Name != "after" {
			t.Errorf("got %+v", node)
		}
		results <- nil // the second run, for those who asked during the first
		synctest.Wait()
		if w.devices()[0].Device.Name != "after" || runs != 2 {
			t.Errorf("a failed measurement left %+v after %d runs", w.devices(), runs)
		}
		ask()
		synctest.Wait()
		stop() // in the middle of the third
		running.Wait()
	})
}

func TestNodeTellsWhatItsOperatorSaidOfItAndWhetherItTakesWorkNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it begins on a Saturday at midnight
		hours, err := ParseWorkHours("Sat 00:00-00:01")
		if err != nil {
			t.Fatal(err)
		}
		heard := &told{}
		w := &worker{now: func() time.Time { return time.Now().UTC() }, marks: marks{labels: []string{"ssd"}, taints: []string{"film"}, hours: hours}}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			(&teller{to: heard, worker: w, log: slog.New(slog.DiscardHandler), machine: func(*toldLoad) {}}).run(ctx)
		})
		synctest.Wait()
		node := heard.node()
		if !slices.Equal(node.Labels, w.labels) || !slices.Equal(node.Taints, w.taints) || node.WorkHours != "Sat 00:00-00:01" {
			t.Errorf("told as %+v", node)
		}
		if node.WithinHours == nil || !*node.WithinHours {
			t.Errorf("within its hours it says %v", node.WithinHours)
		}
		time.Sleep(time.Minute + tellEvery)
		synctest.Wait()
		if node := heard.node(); node.WithinHours == nil || *node.WithinHours {
			t.Errorf("after its hours it says %v", node.WithinHours)
		}
		stop()
		running.Wait()
	})
}

func TestLoadFitsIntoItsMessage(t *testing.T) {
	text, err := json.Marshal(toldLoad{math.MaxInt, math.MaxFloat64, math.MaxFloat64, math.MaxInt64, math.MaxInt64, true})
	if err != nil || len(text) > cluster.MaxLoadBytes {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

func TestMachineTellsItsLoad(t *testing.T) {
	root := fstest.MapFS{
		"proc/loadavg": {Data: []byte("3.00 1.00 0.50 2/300 4711\n")},
		"proc/meminfo": {Data: []byte("MemTotal:  2000 kB\nMemFree: 10 kB\nMemAvailable:     1000 kB\n")},
	}
	var load toldLoad
	machineLoad(root, t.TempDir(), 4)(&load)
	if load.CPU != 0.75 || load.MemoryFree != 1000<<10 || load.DiskFree <= 0 {
		t.Errorf("got %+v", load)
	}
	load = toldLoad{}
	machineLoad(fstest.MapFS{}, "/nowhere", 0)(&load)
	if load != (toldLoad{}) {
		t.Errorf("of nothing: %+v", load)
	}
}
