package storage

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace/job"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loopbackNetwork is what tests open so that they can serve sources themselves.
var loopbackNetwork = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// newStore gives a store with small blocks and short waits. change may be nil.
func newStore(t *testing.T, change func(*Config)) *Store {
	t.Helper()
	config := Config{
		AllowedNetworks: loopbackNetwork, CacheDir: t.TempDir(), BlockBytes: 64 << 10,
		Retry:        Retry{Budget: 20 * time.Second, Base: time.Millisecond, Max: 5 * time.Millisecond},
		StallTimeout: 20 * time.Second, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&config)
	}
	store, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return store
}

// impatient makes a store give up at its first trouble that passes.
func impatient(c *Config) { c.Retry.Budget = 1 }

func input(t *testing.T, raw string) Location {
	t.Helper()
	l, err := ParseInput(raw)
	if err != nil {
		t.Fatalf("ParseInput(%q): %v", raw, err)
	}
	return l
}

func output(t *testing.T, store *Store, raw string) *Output {
	t.Helper()
	l, err := ParseOutput(raw)
	if err != nil {
		t.Fatalf("ParseOutput(%q): %v", raw, err)
	}
	out, err := store.OpenOutput(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// open opens a source that must be fine.
func open(t *testing.T, store *Store, raw string) *Source {
	t.Helper()
	source, err := store.OpenSource(t.Context(), input(t, raw))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = source.Close() })
	return source
}

// openError opens a source that must not be fine.
func openError(t *testing.T, store *Store, raw string) error {
	t.Helper()
	source, err := store.OpenSource(t.Context(), input(t, raw))
	if err == nil {
		_ = source.Close()
		t.Fatalf("%s opened", raw)
	}
	return err
}

func readAll(ctx context.Context, source *Source) ([]byte, error) {
	p := make([]byte, source.Size())
	_, err := source.ReadAtContext(ctx, p, 0)
	return p, err
}

func wantBytes(t *testing.T, source *Source, want []byte) {
	t.Helper()
	if source.Size() != int64(len(want)) {
		t.Fatalf("size %d, want %d", source.Size(), len(want))
	}
	got, err := readAll(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("the bytes read are not the source's")
	}
}

// wantCode wants err to be a failure with that code, and gives its sentence.
func wantCode(t *testing.T, err error, code job.Code) string {
	t.Helper()
	var failure *job.Failure
	if !errors.As(err, &failure) || failure.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	return failure.Message
}

// noise is bytes that no two offsets share.
func noise(n int) []byte {
	p := make([]byte, n)
	generator := rand.NewChaCha8([32]byte{1})
	_, _ = io.ReadFull(generator, p) // never fails
	return p
}

// only127001 opens this one address.
var only127001 = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }
