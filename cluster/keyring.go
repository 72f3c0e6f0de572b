package cluster

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

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
//
// A peer that is in no cluster yet has a key ring without keys, which fills
// when it joins one.
type Keyring struct {
	keys atomic.Pointer[[]sealingKey] // the first seals, all open
}

type sealingKey struct {
	id     [keyIDSize]byte
	secret []byte
	aead   cipher.AEAD
}

const (
	sealFormat     = 1
	keyIDSize      = 4
	sealHeaderSize = 1 + keyIDSize
)

// keepKeys takes the cluster's sealing keys up besides those that the peer has;
// a peer that has none and is given none draws one. The caller holds p.forming.
func (p *Peer) keepKeys(given []byte) error {
	// The cluster's come first: what this peer seals, all must open.
	keys := append(bytes.Clone(given), p.keyring.bytes()...)
	if len(keys) == 0 {
		keys = randomBytes(chacha20poly1305.KeySize)
	}
	if err := p.keyring.load(keys); err != nil {
		return fmt.Errorf("take up the cluster's key: %w", err)
	}
	if err := writeDurably(filepath.Join(p.config.DataDir, keyFile), p.keyring.bytes()); err != nil {
		return fmt.Errorf("keep the cluster's key: %w", err)
	}
	return nil
}

// openKeyring reads the keys that the peer has: the bundle's and its own.
// created says whether to draw one where there is none.
func (p *Peer) openKeyring(create bool) error {
	name := filepath.Join(p.config.DataDir, keyFile)
	var ofBundle []byte
	if p.bundle != nil {
		var err error
		ofBundle, err = os.ReadFile(filepath.Join(p.config.Bundle, bundleSealing))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read the cluster's key: %w", err)
		}
	}
	have, err := exists(name)
	if err != nil {
		return fmt.Errorf("read the cluster's key: %w", err)
	}
	p.keyring = &Keyring{}
	if have || create && len(ofBundle) == 0 {
		if p.keyring, err = OpenKeyring(name); err != nil {
			return err
		}
	}
	if len(ofBundle) == 0 {
		return nil
	}
	return p.keepKeys(ofBundle)
}

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
	ring := &Keyring{}
	if err := ring.load(data); err != nil {
		return nil, fmt.Errorf("read the cluster's key: %s: %w", name, err)
	}
	return ring, nil
}

// load makes data, 32 bytes a key, the ring's keys.
func (r *Keyring) load(data []byte) error {
	if len(data) == 0 || len(data)%chacha20poly1305.KeySize != 0 {
		return fmt.Errorf("%d bytes, a key has %d: %w", len(data), chacha20poly1305.KeySize, ErrDamaged)
	}
	var keys []sealingKey
	for secret := range slices.Chunk(bytes.Clone(data), chacha20poly1305.KeySize) {
		if slices.ContainsFunc(keys, func(k sealingKey) bool { return bytes.Equal(k.secret, secret) }) {
			continue
		}
		aead, err := chacha20poly1305.NewX(secret)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(append([]byte("millrace key id\x00"), secret...))
		keys = append(keys, sealingKey{id: [keyIDSize]byte(sum[:]), secret: secret, aead: aead})
	}
	r.keys.Store(&keys)
	return nil
}

// now is the keys at present, none for a peer in no cluster.
func (r *Keyring) now() []sealingKey {
	if keys := r.keys.Load(); keys != nil {
		return *keys
	}
	return nil
}

// bytes is the keys as a file holds them.
func (r *Keyring) bytes() []byte {
	var data []byte
	for _, key := range r.now() {
		data = append(data, key.secret...)
	}
	return data
}

// Seal encrypts plain for one context, which says where the secret belongs
// ("org/default/output"): only that context opens it.
func (r *Keyring) Seal(plain []byte, context string) ([]byte, error) {
	keys := r.now()
	if len(keys) == 0 {
		return nil, errors.New("seal a secret: this peer is in no cluster yet")
	}
	key := keys[0]
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
	for _, key := range r.now() {
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
