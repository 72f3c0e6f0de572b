package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"millrace/job"
)

// maxTopLevelBoxes is far more than any MP4 that isn't fragmented has; what a
// longer file holds after them isn't checked here.
const maxTopLevelBoxes = 4096

// checkBoxes walks an MP4's top-level boxes: each must lie within the file and
// one must be the index (moov). ffmpeg itself decodes a file that was cut off in
// the middle with exit status 0 and fewer frames, so its word is not enough.
func checkBoxes(r io.ReaderAt, size int64) error {
	var index, data bool
	at := int64(0)
	for range maxTopLevelBoxes {
		if at == size {
			break
		}
		kind, length, err := boxAt(r, at, size)
		if err != nil {
			return err
		}
		switch kind {
		case "moov":
			index = true
		case "mdat":
			data = true
		}
		if length > size-at {
			if !index {
				return job.Fail(job.MediaCorrupt, "the file ends within its %q box, and its index (moov) comes after that or never: it was cut off", kind)
			}
			return job.Fail(job.InputTruncated, "the file's %q box promises %d bytes more than the file has: it was cut off", kind, length-(size-at))
		}
		at += length
	}
	if data && !index && at == size {
		return job.Fail(job.MediaCorrupt, "the file has pictures (mdat) but no index (moov): it was never finished")
	}
	return nil
}

// boxAt reads the header of the box at an offset. A rest too short for a
// header, as some recorders leave behind, counts as one box to the end.
func boxAt(r io.ReaderAt, at, size int64) (kind string, length int64, err error) {
	var header [16]byte
	n, err := r.ReadAt(header[:min(16, size-at)], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", 0, fmt.Errorf("read the source's boxes: %w", err)
	}
	if n < 8 {
		return "", size - at, nil
	}
	kind, length = string(header[4:8]), int64(binary.BigEndian.Uint32(header[:4]))
	switch length {
	case 0: // to the end of the file
		length = size - at
	case 1:
		if n < 16 {
			return kind, size - at, nil
		}
		large := binary.BigEndian.Uint64(header[8:])
		if large < 16 || large > 1<<62 {
			return "", 0, job.Fail(job.MediaCorrupt, "the file's %q box has an impossible length", kind)
		}
		length = int64(large)
	default:
		if length < 8 {
			return "", 0, job.Fail(job.MediaCorrupt, "the file's %q box has an impossible length", kind)
		}
	}
	return kind, length, nil
}
