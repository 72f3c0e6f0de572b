package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// A bundle is the folder that makes a machine one of the cluster: whoever has
// it may join, read and write everything. All files but the first are secret.
const (
	bundleCA      = "ca.crt"      // the certificates that peers' certificates are checked against; several while the CA is changed
	bundleCAKey   = "ca.key"      // only where bundles are made; peers don't need it
	bundleNode    = "node.crt"    // what a peer shows
	bundleNodeKey = "node.key"    // its key
	bundleRevoked = "revoked.txt" // serial numbers (hex, one a line) that are refused; may be missing
	bundleGossip  = "gossip.key"  // base64, one a line: the first encrypts, all decrypt
	bundleSealing = "cluster.key" // see Keyring
)

// peerName is the name in every peer's certificate: the CA signs nothing but
// peers, and addresses may change.
const peerName = "millrace-peer"

const (
	caValidity   = 20 * 365 * 24 * time.Hour
	nodeValidity = 10 * 365 * 24 * time.Hour
	// backdated lets a peer whose clock is slow accept a new certificate.
	backdated = 24 * time.Hour
)

// InitBundle makes a new cluster's bundle in a folder that isn't there or is
// empty: a CA, a certificate signed by it that any peer may show, the gossip
// key and the key that secrets are sealed with. Copy the folder (without
// ca.key) to each machine and name it to Config.Bundle.
func InitBundle(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the bundle: %w", err)
	}
	if there, err := os.ReadDir(dir); err != nil || len(there) > 0 {
		return errors.Join(fmt.Errorf("make the bundle: %s isn't empty: take another folder, a bundle is never replaced", dir), err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the CA's key: %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Millrace cluster CA"}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	certificate, err := sign(template, template, key.Public(), key, caValidity)
	if err != nil {
		return fmt.Errorf("make the CA: %w", err)
	}
	if err := errors.Join(
		writeDurably(filepath.Join(dir, bundleCA), certificate),
		writeKey(filepath.Join(dir, bundleCAKey), key),
		writeDurably(filepath.Join(dir, bundleGossip), []byte(NewGossipKey()+"\n")),
		writeDurably(filepath.Join(dir, bundleSealing), randomBytes(chacha20poly1305.KeySize)),
	); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	return IssueCertificate(dir, dir, "any peer", nodeValidity)
}

// IssueCertificate signs a new peer certificate with the CA in bundle and puts
// it with its key into dir, which may be the bundle itself: then it replaces
// the one there, and running peers take it up with their next connection. The
// label is for people.
func IssueCertificate(bundle, dir, label string, validity time.Duration) error {
	caCertificate, caKey, err := loadCA(bundle)
	if err != nil {
		return fmt.Errorf("issue a certificate: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("issue a certificate: %w", err)
	}
	certificate, err := sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: label}, DNSNames: []string{peerName},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, caCertificate, key.Public(), caKey, validity)
	if err != nil {
		return fmt.Errorf("issue a certificate: %w", err)
	}
	// A reader between the two writes finds a pair that doesn't match and keeps
	// the one it has.
	if err := errors.Join(
		writeKey(filepath.Join(dir, bundleNodeKey), key),
		writeDurably(filepath.Join(dir, bundleNode), certificate),
	); err != nil {
		return fmt.Errorf("write the certificate: %w", err)
	}
	return nil
}

// ExportBundle copies what a peer needs from a bundle into a new folder, with a
// certificate of its own and without the CA's key.
func ExportBundle(bundle, dir, label string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("export the bundle: %w", err)
	}
	for _, name := range []string{bundleCA, bundleGossip, bundleSealing} {
		data, err := os.ReadFile(filepath.Join(bundle, name))
		if err == nil {
			err = writeDurably(filepath.Join(dir, name), data)
		}
		if err != nil {
			return fmt.Errorf("export the bundle: %w", err)
		}
	}
	return IssueCertificate(bundle, dir, label, nodeValidity)
}

// NewGossipKey makes a line of gossip.key. To change the key: put the new one
// last in every peer's file, then first in every file, then remove the old one;
// peers take each step up within seconds.
func NewGossipKey() string { return base64.StdEncoding.EncodeToString(randomBytes(32)) }

func randomBytes(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.Read(data) // never fails
	return data
}

func sign(template, parent *x509.Certificate, public any, signer *ecdsa.PrivateKey, validity time.Duration) ([]byte, error) {
	template.SerialNumber = new(big.Int).SetBytes(randomBytes(16))
	template.NotBefore = time.Now().Add(-backdated)
	template.NotAfter = time.Now().Add(validity)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

func writeKey(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writeDurably(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func loadCA(bundle string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	certificate, err := readPEM(filepath.Join(bundle, bundleCA), x509.ParseCertificate)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := readPEM(filepath.Join(bundle, bundleCAKey), x509.ParsePKCS8PrivateKey)
	if err != nil {
		return nil, nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("%s is a %T, an ECDSA key is needed", bundleCAKey, parsed)
	}
	return certificate, key, nil
}

func readPEM[T any](name string, parse func([]byte) (T, error)) (T, error) {
	var none T
	data, err := os.ReadFile(name)
	if err != nil {
		return none, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return none, fmt.Errorf("%s isn't PEM", name)
	}
	parsed, err := parse(block.Bytes)
	if err != nil {
		return none, fmt.Errorf("%s: %w", name, err)
	}
	return parsed, nil
}
