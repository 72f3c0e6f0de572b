package cmaf

// inputTrack is what ffmpeg's header says of its one track.
type inputTrack struct {
	handler   string // "vide" or "soun"
	timescale uint32
	entry     []byte // the sample entry, whole
	defaults  sampleDefaults
}

// sampleDefaults is what a fragment doesn't say of its samples: from the trex
// box, overlaid by each fragment's tfhd.
type sampleDefaults struct {
	duration, size, flags uint32
}

// parseMoov reads a moov box's payload. The result keeps no reference to it.
func parseMoov(payload []byte) (inputTrack, error) {
	var track inputTrack
	tracks := 0
	err := eachChild("moov", payload, func(kind string, _, body []byte) error {
		switch kind {
		case "trak":
			tracks++
			return track.parseTrak(body)
		case "mvex":
			return eachChild(kind, body, func(kind string, _, body []byte) error {
				if kind == "trex" {
					return track.parseTrex(body)
				}
				return nil
			})
		}
		return nil
	})
	switch {
	case err != nil:
		return inputTrack{}, err
	case tracks != 1:
		return inputTrack{}, mismatch("ffmpeg's output has %d tracks, expected one", tracks)
	case track.timescale == 0:
		return inputTrack{}, mismatch("ffmpeg's output has no timescale")
	case track.entry == nil:
		return inputTrack{}, mismatch("ffmpeg's output has no sample entry")
	}
	return track, nil
}

func (t *inputTrack) parseTrak(body []byte) error {
	return eachChild("trak", body, func(kind string, _, body []byte) error {
		if kind != "mdia" {
			return nil
		}
		return eachChild(kind, body, func(kind string, _, body []byte) error {
			c := cursor{rest: body}
			switch kind {
			case "mdhd":
				if version := c.u32() >> 24; version == 0 {
					c.skip(8) // creation and modification time
				} else {
					c.skip(16)
				}
				t.timescale = c.u32()
			case "hdlr":
				c.skip(8) // version, flags, pre_defined
				t.handler = string(c.take(4))
			case "minf":
				return t.parseMinf(body)
			}
			if c.short {
				return mismatch("ffmpeg's output has a %q box of %d bytes", kind, len(body))
			}
			return nil
		})
	})
}

func (t *inputTrack) parseMinf(body []byte) error {
	return eachChild("minf", body, func(kind string, _, body []byte) error {
		if kind != "stbl" {
			return nil
		}
		return eachChild(kind, body, func(kind string, _, body []byte) error {
			if kind != "stsd" {
				return nil
			}
			c := cursor{rest: body}
			c.skip(4)
			if entries := c.u32(); c.short || entries != 1 {
				return mismatch("ffmpeg's output has %d sample entries, expected one", entries)
			}
			return eachChild(kind, c.rest, func(_ string, raw, _ []byte) error {
				t.entry = append([]byte(nil), raw...)
				return nil
			})
		})
	})
}

func (t *inputTrack) parseTrex(body []byte) error {
	c := cursor{rest: body}
	c.skip(12) // version, flags, track, sample description
	t.defaults = sampleDefaults{duration: c.u32(), size: c.u32(), flags: c.u32()}
	if c.short {
		return mismatch("ffmpeg's output has a trex box of %d bytes", len(body))
	}
	return nil
}
