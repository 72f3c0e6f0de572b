package cmaf

// sample is one picture or access unit of a fragment. Times are in the input's
// timescale.
type sample struct {
	data        []byte
	decode      int64
	composition int64
	sync        bool
}

// Bits of the flags that tfhd, trun and samples carry (ISO/IEC 14496-12).
const (
	tfhdBaseDataOffset  = 0x000001
	tfhdDescription     = 0x000002
	tfhdDefaultDuration = 0x000008
	tfhdDefaultSize     = 0x000010
	tfhdDefaultFlags    = 0x000020

	trunDataOffset       = 0x000001
	trunFirstFlags       = 0x000004
	trunDurations        = 0x000100
	trunSizes            = 0x000200
	trunFlags            = 0x000400
	trunCompositionTimes = 0x000800

	sampleIsNonSync = 0x00010000
)

// maxTime keeps sums of times from overflowing: 2^60 ticks are 380 years of
// 96 kHz.
const maxTime = 1 << 60

// fragment is a moof box and where its samples' bytes are.
type fragment struct {
	moof []byte // payload
	mdat []byte // payload
	// mdatAt is the number of bytes from the moof's first to mdat[0].
	mdatAt int64
}

// samples calls visit for each sample in decoding order. A sample's data is
// only valid during the call.
func (f fragment) samples(defaults sampleDefaults, visit func(sample) error) error {
	trafs := 0
	return eachChild("moof", f.moof, func(kind string, _, body []byte) error {
		if kind != "traf" {
			return nil
		}
		if trafs++; trafs > 1 {
			return mismatch("ffmpeg's output has a fragment of more than one track")
		}
		run := trackRun{fragment: f, defaults: defaults, visit: visit, next: f.mdatAt}
		return eachChild(kind, body, func(kind string, _, body []byte) error {
			switch kind {
			case "tfhd":
				return run.header(body)
			case "tfdt":
				return run.decodeTime(body)
			case "trun":
				return run.run(body)
			}
			return nil
		})
	})
}

// trackRun is the state of reading one traf box.
type trackRun struct {
	fragment fragment
	defaults sampleDefaults
	visit    func(sample) error
	time     int64 // decode time of the next sample
	next     int64 // where the next sample's bytes are, from the moof's first byte
}

func (t *trackRun) header(body []byte) error {
	c := cursor{rest: body}
	flags := c.u32()
	c.skip(4) // track
	if flags&tfhdBaseDataOffset != 0 {
		return mismatch("ffmpeg's output places samples by file offset; use -movflags +default_base_moof")
	}
	if flags&tfhdDescription != 0 {
		c.skip(4)
	}
	if flags&tfhdDefaultDuration != 0 {
		t.defaults.duration = c.u32()
	}
	if flags&tfhdDefaultSize != 0 {
		t.defaults.size = c.u32()
	}
	if flags&tfhdDefaultFlags != 0 {
		t.defaults.flags = c.u32()
	}
	if c.short {
		return mismatch("ffmpeg's output has a tfhd box of %d bytes", len(body))
	}
	return nil
}

func (t *trackRun) decodeTime(body []byte) error {
	c := cursor{rest: body}
	var time uint64
	if version := c.u32() >> 24; version == 0 {
		time = uint64(c.u32())
	} else {
		time = c.u64()
	}
	if c.short || time > maxTime {
		return mismatch("ffmpeg's output has a fragment with decode time %d", time)
	}
	t.time = int64(time)
	return nil
}

func (t *trackRun) run(body []byte) error {
	c := cursor{rest: body}
	flags := c.u32() & 0xffffff
	count := c.u32()
	if flags&trunDataOffset != 0 {
		t.next = int64(int32(c.u32()))
	}
	firstFlags := t.defaults.flags
	if flags&trunFirstFlags != 0 {
		firstFlags = c.u32()
	}
	for i := range count {
		duration, size, sampleFlags, offset := t.defaults.duration, t.defaults.size, t.defaults.flags, int32(0)
		if i == 0 {
			sampleFlags = firstFlags
		}
		if flags&trunDurations != 0 {
			duration = c.u32()
		}
		if flags&trunSizes != 0 {
			size = c.u32()
		}
		if flags&trunFlags != 0 {
			sampleFlags = c.u32()
		}
		if flags&trunCompositionTimes != 0 {
			// Version 0 says unsigned, but no writer means offsets of 2^31.
			offset = int32(c.u32())
		}
		start := t.next - t.fragment.mdatAt
		end := start + int64(size)
		if c.short || size == 0 || start < 0 || end > int64(len(t.fragment.mdat)) {
			return mismatch("ffmpeg's output has a fragment whose sample %d of %d has no bytes", i+1, count)
		}
		err := t.visit(sample{
			data:        t.fragment.mdat[start:end],
			decode:      t.time,
			composition: t.time + int64(offset),
			sync:        sampleFlags&sampleIsNonSync == 0,
		})
		if err != nil {
			return err
		}
		t.next += int64(size)
		t.time += int64(duration)
	}
	return nil
}
