package simulator

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"millrace/hwaccel"
	"millrace/scheduler"
)

// Speeds are frames of 1080p a second.
//
// NVENC: NVIDIA Video Codec SDK 13.0, NVENC Application Note, table "NVENC H264
// encoding performance", P3, VBR, high quality, for one engine; decoding: NVDEC
// Application Note of the same SDK, for one engine ("Hopper and GA100 GPUs
// contain NVDEC with same architecture as Turing"). Engines of each card: NVIDIA's
// Video Encode and Decode GPU Support Matrix. Clocks are taken to be those of the
// tables.
//
// Arc A380: Tom's Hardware, "Intel Arc A380 Review", H.264 at 6 Mbit/s: 477. Its
// decoder is taken to be three times as fast; no table was found.
//
// CPU: x264 veryfast as measured by ourselves on one thread of a virtual AMD EPYC
// (docs/benchmarks.md): 11.25 ladders of five rungs a second, decoding included,
// which is 23 frames of 1080p, or 21.5 of its part in an encode on all threads.
//
// What of this was checked against the pages themselves, in November 2026:
//
//   - checked: the A380's row "A380 H.264 | 480 | 76.4 | 477 | 81.11 | 478 | 91.31"
//     (frames a second and VMAF at 3, 6 and 8 Mbit/s of 1080p),
//     https://www.tomshardware.com/reviews/intel-arc-a380-review/5;
//   - checked: that "Turing/ GA100/ Hopper GPUs" are one column of decoders,
//     https://docs.nvidia.com/video-technologies/video-codec-sdk/13.0/nvdec-application-note/index.html;
//   - checked in a copy of an older note only: the table of encoders "is given per NVENC
//     engine", and speed "scales (almost) linearly with the clock speeds",
//     https://obsproject.com/forum/threads/nvidia-nvenc-guide.97465/post-685726;
//   - NOT checked: the numbers of NVENC and NVDEC, of which only the notes' beginnings
//     could be read, and how many engines each card has;
//   - without a source: the watts (boards' limits, and 4 W for each thread of a CPU),
//     which only jobs that prefer energy are placed by.
const (
	nvencTuring, nvencAmpere, nvencAda = 602, 617, 647
	nvdecTuring, nvdecAmpere, nvdecAda = 771, 748, 903
	hevcTuring, hevcAmpere, hevcAda    = 1316, 1415, 1641
	arcEncode, arcDecode               = 477, 3 * 477
	cpuEncodePerThread                 = 21.5
)

const (
	hd     = 1280 * 720
	fullHD = 1920 * 1080
	ultra  = 3840 * 2160
	small  = 640 * 360
)

// perFrame is what a hardware encoder or decoder takes for each frame whatever
// its size: no table has it; small pictures are known to be slower than their
// pixels.
const perFrame = 100e-6

// hardware is speeds by size for a device that does so many frames of 1080p a
// second.
func hardware(codec string, fps float64, engines int) scheduler.Speed {
	speed := scheduler.Speed{Codec: codec, FramesPerSecond: make(map[int]float64)}
	perPixel := (1/fps - perFrame) / fullHD
	for _, pixels := range []int{small, hd, fullHD, ultra} {
		speed.FramesPerSecond[pixels] = float64(engines) / (perFrame + perPixel*float64(pixels))
	}
	return speed
}

// drawing is a speed with what its device draws for it.
func drawing(watts float64, speed scheduler.Speed) scheduler.Speed {
	speed.Watts = watts
	return speed
}

func gpu(id, name string, encode float64, encoders int, h264, hevc float64, decoders int, gib int64, watts float64) scheduler.Device {
	d := scheduler.Device{
		ID: id, Kind: hwaccel.NVIDIA, Name: name, MemoryBytes: gib << 30,
		Decoders: []scheduler.Speed{hardware("h264", h264, decoders), hardware("hevc", hevc, decoders)},
	}
	if encoders > 0 {
		d.Encoders = []scheduler.Speed{drawing(watts, hardware("h264_nvenc", encode, encoders))}
	}
	return d
}

func cpu(threads int) scheduler.Device {
	d := scheduler.Device{ID: "cpu", Kind: hwaccel.CPU, Name: fmt.Sprintf("%d-core CPU", threads)}
	speed := scheduler.Speed{Codec: "libx264", FramesPerSecond: make(map[int]float64), Watts: 4 * float64(threads)}
	for _, pixels := range []int{small, hd, fullHD, ultra} {
		speed.FramesPerSecond[pixels] = cpuEncodePerThread * float64(threads) * fullHD / float64(pixels)
	}
	d.Encoders = []scheduler.Speed{speed}
	return d
}

