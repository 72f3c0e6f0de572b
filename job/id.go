package job

import (
	"fmt"
	"io"
)

// ID names a job: IDLength characters of the base-58 alphabet, unguessable.
type ID string

// IDLength is the number of characters of an ID. 58^11 is about 2^64.4, so an
// ID carries 64 bits that an outsider can't guess.
const IDLength = 11

// base58 is Bitcoin's alphabet: no 0, O, I or l, so an ID survives being read aloud.
const base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// NewID draws an ID from random, which must be a cryptographic source
// (crypto/rand.Reader outside tests).
func NewID(random io.Reader) (ID, error) {
	// Bytes of 232 (4 × 58) and more are drawn again, so each character is
	// equally likely.
	const unbiased = 4 * 58
	id := make([]byte, 0, IDLength)
	var buffer [2 * IDLength]byte
	for len(id) < IDLength {
		if _, err := io.ReadFull(random, buffer[:]); err != nil {
			return "", fmt.Errorf("draw a job id: %w", err)
		}
		for _, b := range buffer {
			if b < unbiased && len(id) < IDLength {
				id = append(id, base58[b%58])
			}
		}
	}
	return ID(id), nil
}

// Valid says whether the ID has the shape that NewID gives.
func (id ID) Valid() bool {
	if len(id) != IDLength {
		return false
	}
	for i := range len(id) {
		if !isBase58(id[i]) {
			return false
		}
	}
	return true
}

func isBase58(c byte) bool {
	for i := range len(base58) {
		if base58[i] == c {
			return true
		}
	}
	return false
}
