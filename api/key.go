package api

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"time"

	"millrace/cluster"
	"millrace/job"
)

// keyPrefix tells people and secret scanners what they look at.
const keyPrefix = "mr_"

// NewKey draws an API key of 256 random bits for an organisation: the text
// that its holder keeps ("mr_" and 43 base64url characters), and what the
// state keeps, which can't be turned back into the text.
func NewKey(random io.Reader, org string, role cluster.Role, label string, at time.Time) (text string, key cluster.Key, err error) {
	var secret [32]byte
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return "", cluster.Key{}, fmt.Errorf("draw an API key: %w", err)
	}
	id, err := job.NewID(random)
	if err != nil {
		return "", cluster.Key{}, fmt.Errorf("draw an API key's id: %w", err)
	}
	text = keyPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
	return text, cluster.Key{
		ID: "key_" + string(id), Org: org, Role: role, Label: label,
		SHA256: HashKey(text), Created: at,
	}, nil
}

// HashKey is the hash that the state finds a key by.
func HashKey(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}