// kinds are the machines that racks are made of.
var kinds = map[string]func() scheduler.Node{
	"l4": func() scheduler.Node { return gpuNode(32, 4, "L4", nvencAda, 2, nvdecAda, hevcAda, 4, 24, 72) },
	"t4": func() scheduler.Node { return gpuNode(32, 4, "T4", nvencTuring, 1, nvdecTuring, hevcTuring, 2, 16, 70) },
	"a10": func() scheduler.Node {
		return gpuNode(32, 2, "A10", nvencAmpere, 1, nvdecAmpere, hevcAmpere, 2, 24, 150)
	},
	"h100":  func() scheduler.Node { return gpuNode(96, 8, "H100", 0, 0, nvdecTuring, hevcTuring, 7, 80, 700) },
	"arc":   arcNode,
	"cpu64": func() scheduler.Node { return node(64) },
	"cpu8":  func() scheduler.Node { return node(8) },
}

func node(threads int, devices ...scheduler.Device) scheduler.Node {
	host := scheduler.Room{}
	host[scheduler.Threads] = int64(threads) * scheduler.Thread
	host[scheduler.Memory] = int64(threads) * 4 << 30
	return scheduler.Node{Session: "1", Host: host, Devices: append([]scheduler.Device{cpu(threads)}, devices...)}
}

func gpuNode(threads, gpus int, name string, encode float64, encoders int, h264, hevc float64, decoders int, gib int64, watts float64) scheduler.Node {
	var devices []scheduler.Device
	for i := range gpus {
		devices = append(devices, gpu(fmt.Sprintf("GPU-%d", i), "NVIDIA "+name, encode, encoders, h264, hevc, decoders, gib, watts))
	}
	return node(threads, devices...)
}

func arcNode() scheduler.Node {
	var devices []scheduler.Device
	for i := range 2 {
		devices = append(devices, scheduler.Device{
			ID: fmt.Sprintf("0000:%02x:00.0", 3+i), Kind: hwaccel.RenderNode, Name: "Intel Arc A380", MemoryBytes: 6 << 30,
			Encoders: []scheduler.Speed{drawing(75, hardware("h264_qsv", arcEncode, 1))},
			Decoders: []scheduler.Speed{hardware("h264", arcDecode, 1), hardware("hevc", arcDecode, 1)},
		})
	}
	return node(16, devices...)
}

// Rack is how many nodes of each kind there are: "l4", "t4", "a10", "h100" (no
// encoder), "arc", "cpu64", "cpu8".
type Rack struct {
	Nodes map[string]int `json:"nodes"`
	// Spread is how much nodes of a kind differ in speed: the standard deviation
	// of its logarithm. 0 is 0.05.
	Spread float64 `json:"spread,omitempty"`
}

// MixedRack has 134 devices, of every kind.
var MixedRack = Rack{Nodes: map[string]int{"l4": 4, "t4": 4, "a10": 6, "h100": 2, "arc": 6, "cpu64": 8, "cpu8": 32}}

// Mixed is a rack of so many devices, as many of each kind to the others as in
// [MixedRack] as far as whole nodes allow.
func Mixed(devices int) Rack {
	rack := Rack{Nodes: make(map[string]int)}
	names := slices.Sorted(maps.Keys(MixedRack.Nodes))
	for left := devices; left > 0; {
		best, most, size := "", math.Inf(-1), 0
		for _, name := range names {
			has := len(kinds[name]().Devices)
			lacks := float64(MixedRack.Nodes[name])*float64(devices)/float64(MixedRack.Devices()) - float64(rack.Nodes[name])
			if has <= left && lacks > most {
				best, most, size = name, lacks, has
			}
		}
		rack.Nodes[best]++ // a CPU alone always fits
		left -= size
	}
	return rack
}

// Validate says what is wrong with a rack, nil if nothing is.
func (r Rack) Validate() error {
	total := 0
	for kind, count := range r.Nodes {
		if kinds[kind] == nil {
			return fmt.Errorf("the rack has nodes of kind %q; use l4, t4, a10, h100, arc, cpu64, cpu8", kind)
		}
		if count < 0 {
			return fmt.Errorf("the rack has %d nodes of kind %q", count, kind)
		}
		total += count
	}
	if total == 0 {
		return fmt.Errorf("the rack has no nodes")
	}
	return nil
}

// machine is a node as it really is.
type machine struct {
	kind  string
	node  scheduler.Node
	speed float64 // to its kind's profile
}

// build makes a rack's machines, the same for the same seed.
func (r Rack) build(random *rand.Rand) []*machine {
	spread := r.Spread
	if spread == 0 {
		spread = 0.05
	}
	var names []string
	for kind := range r.Nodes {
		names = append(names, kind)
	}
	slices.Sort(names)
	var list []*machine
	for _, kind := range names {
		for i := range r.Nodes[kind] {
			n := kinds[kind]()
			n.ID = fmt.Sprintf("%s-%05d", kind, i)
			list = append(list, &machine{kind: kind, node: n, speed: lognormal(random, 1, spread)})
		}
	}
	return list
}

// Devices counts a rack's devices.
func (r Rack) Devices() int {
	sum := 0
	for kind, count := range r.Nodes {
		if build := kinds[kind]; build != nil {
			sum += count * len(build().Devices)
		}
	}
	return sum
}
