package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// hang has b ask a for what takes for ever, and says how that ended. It returns
// when a was asked; false: it never was.
func hang(t *testing.T, b, a *Peer) (ended <-chan error, asked bool) {
	t.Helper()
	arrived, over := make(chan struct{}, 1), make(chan error, 1)
	a.Handle("hang", func(ctx context.Context, _ string, _ json.RawMessage) (any, error) {
		arrived <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	go func() { over <- b.callAt(t.Context(), a.RaftAddr(), "hang", nil, nil) }()
	select {
	case <-arrived:
		return over, true
	case err := <-over:
		t.Logf("the call ended before it came: %v", err)
		return over, false
	}
}

func TestOpenConnectionsEndWhenTheirCertificateIsRefused(t *testing.T) {
	t.Parallel() // it mostly waits
	for name, refuse := range map[string]func(t *testing.T, b *Peer, dir string){
		"revoked": func(t *testing.T, b *Peer, dir string) {
			serial := b.bundle.now().certificate.Leaf.SerialNumber.Text(16)
			if err := writeDurably(filepath.Join(dir, bundleRevoked), []byte(serial+"\n")); err != nil {
				t.Fatal(err)
			}
		},
		"of a CA that was taken out": func(t *testing.T, _ *Peer, dir string) {
			_, other := newBundle(t)
			authority, err := os.ReadFile(filepath.Join(other, bundleCA))
			if err == nil {
				err = writeDurably(filepath.Join(dir, bundleCA), authority)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			peers, _, dirs := secureTrio(t) // a and c look into dirs[0], b into dirs[1]
			b, a := peers["b"], peers["a"]
			ended, asked := hang(t, b, a)
			if !asked {
				t.Fatal("a wasn't reached")
			}
			refuse(t, b, dirs[0])
			if err := <-ended; !errors.Is(err, errUncertain) {
				t.Errorf("it ended by %v", err)
			}
			eventually(t, "b stays out", func() string { // its other connections end within the same second
				if err := b.callAt(t.Context(), a.RaftAddr(), callHealth, nil, nil); err == nil {
					return "it was let in"
				}
				return ""
			})
			eventually(t, "raft's connections", func() string {
				now := a.bundle.now()
				a.mux.mu.Lock()
				defer a.mux.mu.Unlock()
				for conn := range a.mux.open {
					if err := now.stillGood(conn); err != nil {
						return err.Error()
					}
				}
				return ""
			})
		})
	}
}

func TestAnOpenConnectionEndsWithItsCertificate(t *testing.T) {
	t.Parallel() // it mostly waits
	peers, whole, dirs := secureTrio(t)
	b, a := peers["b"], peers["a"]
	for validity := time.Second; ; validity *= 2 { // on a busy machine it may have expired before it is shown
		if err := IssueCertificate(whole, dirs[1], "short", validity); err != nil {
			t.Fatal(err)
		}
		b.caller.idle.CloseIdleConnections()
		ended, asked := hang(t, b, a)
		if !asked {
			continue
		}
		if err := <-ended; !errors.Is(err, errUncertain) {
			t.Errorf("it ended by %v", err)
		}
		return
	}
}

func TestRenewedCertificatesAndAuthoritiesCostNoConnection(t *testing.T) {
	t.Parallel() // it mostly waits
	peers, whole, dirs := secureTrio(t)
	b, a := peers["b"], peers["a"]
	ended, asked := hang(t, b, a)
	if !asked {
		t.Fatal("a wasn't reached")
	}
	_, other := newBundle(t)
	theirs, err := os.ReadFile(filepath.Join(other, bundleCA))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		ours, err := os.ReadFile(filepath.Join(dir, bundleCA))
		if err == nil {
			err = writeDurably(filepath.Join(dir, bundleCA), append(ours, theirs...))
		}
		if err == nil {
			err = IssueCertificate(whole, dir, "renewed", time.Hour)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	before := a.bundle.now()
	guarded := time.NewTimer(2 * guardEvery)
	select {
	case err := <-ended:
		t.Errorf("the connection was cut: %v", err)
	case <-guarded.C:
	}
	if a.bundle.now() != before {
		t.Error("the bundle wasn't taken up at once")
	}
}
