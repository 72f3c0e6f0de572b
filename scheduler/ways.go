package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"millrace/hwaccel"
	"millrace/job"
)

// What work takes up besides what profiles measure.
const (
	// A run of ffmpeg's memory, and its growth for each pixel of the largest
	// picture: measured with a ladder of five from 1080p, one thread, 381 MiB in
	// all (docs/benchmarks.md).
	runBytes       = 150 << 20
	bytesPerPixel  = 120
	smallTaskBytes = 100 << 20
	// gpuBytesPerPixel is what a session keeps of frames on the GPU: about 20
	// surfaces of 12 bits a pixel, and a context.
	gpuBytesPerPixel = 30
	gpuContextBytes  = 120 << 20

	// decodeToEncode is how much faster a CPU decodes H.264 than it encodes it
	// with x264 veryfast. One decode shared by five renditions was measured to
	// take 0.66 of five encodes that each decode for themselves, which gives 3.7.
	decodeToEncode = 3.7
	// wideLoss is what an encode on n threads takes more of CPU time than on
	// one: 0.93 was measured for narrow to wide.
	wideLoss = 1 / 0.93

	// gpuHostSeconds is the CPU's part in a GPU's frame: demuxing, muxing, audio
	// of its share, and driving the device.
	gpuHostSeconds = 0.0002
	// mapSeconds is tone-mapping a frame of 1080p on one thread, laceSeconds
	// deinterlacing it.
	mapSeconds  = 0.020
	laceSeconds = 0.006
	// fetchSeconds is copying a decoded frame of 1080p from a GPU.
	fetchSeconds = 0.0006
	fullHD       = 1920 * 1080

	// startSeconds is what an encode task takes before its first frame: starting
	// ffmpeg, reading the source's header, decoding from the keyframe before.
	startSeconds = 0.4
	// hardwareStart is the same on a GPU, which decodes what comes before faster.
	hardwareStart = 0.25
	// scratchBytesPerPixel is what a chunk leaves on the scratch disk until it is
	// uploaded, for each pixel of its pictures: four minutes (busyLongest) at 30 frames
	// and a tenth of a bit, which a ladder's caps on the rate come to.
	scratchBytesPerPixel = 240 * 30 / 10 / 8
	// inspectSeconds and packageSeconds are for tasks that encode nothing.
	inspectSeconds = 1.0
	packageSeconds = 0.5
	// thumbnailSeconds is decoding the keyframes among so many frames, of which there was
	// one in 144: 2.4 s were measured for ten minutes of 1080p24. (On two threads it took
	// 3.0 s: the frames between them, which aren't decoded, take their turns too.)
	thumbnailSeconds = 0.00016
)

// waysOf lists how a work can be done on a class: with each encoder that works
// there, decoded there or by the CPU.
func waysOf(work Work, c *class) []way {
	if work.Kind != job.EncodeTask {
		return plainWays(work, c)
	}
	var list []way
	for encoder := range strings.SplitSeq(work.Encoders, ",") {
		if !c.meets(work, encoder) {
			continue
		}
		if w, can := encodeWay(work, c, encoder); can {
			list = append(list, w)
		}
	}
	return list
}

// Option is one way in which a node could do a work.
type Option struct {
	Device  string
	Encoder string
	// Need is what a task takes up, with one thread where it is Divisible.
	Need Room
	// SecondsPerFrame is with that need; FixedSeconds come on top for each task.
	SecondsPerFrame, FixedSeconds float64
	Divisible                     bool
	sound                         bool
}

// Widest is the most threads that a task of so many frames can use.
func (o Option) Widest(frames int64) int {
	switch {
	case !o.Divisible:
		return 1
	case o.sound:
		return soundWidest(frames)
	}
	return widest
}

// Seconds is how long a task of so many frames takes.
func (o Option) Seconds(frames int64, threads int) float64 {
	t := o.FixedSeconds + o.SecondsPerFrame*float64(frames)
	if o.Divisible && threads > 1 {
		t /= float64(threads) / wideLoss
	}
	return t
}

// Options lists the ways in which an idle node could do a work by what its
// profiles say: the same that an [Engine] chooses from.
func Options(work Work, node Node) []Option { return NewMenu(node).Options(work) }

// Menu is an idle node, for whoever asks for its [Options] many times.
type Menu struct {
	engine *Engine
	host   *host
}

// NewMenu describes a node.
func NewMenu(node Node) *Menu {
	e := NewEngine(time.Time{})
	e.SetNode(node)
	return &Menu{engine: e, host: e.nodes[node.ID]}
}

