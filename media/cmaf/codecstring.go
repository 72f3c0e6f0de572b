package cmaf

import (
	"bytes"
	"fmt"
	"math/bits"
	"strings"

	"github.com/Eyevinn/mp4ff/aac"
	"github.com/Eyevinn/mp4ff/av1"
)

// The RFC 6381 strings are read from the decoder configuration, so they say
// what the bytes are and not what the encoder was asked for.

// avcConfig reads an avcC payload (ISO/IEC 14496-15, 5.3.3): "avc1.64001f".
func avcConfig(payload []byte) (codec string, nalLength int, err error) {
	if len(payload) < 7 || payload[0] != 1 {
		return "", 0, mismatch("ffmpeg's output has an avcC box of %d bytes", len(payload))
	}
	return fmt.Sprintf("avc1.%02x%02x%02x", payload[1], payload[2], payload[3]), int(payload[4]&3) + 1, nil
}

// hevcFixed is the size of an hvcC payload before its arrays of NAL units.
const hevcFixed = 23

// hevcConfig reads an hvcC payload (ISO/IEC 14496-15, 8.3.3 and annex E):
// "hvc1.1.6.L60.90".
func hevcConfig(payload []byte) (codec string, nalLength int, err error) {
	if len(payload) < hevcFixed || payload[0] != 1 {
		return "", 0, mismatch("ffmpeg's output has an hvcC box of %d bytes", len(payload))
	}
	var s strings.Builder
	s.WriteString("hvc1.")
	if space := payload[1] >> 6; space > 0 {
		s.WriteByte('A' + space - 1)
	}
	c := cursor{rest: payload[2:]}
	tier := "L"
	if payload[1]>>5&1 == 1 {
		tier = "H"
	}
	compatibility := bits.Reverse32(c.u32())
	constraints := bytes.TrimRight(c.take(6), "\x00")
	fmt.Fprintf(&s, "%d.%x.%s%d", payload[1]&31, compatibility, tier, c.u8())
	for _, constraint := range constraints {
		fmt.Fprintf(&s, ".%x", constraint)
	}
	return s.String(), int(payload[21]&3) + 1, nil
}

// hevcConfigWithoutSEI is an hvcC payload less its arrays of SEI messages.
func hevcConfigWithoutSEI(payload []byte) ([]byte, error) {
	if len(payload) < hevcFixed {
		return nil, mismatch("ffmpeg's output has an hvcC box of %d bytes", len(payload))
	}
	cleaned := append([]byte(nil), payload[:hevcFixed]...)
	arrays := int(payload[hevcFixed-1])
	kept := byte(0)
	c := cursor{rest: payload[hevcFixed:]}
	for range arrays {
		before := c.rest
		nalType := c.u8() & 0x3f
		for range c.u16() {
			c.skip(int(c.u16()))
			if c.short {
				return nil, mismatch("ffmpeg's output has an hvcC box whose arrays don't fit")
			}
		}
		if nalType != hevcPrefixSEI && nalType != hevcSuffixSEI {
			cleaned = append(cleaned, before[:len(before)-len(c.rest)]...)
			kept++
		}
	}
	if c.short {
		return nil, mismatch("ffmpeg's output has an hvcC box whose arrays don't fit")
	}
	cleaned[hevcFixed-1] = kept
	return cleaned, nil
}

// av1Config reads an av1C payload: "av01.0.04M.08".
func av1Config(payload []byte) (string, error) {
	record, err := av1.DecodeAV1CodecConfRec(payload)
	if err != nil {
		return "", mismatch("ffmpeg's output has an av1C box that can't be read: %v", err)
	}
	tier, depth := "M", 8
	if record.SeqTier0 == 1 {
		tier = "H"
	}
	switch {
	case record.HighBitdepth == 1 && record.TwelveBit == 1:
		depth = 12
	case record.HighBitdepth == 1:
		depth = 10
	}
	return fmt.Sprintf("av01.%d.%02d%s.%02d", record.SeqProfile, record.SeqLevelIdx0, tier, depth), nil
}

// Tags of the descriptors in an esds box (ISO/IEC 14496-1).
const (
	esDescriptor            = 3
	decoderConfigDescriptor = 4
	decoderSpecificInfo     = 5
	audioObjectTypeAAC      = 0x40
	audioObjectTypeLC       = 2
)

// parseConfig reads an esds payload: "mp4a.40.2".
func (e *audioEntry) parseConfig(payload []byte) error {
	bad := mismatch("ffmpeg's output has an esds box that can't be read")
	c := cursor{rest: payload}
	c.skip(4)
	if !enterDescriptor(&c, esDescriptor) {
		return bad
	}
	c.skip(2) // ES_ID
	flags := c.u8()
	if flags&0x80 != 0 {
		c.skip(2) // depends on
	}
	if flags&0x40 != 0 {
		c.skip(int(c.u8())) // URL
	}
	if flags&0x20 != 0 {
		c.skip(2) // OCR
	}
	if !enterDescriptor(&c, decoderConfigDescriptor) {
		return bad
	}
	if kind := c.u8(); kind != audioObjectTypeAAC {
		return mismatch("ffmpeg's output has audio of object type %#x, expected AAC", kind)
	}
	c.skip(12) // stream type, buffer size, bit rates
	if !enterDescriptor(&c, decoderSpecificInfo) {
		return bad
	}
	config, err := aac.DecodeAudioSpecificConfig(bytes.NewReader(c.rest))
	if err != nil {
		return mismatch("ffmpeg's output has an AAC configuration that can't be read: %v", err)
	}
	if config.ObjectType != audioObjectTypeLC {
		return mismatch("ffmpeg's output has AAC of object type %d, expected AAC-LC", config.ObjectType)
	}
	e.codec = "mp4a.40.2"
	e.sampleRate = config.SamplingFrequency
	e.channels = int(config.ChannelConfiguration)
	if e.channels == 7 { // the one number that isn't its own meaning: 7.1
		e.channels = 8
	}
	return nil
}

// enterDescriptor reads the head of a descriptor, whose length takes up to four
// bytes of seven bits, and leaves the cursor in its body.
func enterDescriptor(c *cursor, tag uint8) bool {
	if c.u8() != tag {
		return false
	}
	length := 0
	for range 4 {
		b := c.u8()
		length = length<<7 | int(b&0x7f)
		if b&0x80 == 0 {
			break
		}
	}
	if c.short || length > len(c.rest) {
		return false
	}
	c.rest = c.rest[:length]
	return true
}
