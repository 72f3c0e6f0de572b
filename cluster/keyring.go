package cluster

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/crypto/chacha20poly1305"
)

// ErrSealed: something can't be opened: it was sealed under a key that this
// peer doesn't have, for another place, or has been changed.
var ErrSealed = errors.New("this can't be unsealed")

// Keyring seals secrets, so that whoever reads the log, a snapshot or a backup
// can't use them. The cluster's key lies in a file of its own and never in the
// state.
//
// A sealed secret is a format byte, 4 bytes that name the key, 24 random bytes
// of nonce, and the XChaCha20-Poly1305 ciphertext. The context that it was
// sealed with is authenticated but not stored: a secret that was copied to
// another place doesn't open there.
type Keyring struct {
	keys []sealingKey // the first seals, all open
}

type sealingKey struct {
	id   [keyIDSize]byte
	aead cipher.AEAD
}

const (
	sealFormat     = 1
	keyIDSize      = 4
	sealHeaderSize = 1 + keyIDSize
)

// OpenKeyring reads the keys in a file, 32 bytes each, and makes the file with
// one random key if it isn't there. Keys are rotated by putting a new one
// before the old ones.
func OpenKeyring(name string) (*Keyring, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		data = make([]byte, chacha20poly1305.KeySize)
		_, _ = rand.Read(data) // never fails
		err = writeDurably(name, data)
	}
	if err != nil {
		return nil, fmt.Errorf("read the cluster's key: %w", err)
	}
	if len(data) == 0 || len(data)%chacha20poly1305.KeySize != 0 {
		return nil, fmt.Errorf("read the cluster's key: %s has %d bytes, a key has %d: %w", name, len(data), chacha20poly1305.KeySize, ErrDamaged)
	}
	ring := &Keyring{}
	for ; len(data) > 0; data = data[chacha20poly1305.KeySize:] {
		key := data[:chacha20poly1305.KeySize]
		aead, err := chacha20poly1305.NewX(key)
		if err != nil {
			return nil, fmt.Errorf("read the cluster's key: %w", err)
		}
		sum := sha256.Sum256(append([]byte("millrace key id\x00"), key...))
		ring.keys = append(ring.keys, sealingKey{id: [keyIDSize]byte(sum[:]), aead: aead})
	}
	return ring, nil
}

// Seal encrypts plain for one context, which says where the secret belongs
// ("org/default/output"): only that context opens it.
func (r *Keyring) Seal(plain []byte, context string) ([]byte, error) {
	key := r.keys[0]
	sealed := make([]byte, 0, sealHeaderSize+chacha20poly1305.NonceSizeX+len(plain)+key.aead.Overhead())
	sealed = append(append(sealed, sealFormat), key.id[:]...)
	nonce := sealed[sealHeaderSize : sealHeaderSize+chacha20poly1305.NonceSizeX]
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("seal a secret: %w", err)
	}
	sealed = sealed[:sealHeaderSize+len(nonce)]
	return key.aead.Seal(sealed, nonce, plain, authenticated(sealed, context)), nil
}

// Open decrypts what Seal made for the same context. Errors: ErrSealed.
func (r *Keyring) Open(sealed []byte, context string) ([]byte, error) {
	if len(sealed) < sealHeaderSize+chacha20poly1305.NonceSizeX || sealed[0] != sealFormat {
		return nil, fmt.Errorf("%w: it isn't a sealed secret", ErrSealed)
	}
	for _, key := range r.keys {
		if key.id != [keyIDSize]byte(sealed[1:]) {
			continue
		}
		nonce := sealed[sealHeaderSize : sealHeaderSize+chacha20poly1305.NonceSizeX]
		plain, err := key.aead.Open(nil, nonce, sealed[sealHeaderSize+len(nonce):], authenticated(sealed, context))
		if err != nil {
			return nil, fmt.Errorf("%w: it was changed or belongs elsewhere", ErrSealed)
		}
		return plain, nil
	}
	return nil, fmt.Errorf("%w: its key %x is not this cluster's", ErrSealed, sealed[1:sealHeaderSize])
}

// authenticated is what a ciphertext is bound to besides its key.
func authenticated(sealed []byte, context string) []byte {
	return append(append([]byte{}, sealed[:sealHeaderSize]...), context...)
}
