package cluster

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// What sharing puts on the wire of gossip: bytes of a foreign peer until they
// have been read here. Every length is checked before anything is kept.

// The kinds of messages.
const (
	kindLoad    byte = 1 // a load, whole
	kindProfile byte = 2 // that there is an edition of a profile
)

// digestFormat begins a digest. Others' formats are passed over.
const digestFormat byte = 1

const (
	// maxDigestEntries bounds the members in a digest.
	maxDigestEntries = 10_000
	// maxDigestBytes is a digest of so many and a profile.
	maxDigestBytes = maxDigestEntries*(1+maxNodeID+binary.MaxVarintLen64) + MaxProfileBytes + 1024
)

var errGarbled = errors.New("it is garbled")

// checkShared says whether something may be told, or believed.
func checkShared(data json.RawMessage, limit int) error {
	switch {
	case len(data) > limit:
		return fmt.Errorf("it has %d bytes, at most %d are told", len(data), limit)
	case !json.Valid(data):
		return errors.New("it isn't JSON")
	}
	return nil
}

// rumour is one message.
type rumour struct {
	kind    byte
	id      string
	edition edition
	body    []byte // of a load
}

func encodeRumour(r rumour) []byte {
	data := part([]byte{r.kind}, r.id)
	data = binary.AppendUvarint(data, uint64(r.edition))
	return append(data, r.body...)
}

// decodeRumour reads a message; the body still lies in it.
func decodeRumour(data []byte) (rumour, error) {
	var r rumour
	f := &fields{rest: data}
	r.kind, r.id, r.edition = f.byte(), f.id(), f.edition()
	r.body = f.rest
	switch {
	case f.bad:
		return rumour{}, errGarbled
	case r.kind == kindProfile && len(r.body) == 0:
		return r, nil
	case r.kind == kindLoad:
		return r, checkShared(r.body, MaxLoadBytes)
	}
	return rumour{}, fmt.Errorf("kind %d: %w", r.kind, errGarbled)
}

// digest is one peer's profile and the editions of all profiles that it has.
type digest struct {
	profile  json.RawMessage // nil: none
	editions []edited
}

type edited struct {
	id      string
	edition edition
}

func encodeDigest(from string, d digest) []byte {
	data := part(part([]byte{digestFormat}, from), string(d.profile))
	for _, e := range d.editions[:min(len(d.editions), maxDigestEntries)] {
		data = binary.AppendUvarint(part(data, e.id), uint64(e.edition))
	}
	return data
}

// decodeDigest reads a digest; the profile still lies in it.
func decodeDigest(data []byte) (from string, d digest, err error) {
	if len(data) > maxDigestBytes {
		return "", d, fmt.Errorf("%d bytes: %w", len(data), errGarbled)
	}
	f := &fields{rest: data}
	if format := f.byte(); format != digestFormat {
		return "", d, fmt.Errorf("format %d: %w", format, errGarbled)
	}
	from = f.id()
	if profile := f.bytes(MaxProfileBytes); len(profile) > 0 {
		if err := checkShared(profile, MaxProfileBytes); err != nil {
			return "", d, err
		}
		d.profile = profile
	}
	for len(f.rest) > 0 && !f.bad {
		if len(d.editions) == maxDigestEntries {
			return "", d, fmt.Errorf("more than %d members: %w", maxDigestEntries, errGarbled)
		}
		d.editions = append(d.editions, edited{f.id(), f.edition()})
	}
	if f.bad {
		return "", digest{}, errGarbled
	}
	return from, d, nil
}

// fields reads a message field by field; after a bad one it reads nothing more.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) fail() { f.rest, f.bad = nil, true }

func (f *fields) byte() byte {
	if len(f.rest) == 0 {
		f.fail()
		return 0
	}
	b := f.rest[0]
	f.rest = f.rest[1:]
	return b
}

func (f *fields) number() uint64 {
	n, size := binary.Uvarint(f.rest)
	if size <= 0 {
		f.fail()
		return 0
	}
	f.rest = f.rest[size:]
	return n
}

func (f *fields) bytes(limit int) []byte {
	n := f.number()
	if f.bad || n > uint64(limit) || n > uint64(len(f.rest)) {
		f.fail()
		return nil
	}
	data := f.rest[:n:n]
	f.rest = f.rest[n:]
	return data
}

func (f *fields) id() string {
	id := string(f.bytes(maxNodeID))
	if !f.bad && checkNodeID(id) != nil {
		f.fail()
	}
	return id
}

func (f *fields) edition() edition {
	e := edition(f.number())
	if e == 0 || e > maxEdition {
		f.fail()
	}
	return e
}
