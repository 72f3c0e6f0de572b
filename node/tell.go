package node

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"time"

	"millrace/cluster"
	"millrace/hwaccel"
)

// What a node tells all others of itself, by gossip. It is for people to look
// at: work is given by what polls say.

// toldProfile is what a node has.
type toldProfile struct {
	// Measured is when, by the node's own clock.
	Measured time.Time         `json:"measured"`
	Devices  []hwaccel.Profile `json:"devices"`
	// Labels, Taints and Hours are those that its operator gave it.
	Labels []string `json:"labels,omitempty"`
	Taints []string `json:"taints,omitempty"`
	Hours  string   `json:"hours,omitempty"`
}

// toldLoad is what a node does; it has to stay within cluster.MaxLoadBytes.
type toldLoad struct {
	Attempts        int     `json:"attempts"`
	FramesPerSecond float64 `json:"fps"`
	CPU             float64 `json:"cpu"`
	MemoryFree      int64   `json:"memory_free"`
	DiskFree        int64   `json:"disk_free"`
	// Closed says that it is outside its work hours.
	Closed bool `json:"closed,omitempty"`
}

// tellEvery is how often a node looks at its load.
const tellEvery = 2 * time.Second

// sharer is the peer's part in the gossip.
type sharer interface {
	ShareProfile(json.RawMessage)
	ShareLoad(json.RawMessage)
}

var _ sharer = (*cluster.Peer)(nil)

// teller tells the others of a worker and has its devices measured when asked.
type teller struct {
	to     sharer
	worker *worker
	log    *slog.Logger
	// measure tries the devices anew; it takes a minute or so.
	measure func(context.Context) ([]hwaccel.Profile, error)
	// since is when the devices that the worker has now were measured.
	since time.Time
	// machine fills in what the machine says of itself.
	machine func(*toldLoad)
	// asked holds a token while somebody wants the devices to be measured.
	asked <-chan struct{}
	// energy is told what trials measured; nil: nobody is.
	energy *energyMetrics
	// devices are watched for changes if it isn't nil.
	devices inventoried
}

// inventoried are devices that come, go and change while the node runs.
type inventoried interface {
	// Changed is closed at the next change; it is to be taken before Profiles.
	Changed() <-chan struct{}
	Profiles() []hwaccel.Profile
}

var _ inventoried = (*hwaccel.Inventory)(nil)

// run tells until ctx ends. Devices are measured one run at a time: asking
// again meanwhile has them measured once more afterwards.
func (t *teller) run(ctx context.Context) {
	since := t.since
	var changed <-chan struct{}
	look := func() {
		if t.devices != nil {
			changed = t.devices.Changed()
			t.worker.setDevices(t.devices.Profiles())
		}
		t.tellProfile(t.worker.devices(), since)
	}
	look()
	measured := make(chan []hwaccel.Profile)
	asked, busy := t.asked, false
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	t.tellLoad()
	for {
		select {
		case <-ctx.Done():
			if busy {
				<-measured // soon: it ends with ctx too
			}
			return
		case <-ticker.C:
			t.tellLoad()
		case <-changed:
			look()
		case <-asked:
			asked, busy = nil, true
			go func() { measured <- t.measureAgain(ctx) }()
		case profiles := <-measured:
			asked, busy = t.asked, false
			if profiles != nil {
				since = time.Now()
				t.worker.setDevices(profiles)
				t.tellProfile(profiles, since)
			}
		}
	}
}

// measureAgain is what a measurement found, nil where it found out nothing.
func (t *teller) measureAgain(ctx context.Context) []hwaccel.Profile {
	t.log.Info("the devices are measured again")
	profiles, err := t.measure(ctx)
	if err != nil {
		if ctx.Err() == nil {
			t.log.Warn("the devices can't be measured; what was found before stays", "err", err)
		}
		return nil
	}
	return profiles
}

func (t *teller) tellProfile(devices []hwaccel.Profile, measured time.Time) {
	text, err := json.Marshal(toldProfile{
		Measured: measured.UTC(), Devices: devices, Labels: t.worker.labels, Taints: t.worker.taints, Hours: t.worker.hours.String(),
	})
	if err != nil { // nothing in it can't be encoded
		t.log.Error("the node's profile can't be told", "err", err)
		return
	}
	t.energy.noteTrials(devices)
	t.to.ShareProfile(text)
}

func (t *teller) tellLoad() {
	var load toldLoad
	load.Attempts, load.FramesPerSecond = t.worker.load()
	load.Closed = t.worker.hours.Closed(t.worker.now()) != ""
	t.machine(&load)
	text, err := json.Marshal(load)
	if err != nil {
		t.log.Error("the node's load can't be told", "err", err)
		return
	}
	t.to.ShareLoad(text)
}

// devices is what the worker has now.
func (w *worker) devices() []hwaccel.Profile {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.profiles
}

// threads is how many CPU threads the worker offers.
func (w *worker) threads() int {
	for _, profile := range w.devices() {
		if profile.Device.Kind == hwaccel.CPU {
			return profile.Room.Threads
		}
	}
	return 0
}

// setDevices changes what the worker offers, and lets the leader know at once.
func (w *worker) setDevices(profiles []hwaccel.Profile) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.profiles = profiles
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// load is how many attempts run and how fast they are together.
func (w *worker) load() (attempts int, framesPerSecond float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.running {
		framesPerSecond += a.running.FramesPerSecond
	}
	return len(w.running), framesPerSecond
}

// writtenAt is when a file was written last; now if it isn't there.
func writtenAt(name string) time.Time {
	info, err := os.Stat(name)
	if err != nil {
		return time.Now()
	}
	return info.ModTime()
}
