package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// bundle is a bundle's folder as a running peer uses it: its files are read
// again when they have changed, so certificates and keys are renewed without a
// restart. A change that can't be read leaves things as they were.
type bundle struct {
	dir string
	log *slog.Logger

	mu      sync.Mutex
	stamp   string // what the files looked like when they were read
	trust   *trust
	problem string // the last complaint, made once
}

// trust is one reading of the TLS files.
type trust struct {
	certificate tls.Certificate
	authorities *x509.CertPool
	revoked     map[string]bool // serial numbers, decimal
}

func openBundle(dir string, log *slog.Logger) (*bundle, error) {
	b := &bundle{dir: dir, log: log}
	read, err := b.read()
	if err != nil {
		return nil, fmt.Errorf("open the cluster's bundle: %w", err)
	}
	if _, err := b.gossipKeys(); err != nil {
		return nil, fmt.Errorf("open the cluster's bundle: %w", err)
	}
	b.trust, b.stamp = read, b.look()
	return b, nil
}

// look tells whether the files are the same as before.
func (b *bundle) look() string {
	var stamp strings.Builder
	for _, name := range []string{bundleCA, bundleNode, bundleNodeKey, bundleRevoked} {
		if info, err := os.Stat(filepath.Join(b.dir, name)); err == nil {
			fmt.Fprint(&stamp, name, info.Size(), info.ModTime().UnixNano(), ";")
		}
	}
	return stamp.String()
}

func (b *bundle) read() (*trust, error) {
	authorities, err := os.ReadFile(filepath.Join(b.dir, bundleCA))
	if err != nil {
		return nil, err
	}
	t := &trust{authorities: x509.NewCertPool(), revoked: make(map[string]bool)}
	if !t.authorities.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("%s holds no certificate", filepath.Join(b.dir, bundleCA))
	}
	if t.certificate, err = tls.LoadX509KeyPair(filepath.Join(b.dir, bundleNode), filepath.Join(b.dir, bundleNodeKey)); err != nil {
		return nil, err
	}
	revoked, err := os.ReadFile(filepath.Join(b.dir, bundleRevoked))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(revoked)) {
		line = strings.ReplaceAll(strings.TrimSpace(line), ":", "")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		serial, ok := new(big.Int).SetString(line, 16)
		if !ok {
			return nil, fmt.Errorf("%s: %q isn't a serial number in hex", filepath.Join(b.dir, bundleRevoked), line)
		}
		t.revoked[serial.String()] = true
	}
	return t, nil
}

// now is the trust as the files say now.
func (b *bundle) now() *trust {
	b.mu.Lock()
	defer b.mu.Unlock()
	stamp := b.look()
	if stamp == b.stamp {
		return b.trust
	}
	read, err := b.read()
	if err != nil {
		if err.Error() != b.problem {
			b.problem = err.Error()
			b.log.Warn("the cluster's bundle has changed and can't be read; the former certificates stay in use", "folder", b.dir, "error", err)
		}
		return b.trust
	}
	b.trust, b.stamp, b.problem = read, stamp, ""
	b.log.Info("the cluster's certificates were read again", "folder", b.dir)
	return b.trust
}

// serverConfig is for one connection that comes in.
func (b *bundle) serverConfig() *tls.Config {
	t := b.now()
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{t.certificate},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: t.authorities, VerifyConnection: t.verify,
		// A resumed session would outlive its certificate's revocation.
		SessionTicketsDisabled: true,
	}
}

// clientConfig is for one connection that goes out.
func (b *bundle) clientConfig() *tls.Config {
	t := b.now()
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{t.certificate},
		RootCAs: t.authorities, ServerName: peerName, VerifyConnection: t.verify,
	}
}

// verify checks what the chain doesn't say: that it is a peer's and not revoked.
func (t *trust) verify(state tls.ConnectionState) error {
	leaf := state.PeerCertificates[0]
	if err := leaf.VerifyHostname(peerName); err != nil {
		return fmt.Errorf("the certificate isn't a peer's: %w", err)
	}
	if t.revoked[leaf.SerialNumber.String()] {
		return fmt.Errorf("the certificate %x (%s) is revoked", leaf.SerialNumber, leaf.Subject.CommonName)
	}
	return nil
}

// gossipKeys reads the gossip keys: the first encrypts, all decrypt.
func (b *bundle) gossipKeys() ([][]byte, error) {
	name := filepath.Join(b.dir, bundleGossip)
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(key) != 32 {
			return nil, fmt.Errorf("%s: line %d isn't 32 bytes in base64", name, len(keys)+1)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s holds no key", name)
	}
	return keys, nil
}

// expires is when the peer's own certificate ends.
func (b *bundle) expires() time.Time {
	if leaf := b.now().certificate.Leaf; leaf != nil {
		return leaf.NotAfter
	}
	return time.Time{}
}
