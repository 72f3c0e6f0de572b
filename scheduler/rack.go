package scheduler

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"millrace/hwaccel"
)

// Node is a peer that works.
type Node struct {
	ID      string
	Session string
	// Closed says why the node gets nothing new, for people ("it is draining");
	// empty if it does.
	Closed string
	// Labels are what tasks can require: "ssd", "site=paris".
	Labels []string
	// Taints are labels that tasks must require to come here: it is kept for them.
	Taints []string
	// Host is the room that all devices share, from Threads on; 0 of memory,
	// scratch disk, network or HostSessions is no limit.
	Host    Room
	Devices []Device
}

// Device is a thing that encodes or decodes.
type Device struct {
	ID   string // on its node: "cpu", a GPU's UUID
	Kind hwaccel.DeviceKind
	// Name is for people: "NVIDIA L4".
	Name     string
	Encoders []Speed
	// Decoders are the source codecs that the device itself decodes; a CPU
	// decodes everything and names none.
	Decoders []Speed
	// Sessions is how many encodes at once the driver allows; 0 is no limit.
	Sessions int
	// Consumer cards share one limit of sessions on their host (Node.Host's
	// HostSessions).
	Consumer bool
	// Tasks is how many tasks at once it takes to keep the device at its
	// measured speed; 0 is two.
	Tasks       int
	MemoryBytes int64 // of a GPU; 0 is no limit
	// Out says why the device gets nothing, for people; empty if it does.
	Out string
}

// Speed is how fast an encoder or decoder goes, all of its device at work.
type Speed struct {
	// Codec is the encoder's name ("h264_nvenc"), or the codec that is decoded.
	Codec string
	// FramesPerSecond by pixels of a frame.
	FramesPerSecond map[int]float64
	// Headers tells apart what encoders of the same name write into the headers
	// of their streams (see hwaccel.Profile.Headers): a ladder's chunks have one.
	Headers string
	// Watts is what an encoder's device draws beyond what it draws at rest while it
	// goes at this speed, 0 if not known: for work that prefers to save energy.
	Watts float64
}

// at is the speed in frames per second for frames of so many pixels: between
// two measured sizes by a straight line on logarithmic scales, beyond them by
// the pixels. 0 if nothing was measured.
func (s Speed) at(pixels int) float64 {
	below, above := 0, math.MaxInt
	for p, fps := range s.FramesPerSecond {
		if fps <= 0 {
			continue
		}
		if p <= pixels {
			below = max(below, p)
		}
		if p >= pixels {
			above = min(above, p)
		}
	}
	switch {
	case below == 0 && above == math.MaxInt:
		return 0
	case below == 0:
		return s.FramesPerSecond[above] * float64(above) / float64(pixels)
	case above == math.MaxInt || below == above:
		return s.FramesPerSecond[below] * float64(below) / float64(pixels)
	}
	share := math.Log(float64(pixels)/float64(below)) / math.Log(float64(above)/float64(below))
	return math.Exp((1-share)*math.Log(s.FramesPerSecond[below]) + share*math.Log(s.FramesPerSecond[above]))
}

// host is a node with what is left of its room.
type host struct {
	node    Node
	whole   Room // the host's dimensions only
	free    Room
	reserve int64     // thousandths of threads that its GPUs need
	full    bool      // the engine's
	devices []*device // by ID
	known   []*device // those, and any that is away while something runs on it
	running int       // attempts, also on devices that are no longer there
	gone    bool      // removed, kept for the attempts that still run
}

// device is a Device with what is left of its room.
type device struct {
	host  *host
	spec  Device
	class *class
	leaf  int
	free  Room // the device's dimensions only
	// speed is the device's measured speed, to its class's.
	speed float64
	costs deviceCosts
}

// closed says why nothing new starts here.
func (d *device) closed() string { return cmp.Or(d.host.node.Closed, d.spec.Out) }

// room is what is free for a new task, as the class's tree holds it.
func (d *device) room() Room {
	if d.closed() != "" || d.host.gone {
		return none
	}
	room := d.free
	for i := firstOfHost; i < dims; i++ {
		room[i] = max(0, d.host.free[i])
	}
	for i := range firstOfHost {
		room[i] = max(0, room[i])
	}
	room[Spare] = max(0, d.host.unreserved())
	if !d.spec.Consumer {
		room[HostSessions] = Unlimited
	}
	return room
}

// key names a device in the whole rack.
func (d *device) key() string { return d.host.node.ID + "/" + d.spec.ID }

