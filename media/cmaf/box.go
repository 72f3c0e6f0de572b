package cmaf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Caps on what is kept in memory of one box. A moov of one track takes about
// 1 kB (3 kB with x265's settings in it); a moof takes 16 bytes a sample, so
// 1 MiB holds 18 minutes at 60 frames per second; the largest segment that a
// ladder has is 10 s of 2160p, under 64 MiB.
const (
	maxMoovBytes    = 1 << 20
	maxMoofBytes    = 1 << 20
	maxSegmentBytes = 256 << 20
)

// boxStream reads top-level boxes in order from a pipe.
type boxStream struct {
	r io.Reader
	// position is the number of bytes read.
	position int64
}

// boxHead is a box's header: its type and the sizes of its parts in bytes.
type boxHead struct {
	kind    string
	header  int64
	payload int64
}

// next reads a box's header. It returns io.EOF where the stream ends between
// boxes.
func (s *boxStream) next() (boxHead, error) {
	var head [16]byte
	switch n, err := io.ReadFull(s.r, head[:8]); {
	case errors.Is(err, io.EOF):
		return boxHead{}, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return boxHead{}, mismatch("ffmpeg's output ends inside a box header, after %d bytes", s.position+int64(n))
	case err != nil:
		return boxHead{}, fmt.Errorf("read ffmpeg's output: %w", err)
	}
	box := boxHead{kind: string(head[4:8]), header: 8}
	size := uint64(binary.BigEndian.Uint32(head[:4]))
	if size == 1 {
		if err := s.full(head[8:16], box.kind); err != nil {
			return boxHead{}, err
		}
		size, box.header = binary.BigEndian.Uint64(head[8:16]), 16
	}
	// Size 0 means "to the end of the file", which no pipe of fragments has.
	if size < uint64(box.header) || size > 1<<62 {
		return boxHead{}, mismatch("ffmpeg's output has a %q box of %d bytes at %d", box.kind, size, s.position)
	}
	s.position += box.header
	box.payload = int64(size) - box.header
	return box, nil
}

func (s *boxStream) full(into []byte, kind string) error {
	if _, err := io.ReadFull(s.r, into); err != nil {
		return s.readError(err, kind)
	}
	return nil
}

// payload reads box's payload into buffer, which is emptied first. Memory is
// taken as bytes arrive, not as the header promises them.
func (s *boxStream) payload(box boxHead, buffer *bytes.Buffer, limit int64) error {
	buffer.Reset()
	if box.payload > limit {
		return mismatch("ffmpeg's output has a %q box of %d bytes at %d; at most %d are read", box.kind, box.payload, s.position, limit)
	}
	n, err := io.CopyN(buffer, s.r, box.payload)
	s.position += n
	return s.readError(err, box.kind)
}

func (s *boxStream) skip(box boxHead) error {
	n, err := io.CopyN(io.Discard, s.r, box.payload)
	s.position += n
	return s.readError(err, box.kind)
}

func (s *boxStream) readError(err error, kind string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return mismatch("ffmpeg's output ends inside a %q box, after %d bytes", kind, s.position)
	default:
		return fmt.Errorf("read ffmpeg's output: %w", err)
	}
}

// eachChild calls visit for each box in body, whole (raw) and without its
// header, until visit or the bytes are wrong. parent names body in errors.
func eachChild(parent string, body []byte, visit func(kind string, raw, payload []byte) error) error {
	for len(body) > 0 {
		if len(body) < 8 {
			return mismatch("ffmpeg's output has %d stray bytes in a %q box", len(body), parent)
		}
		size := binary.BigEndian.Uint32(body)
		kind := string(body[4:8])
		if size < 8 || uint64(size) > uint64(len(body)) {
			return mismatch("ffmpeg's output has a %q box of %d bytes in the last %d of a %q box", kind, size, len(body), parent)
		}
		if err := visit(kind, body[:size], body[8:size]); err != nil {
			return err
		}
		body = body[size:]
	}
	return nil
}

// cursor reads big-endian numbers from a slice. Past the end it reads zeros
// and remembers that in short.
type cursor struct {
	rest  []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.rest) {
		c.rest, c.short = nil, true
		return nil
	}
	taken := c.rest[:n]
	c.rest = c.rest[n:]
	return taken
}

func (c *cursor) skip(n int) { c.take(n) }

func (c *cursor) u8() uint8 {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if b := c.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}