// Options lists the ways in which the node could do a work.
func (m *Menu) Options(work Work) []Option {
	var list []Option
	p := m.engine.pile(work)
	for _, d := range m.host.devices {
		for _, w := range p.ways {
			if w.class == d.class && d.closed() == "" {
				list = append(list, Option{d.spec.ID, w.encoder, w.need, w.seconds / d.speed, w.fixed, w.divisible, work.Kind == job.AudioTask})
			}
		}
	}
	return list
}

// Room is what a node's host and one of its devices have, unlimited dimensions
// filled in; false if it has no such device.
func (n Node) Room(device string) (Room, bool) {
	room := wholeHost(&n)
	for i := range n.Devices {
		if n.Devices[i].ID == device {
			own := wholeDevice(&n.Devices[i])
			room.give(&own, 0, firstOfHost)
			return room, true
		}
	}
	return room, false
}

// plainWays are of tasks that encode no pictures: the CPU does them.
func plainWays(work Work, c *class) []way {
	stray := c.strayed(work)
	if c.spec.Kind != hwaccel.CPU || !stray && !c.meets(work, "") {
		return nil
	}
	w := way{class: c, learned: 1, bucket: string(work.Kind), kind: string(work.Kind), stray: stray}
	w.need.setThreads(min(Thread, max(1, c.whole[Threads])))
	w.need[Memory] = min(smallTaskBytes, c.whole[Memory])
	switch work.Kind {
	case job.AudioTask:
		w.seconds, w.fixed, w.divisible, w.threadBytes = audioSeconds, startSeconds, true, soundBytes
	case job.ThumbnailsTask:
		w.seconds, w.fixed = thumbnailSeconds, startSeconds
	case job.InspectTask:
		w.fixed = inspectSeconds
	default:
		w.fixed = packageSeconds
	}
	return []way{w}
}

// encodeWay is how a class makes a ladder with an encoder; false if it can't.
func encodeWay(work Work, c *class, encoder string) (way, bool) {
	sizes := parseLadder(work.Ladder)
	if len(sizes) == 0 {
		return way{}, false
	}
	effort := 1.0
	if work.Effort > 0 {
		effort = float64(work.Effort) / 100
	}
	w := way{class: c, encoder: encoder, learned: 1, fixed: startSeconds}
	w.kind = fmt.Sprintf("%s %s %d", encoder, work.SourceCodec, work.Density)
	w.bucket = w.kind + " " + work.Ladder
	largest, area := 0, 0
	for _, pixels := range sizes {
		largest = max(largest, pixels)
		area += pixels
	}
	encode, ok := encodeSeconds(&c.spec, encoder, sizes)
	if !ok {
		return mixedWay(work, c, w, sizes, effort)
	}
	if w.headers = c.spec.headers(encoder); !work.takes(w.headers) {
		return way{}, false
	}
	encode *= effort
	cpu := cpuSeconds(work, largest)
	if c.spec.Kind == hwaccel.CPU {
		threads := float64(c.whole[Threads]) / Thread
		// Profiles are of the whole device at work on one encode.
		w.seconds = encode*threads/wideLoss + cpu + cpuDecodeSeconds(&c.spec, work, threads)
		w.need = Room{Memory: runBytes + bytesPerPixel*int64(max(largest, work.SourcePixels))}
		w.need.setThreads(min(Thread, max(1, c.whole[Threads])))
		w.divisible = true
		return w.fitted(work, area)
	}
	sessions := int64(len(sizes))
	if sessions > c.whole[Sessions] || c.spec.Consumer && sessions > c.whole[HostSessions] {
		return way{}, false
	}
	w.fixed = hardwareStart
	decode := decodeSeconds(&c.spec, work)
	if decode == 0 { // on the host, by a CPU of which only the threads are known
		cpu += float64(work.SourcePixels) / fullHD * hostDecodeSeconds
	}
	tasks := c.spec.Tasks
	if tasks == 0 {
		tasks = 2
	}
	// One thread is all that a run's CPU part can take: it may be what is slow.
	w.seconds = max(max(encode, decode)*float64(tasks), cpu)
	w.need = Room{
		Sessions: sessions, Encode: part(encode / w.seconds), Decode: part(decode / w.seconds),
		GPUMemory: min(c.whole[GPUMemory], gpuContextBytes*sessions+gpuBytesPerPixel*int64(area+work.SourcePixels)),
		Threads:   max(1, int64(cpu/w.seconds*Thread)), Memory: runBytes,
	}
	if c.spec.Consumer {
		w.need[HostSessions] = sessions
	}
	return w.fitted(work, area)
}

