package cmaf

import (
	"encoding/binary"
	"fmt"

	"millrace/job"
)

// NAL unit types that tell where decoding can start, and where not.
const (
	avcSlice           = 1
	avcIDR             = 5
	hevcLastVCL        = 31
	hevcIDRWithLeading = 19
	hevcIDRAlone       = 20
	hevcPrefixSEI      = 39
	hevcSuffixSEI      = 40
)

// OBU types of AV1 (AV1 bitstream specification, 6.2.2).
const (
	av1SequenceHeader = 1
	av1FrameHeader    = 3
	av1Frame          = 6
)

// checkKeyframe says why decoding can't start afresh at the picture in data,
// nil if it can: the container's own flag is the encoder's claim, this is the
// bitstream's.
func checkKeyframe(codec job.Codec, nalLength int, data []byte) error {
	switch codec {
	case job.H264:
		return firstSlice(data, nalLength, func(head byte) (slice bool, err error) {
			switch kind := head & 31; {
			case kind == avcIDR:
				return true, nil
			case kind >= avcSlice && kind < avcIDR:
				return true, fmt.Errorf("it is no IDR picture but NAL type %d", kind)
			}
			return false, nil
		})
	case job.HEVC:
		return firstSlice(data, nalLength, func(head byte) (slice bool, err error) {
			switch kind := head >> 1 & 63; {
			case kind == hevcIDRWithLeading || kind == hevcIDRAlone:
				return true, nil
			case kind <= hevcLastVCL:
				return true, fmt.Errorf("it is no IDR picture but NAL type %d", kind)
			}
			return false, nil
		})
	default:
		return checkAV1Keyframe(data)
	}
}

// firstSlice looks for a sample's first coded slice: look says of a NAL unit's
// first byte whether it is one.
func firstSlice(data []byte, nalLength int, look func(head byte) (slice bool, err error)) error {
	for len(data) > nalLength {
		size := 0
		for _, b := range data[:nalLength] {
			size = size<<8 | int(b)
		}
		data = data[nalLength:]
		if size == 0 || size > len(data) {
			return fmt.Errorf("it has a NAL unit of %d bytes in the last %d", size, len(data))
		}
		if slice, err := look(data[0]); slice || err != nil {
			return err
		}
		data = data[size:]
	}
	return fmt.Errorf("it has no coded slice")
}

func checkAV1Keyframe(data []byte) error {
	sequence := false
	for len(data) > 0 {
		head := data[0]
		kind := head >> 3 & 15
		data = data[1:]
		if head&4 != 0 && len(data) > 0 { // extension
			data = data[1:]
		}
		size := uint64(len(data))
		if head&2 != 0 {
			var n int
			// LEB128 is what the binary package calls a varint.
			if size, n = binary.Uvarint(data); n <= 0 || size > uint64(len(data)-n) {
				return fmt.Errorf("it has an OBU that doesn't fit")
			}
			data = data[n:]
		}
		body := data[:size]
		data = data[size:]
		switch kind {
		case av1SequenceHeader:
			sequence = true
		case av1Frame, av1FrameHeader:
			// show_existing_frame, frame_type (2 bits, 0 is KEY_FRAME), show_frame
			switch {
			case !sequence:
				return fmt.Errorf("it has no sequence header")
			case len(body) == 0 || body[0]&0xf0 != 0x10:
				return fmt.Errorf("it is no shown key frame")
			}
			return nil
		}
	}
	return fmt.Errorf("it has no frame")
}
