package cmaf

import (
	"encoding/binary"

	"millrace/job"
)

// visualEntry is a video track's sample entry, cleaned so that two chunks that
// were encoded alike have the same bytes.
type visualEntry struct {
	raw           []byte // the whole box
	codec         string // RFC 6381
	width, height int    // coded pixels
	// pixelWidth:pixelHeight is the shape of a pixel.
	pixelWidth, pixelHeight uint32
	// nalLength is the number of bytes of each NAL unit's length; 0 for AV1.
	nalLength int
}

// Sizes of the fixed parts of sample entries, header included (ISO/IEC 14496-12).
const (
	visualEntryFixed = 86
	audioEntryFixed  = 36
)

// visualKinds is the sample entry and the configuration box of each codec. The
// entries are those that carry all parameter sets in the init segment.
var visualKinds = map[job.Codec]struct{ entry, config string }{
	job.H264: {"avc1", "avcC"},
	job.HEVC: {"hvc1", "hvcC"},
	job.AV1:  {"av01", "av1C"},
}

// parseVisualEntry cleans ffmpeg's sample entry: the decoder's configuration,
// pasp and colr stay byte for byte; the encoder's name, bit rates (btrt) and field order
// (fiel) go, and so do the SEI messages in hvcC, where x265 writes its
// settings and the CPU's features.
func parseVisualEntry(codec job.Codec, raw []byte) (visualEntry, error) {
	want, known := visualKinds[codec]
	if !known {
		return visualEntry{}, mismatch("%q is not a codec that can be put into CMAF", codec)
	}
	if len(raw) < visualEntryFixed {
		return visualEntry{}, mismatch("ffmpeg's output has a sample entry of %d bytes", len(raw))
	}
	if kind := string(raw[4:8]); kind != want.entry {
		return visualEntry{}, mismatch("ffmpeg's output has %q samples, expected %q (%s)", kind, want.entry, codec)
	}
	entry := visualEntry{pixelWidth: 1, pixelHeight: 1}
	fixed := append([]byte(nil), raw[:visualEntryFixed]...)
	clear(fixed[50:82]) // compressorname
	entry.width = int(binary.BigEndian.Uint16(fixed[32:]))
	entry.height = int(binary.BigEndian.Uint16(fixed[34:]))

	var config, shape, colour []byte
	err := eachChild(want.entry, raw[visualEntryFixed:], func(kind string, raw, payload []byte) error {
		switch {
		case kind == want.config:
			var err error
			config, err = entry.parseConfig(kind, raw, payload)
			return err
		case kind == "colr":
			colour = raw
		case kind == "pasp" && len(payload) == 8:
			shape = raw
			entry.pixelWidth, entry.pixelHeight = binary.BigEndian.Uint32(payload), binary.BigEndian.Uint32(payload[4:])
		}
		return nil
	})
	switch {
	case err != nil:
		return visualEntry{}, err
	case config == nil:
		return visualEntry{}, mismatch("ffmpeg's output has no %q box", want.config)
	case entry.width == 0 || entry.height == 0:
		return visualEntry{}, mismatch("ffmpeg's output has pictures of %d×%d pixels", entry.width, entry.height)
	case entry.pixelWidth == 0 || entry.pixelHeight == 0:
		return visualEntry{}, mismatch("ffmpeg's output has pixels of shape %d:%d", entry.pixelWidth, entry.pixelHeight)
	}
	entry.raw = joinBox(fixed, config, shape, colour)
	return entry, nil
}

func (e *visualEntry) parseConfig(kind string, raw, payload []byte) (config []byte, err error) {
	config = raw
	switch kind {
	case "avcC":
		e.codec, e.nalLength, err = avcConfig(payload)
	case "hvcC":
		if payload, err = hevcConfigWithoutSEI(payload); err == nil {
			config = joinBox([]byte("\x00\x00\x00\x00hvcC"), payload)
			e.codec, e.nalLength, err = hevcConfig(payload)
		}
	case "av1C":
		e.codec, err = av1Config(payload)
	}
	return config, err
}

// audioEntry is an audio track's sample entry, cleaned likewise.
type audioEntry struct {
	raw        []byte
	codec      string
	sampleRate int
	channels   int // 0 where the bitstream describes them in its own way
}

func parseAudioEntry(raw []byte) (audioEntry, error) {
	if len(raw) < audioEntryFixed || string(raw[4:8]) != "mp4a" {
		return audioEntry{}, mismatch("ffmpeg's output has no AAC sample entry")
	}
	var entry audioEntry
	var config []byte
	err := eachChild("mp4a", raw[audioEntryFixed:], func(kind string, raw, payload []byte) error {
		if kind != "esds" {
			return nil
		}
		config = raw
		return entry.parseConfig(payload)
	})
	if err != nil {
		return audioEntry{}, err
	}
	if config == nil {
		return audioEntry{}, mismatch("ffmpeg's output has no \"esds\" box")
	}
	entry.raw = joinBox(raw[:audioEntryFixed], config)
	return entry, nil
}

// joinBox makes a box of its parts, of which the first begins with a header,
// and writes its size.
func joinBox(parts ...[]byte) []byte {
	var box []byte
	for _, part := range parts {
		box = append(box, part...)
	}
	binary.BigEndian.PutUint32(box, uint32(len(box)))
	return box
}
