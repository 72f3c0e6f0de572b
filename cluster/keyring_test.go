package cluster

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func openKeyring(t *testing.T, name string) *Keyring {
	t.Helper()
	ring, err := OpenKeyring(name)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func seal(t *testing.T, ring *Keyring, plain, context string) []byte {
	t.Helper()
	sealed, err := ring.Seal([]byte(plain), context)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestASecretOpensOnlyWhereItBelongs(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cluster.key")
	ring := openKeyring(t, name)
	sealed := seal(t, ring, "AKIAsecret", "org/default")
	if bytes.Contains(sealed, []byte("secret")) || bytes.Equal(sealed, seal(t, ring, "AKIAsecret", "org/default")) {
		t.Error("sealed badly")
	}
	plain, err := openKeyring(t, name).Open(sealed, "org/default")
	if err != nil || string(plain) != "AKIAsecret" {
		t.Errorf("opened as %q, %v", plain, err)
	}
	other := openKeyring(t, filepath.Join(t.TempDir(), "cluster.key"))
	for why, open := range map[string]func() ([]byte, error){
		"another place":   func() ([]byte, error) { return ring.Open(sealed, "org/other") },
		"another cluster": func() ([]byte, error) { return other.Open(sealed, "org/default") },
	} {
		if plain, err := open(); !errors.Is(err, ErrSealed) || plain != nil || strings.Contains(err.Error(), "AKIA") {
			t.Errorf("%s: %q, %v", why, plain, err)
		}
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if plain, err := ring.Open(changed, "org/default"); !errors.Is(err, ErrSealed) {
			t.Fatalf("byte %d changed: %q, %v", i, plain, err)
		}
		if _, err := ring.Open(sealed[:i], "org/default"); !errors.Is(err, ErrSealed) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
}

func TestTheKeyFileIsPrivateAndKept(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cluster.key")
	openKeyring(t, name)
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 32 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.Truncate(name, 31); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeyring(name); !errors.Is(err, ErrDamaged) {
		t.Errorf("a torn key file: %v", err)
	}
}

func TestSecretsOutliveTheRotationOfTheirKey(t *testing.T) {
	folder := t.TempDir()
	oldName, newName := filepath.Join(folder, "old"), filepath.Join(folder, "new")
	sealed := seal(t, openKeyring(t, oldName), "secret", "here")
	openKeyring(t, newName)
	both := filepath.Join(folder, "both")
	var keys []byte
	for _, name := range []string{newName, oldName} {
		key, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key...)
	}
	if err := os.WriteFile(both, keys, 0o600); err != nil {
		t.Fatal(err)
	}
	ring := openKeyring(t, both)
	if plain, err := ring.Open(sealed, "here"); err != nil || string(plain) != "secret" {
		t.Errorf("under the old key: %q, %v", plain, err)
	}
	if _, err := openKeyring(t, newName).Open(seal(t, ring, "new", "here"), "here"); err != nil {
		t.Errorf("the first key doesn't seal: %v", err)
	}
}

func FuzzOpenSealed(f *testing.F) {
	ring, err := OpenKeyring(filepath.Join(f.TempDir(), "cluster.key"))
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := ring.Seal([]byte("secret"), "here")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte{sealFormat})
	f.Fuzz(func(t *testing.T, data []byte) {
		if plain, err := ring.Open(data, "elsewhere"); err == nil {
			t.Errorf("opened as %q", plain)
		}
	})
}