// class is the devices that are alike, so that what is decided for one holds
// for all.
type class struct {
	id    int
	key   string
	spec  Device // of its first device, with rounded speeds
	whole Room   // of one device and its host
	// hosts is the class of the hosts: their shared room has one price.
	hosts          *hostClass
	labels, taints []string
	// cpu is the CPU of the class's hosts, nil if they show none.
	cpu     *Device
	tree    *tree
	devices int // open ones
	// ends are when running attempts are expected to end, soonest first.
	ends endHeap
	// ways are those in which any work can be done on this class.
	ways []*way
}

// hostClass is hosts that are alike.
type hostClass struct {
	id    int
	whole Room
	hosts int // open ones
}

// speedSteps rounds measured speeds to steps of about 9 %: devices that differ
// less are of one class. What is left over is in device.speed.
const speedSteps = 8 // for each doubling

func rounded(fps float64) float64 {
	if fps <= 0 {
		return 0
	}
	return math.Exp2(math.Round(math.Log2(fps)*speedSteps) / speedSteps)
}

// roundSpeeds is the spec as its class has it, and its key.
func roundSpeeds(spec Device) (Device, string) {
	var key strings.Builder
	fmt.Fprintf(&key, "%s %d %v %d %d", spec.Kind, spec.Sessions, spec.Consumer, spec.Tasks, spec.MemoryBytes>>28)
	round := func(list []Speed) []Speed {
		list = slices.SortedFunc(slices.Values(list), func(a, b Speed) int { return cmp.Compare(a.Codec, b.Codec) })
		for i, speed := range list {
			fmt.Fprintf(&key, " %s %q", speed.Codec, speed.Headers)
			if list[i].Watts = rounded(speed.Watts); speed.Watts > 0 {
				fmt.Fprintf(&key, " %.4g W", list[i].Watts)
			}
			list[i].FramesPerSecond = make(map[int]float64, len(speed.FramesPerSecond))
			for _, pixels := range sortedKeys(speed.FramesPerSecond) {
				fps := rounded(speed.FramesPerSecond[pixels])
				list[i].FramesPerSecond[pixels] = fps
				fmt.Fprintf(&key, " %d:%.4g", pixels, fps)
			}
		}
		return list
	}
	spec.Encoders = round(spec.Encoders)
	key.WriteString(" decodes")
	spec.Decoders = round(spec.Decoders)
	return spec, key.String()
}

func sortedKeys(m map[int]float64) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// speedRatio is how much faster a device is than its class's spec, over all
// that was measured.
func speedRatio(spec, class Device) float64 {
	sum, n := 0.0, 0
	for _, lists := range [][2][]Speed{{spec.Encoders, class.Encoders}, {spec.Decoders, class.Decoders}} {
		for _, speed := range lists[0] {
			for _, other := range lists[1] {
				if other.Codec != speed.Codec {
					continue
				}
				for _, pixels := range sortedKeys(speed.FramesPerSecond) {
					if a, b := speed.FramesPerSecond[pixels], other.FramesPerSecond[pixels]; a > 0 && b > 0 {
						sum += math.Log(a / b)
						n++
					}
				}
			}
		}
	}
	if n == 0 {
		return 1
	}
	return math.Exp(sum / float64(n))
}

// hostKey names what hosts must have in common to be of one class.
func hostKey(node *Node) string {
	var kinds []string
	for _, d := range node.Devices {
		_, key := roundSpeeds(d)
		kinds = append(kinds, key)
	}
	slices.Sort(kinds)
	labels, taints := slices.Sorted(slices.Values(node.Labels)), slices.Sorted(slices.Values(node.Taints))
	return fmt.Sprintf("%d %d %d %d %d %q %q %q", node.Host[Threads], node.Host[Memory]>>30, node.Host[Scratch], node.Host[Network]/1_000_000, node.Host[HostSessions], labels, taints, kinds)
}

// wholeHost is the host's room with its unlimited dimensions filled in.
func wholeHost(node *Node) Room {
	var whole Room
	for d := firstOfHost; d < dims; d++ {
		whole[d] = node.Host[d]
		if whole[d] == 0 && d != Threads {
			whole[d] = Unlimited
		}
	}
	return whole
}

// wholeDevice is the device's own room.
func wholeDevice(spec *Device) Room {
	whole := Room{Sessions: Unlimited, GPUMemory: Unlimited}
	if spec.Sessions > 0 {
		whole[Sessions] = int64(spec.Sessions)
	}
	if spec.MemoryBytes > 0 {
		whole[GPUMemory] = spec.MemoryBytes
	}
	if len(spec.Encoders) > 0 && spec.Kind != hwaccel.CPU {
		whole[Encode] = Whole
	}
	if len(spec.Decoders) > 0 {
		whole[Decode] = Whole
	}
	return whole
}