// mixedWay decodes on a device that can't encode, as GPUs made for computing,
// and encodes with the host's CPU.
func mixedWay(work Work, c *class, w way, sizes []int, effort float64) (way, bool) {
	decode := decodeSeconds(&c.spec, work)
	if c.cpu == nil || decode == 0 {
		return way{}, false
	}
	encode, ok := encodeSeconds(c.cpu, w.encoder, sizes)
	if w.headers = c.cpu.headers(w.encoder); !ok || !work.takes(w.headers) {
		return way{}, false
	}
	largest, area := slices.Max(sizes), 0
	for _, pixels := range sizes {
		area += pixels
	}
	threads := float64(c.whole[Threads]) / Thread
	w.seconds = max(encode*effort*threads/wideLoss+cpuSeconds(work, largest)+fetchSeconds*float64(work.SourcePixels)/fullHD, decode)
	w.need = Room{
		Decode: part(decode / w.seconds), GPUMemory: min(c.whole[GPUMemory], gpuContextBytes+gpuBytesPerPixel*int64(work.SourcePixels)),
		Memory: runBytes + bytesPerPixel*int64(max(largest, work.SourcePixels)),
	}
	w.need.setThreads(min(Thread, max(1, c.whole[Threads])))
	return w.fitted(work, area)
}

// fitted adds what every way needs for pictures of so many pixels in all, and says
// whether an idle device has that.
func (w way) fitted(work Work, area int) (way, bool) {
	// A task that needs more memory or disk than there is gets all of it.
	w.need[Memory] = min(w.need[Memory], w.class.whole[Memory])
	w.need[Scratch] = min(scratchBytesPerPixel*int64(area), w.class.whole[Scratch])
	if work.BytesPerFrame > 0 {
		w.need[Network] = min(w.class.whole[Network], int64(float64(work.BytesPerFrame)/w.seconds))
	}
	return w, w.class.whole.Fits(&w.need)
}

// cpuSeconds is one thread's time for what the CPU does for a frame whatever
// encodes it.
func cpuSeconds(work Work, largest int) float64 {
	picture := float64(max(work.SourcePixels, largest)) / fullHD
	seconds := gpuHostSeconds
	if work.ToneMap {
		seconds += mapSeconds * picture
	}
	if work.Deinterlace {
		seconds += laceSeconds * picture
	}
	return seconds
}

// hostDecodeSeconds is decoding a frame of 1080p H.264 on one thread of a host
// that has no measured decoder: 250 frames a second.
const hostDecodeSeconds = 1.0 / 250

// part is a share of a device in millionths, rounded down so that two halves
// make no more than a whole.
func part(share float64) int64 { return int64(share * Whole) }

// encodeSeconds is the encoder's time for a frame of every size.
func encodeSeconds(spec *Device, encoder string, sizes []int) (float64, bool) {
	for _, speed := range spec.Encoders {
		if speed.Codec != encoder {
			continue
		}
		sum := 0.0
		for _, pixels := range sizes {
			fps := speed.at(pixels)
			if fps <= 0 {
				return 0, false
			}
			sum += 1 / fps
		}
		return sum, true
	}
	return 0, false
}

// decodeSeconds is the device's own decoder's time for a frame, 0 if it has none
// for the source's codec.
func decodeSeconds(spec *Device, work Work) float64 {
	for _, speed := range spec.Decoders {
		if speed.Codec != work.SourceCodec {
			continue
		}
		if fps := speed.at(work.SourcePixels); fps > 0 {
			return 1 / fps
		}
	}
	return 0
}

// cpuDecodeSeconds is one thread's time to decode a frame, by how fast the CPU
// encodes H.264.
func cpuDecodeSeconds(spec *Device, work Work, threads float64) float64 {
	for _, speed := range spec.Encoders {
		if speed.Codec != "libx264" {
			continue
		}
		if fps := speed.at(work.SourcePixels); fps > 0 {
			return threads / fps / decodeToEncode / wideLoss
		}
	}
	return float64(work.SourcePixels) / fullHD * hostDecodeSeconds
}

// reference is about how long a frame of an encode work takes on one thread of a
// usual CPU, in seconds.
func reference(work Work) float64 {
	area := float64(work.SourcePixels) / decodeToEncode
	for _, pixels := range parseLadder(work.Ladder) {
		area += float64(pixels)
	}
	seconds := area / fullHD / referenceSpeed
	if work.Effort > 0 {
		seconds *= float64(work.Effort) / 100
	}
	return seconds
}

// referenceSpeed is frames of 1080p a second that x264 veryfast makes on one
// thread: a ladder of five rungs at 11.25 a second (docs/benchmarks.md).
const referenceSpeed = 23
