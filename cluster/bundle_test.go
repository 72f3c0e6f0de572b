package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// newBundle makes a cluster's bundle and a machine's part of it.
func newBundle(t *testing.T) (whole, exported string) {
	t.Helper()
	whole = filepath.Join(t.TempDir(), "bundle")
	if err := InitBundle(whole); err != nil {
		t.Fatal(err)
	}
	exported = filepath.Join(t.TempDir(), "node")
	if err := ExportBundle(whole, exported, "a machine"); err != nil {
		t.Fatal(err)
	}
	return whole, exported
}

func TestABundleIsNeverReplacedAndItsSecretsAreTheOwners(t *testing.T) {
	whole, exported := newBundle(t)
	if err := InitBundle(whole); err == nil || !strings.Contains(err.Error(), "isn't empty") {
		t.Errorf("made anew over one: %v", err)
	}
	if _, err := os.Stat(filepath.Join(exported, bundleCAKey)); err == nil {
		t.Error("a machine got the CA's key")
	}
	for _, name := range []string{bundleCAKey, bundleNodeKey, bundleGossip, bundleSealing} {
		info, err := os.Stat(filepath.Join(whole, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s", name, info.Mode())
		}
	}
}

// secureTrio forms a cluster of two machines' bundles.
func secureTrio(t *testing.T) (peers map[string]*Peer, whole string, dirs []string) {
	t.Helper()
	whole, exported := newBundle(t)
	peers, dirs = make(map[string]*Peer), []string{whole, exported}
	var join []string
	for i, id := range []string{"a", "b", "c"} {
		config := member(t, id, join...)
		config.Expect, config.Bundle = 3, dirs[i%2]
		peers[id] = launch(t, config)
		join = append(join, peers[id].gossipAddr())
	}
	for _, p := range peers {
		ready(t, p)
	}
	return peers, whole, dirs
}

func TestWithoutTheBundleNobodyGetsIn(t *testing.T) {
	t.Parallel() // it mostly waits
	peers, _, _ := secureTrio(t)
	inside := peers["a"]
	propose[any](t, inside, createOrg("default"))
	_, other := newBundle(t)
	for name, bundle := range map[string]string{"no bundle": "", "another cluster's bundle": other} {
		t.Run(name, func(t *testing.T) {
			config := member(t, "intruder")
			config.Bundle = bundle
			intruder := launch(t, config)
			ready(t, intruder)

			if n, err := intruder.gossip().list.Join([]string{inside.gossipAddr()}); err == nil {
				t.Errorf("it joined the gossip of %d peers", n)
			}
			for id, p := range peers {
				if len(p.Members()) != 3 {
					t.Errorf("%s sees %+v", id, p.Members())
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), pace*5*time.Second)
			defer cancel()
			var granted welcome
			if err := intruder.callAt(ctx, inside.RaftAddr(), callWelcome, nil, &granted); err == nil || granted.Sealing != nil {
				t.Errorf("it was let in: %+v", granted)
			}
			entry, err := encodeProposal(createOrg("stolen"), proposal{ID: "x"})
			if err != nil {
				t.Fatal(err)
			}
			// Knowing the cluster's ID is of no help.
			cluster := inside.Cluster()
			intruder.cluster.Store(&cluster)
			if err := intruder.callAt(ctx, leaderOf(t, peers).RaftAddr(), callPropose, json.RawMessage(entry.Data), nil); err == nil {
				t.Error("it proposed a command")
			}
			if err := intruder.callAt(ctx, inside.RaftAddr(), callJoin, joinRequest{ID: "intruder", Address: intruder.RaftAddr(), Fresh: true}, nil); err == nil {
				t.Error("it joined")
			}
			var vote raft.RequestVoteResponse
			err = intruder.transport.RequestVote("a", raft.ServerAddress(inside.RaftAddr()), &raft.RequestVoteRequest{
				RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("b"), Addr: []byte(intruder.RaftAddr())},
				Term:      1 << 40, LastLogIndex: 1 << 40, LastLogTerm: 1 << 40, LeadershipTransfer: true,
			}, &vote)
			if err == nil {
				t.Errorf("raft answered it: %+v", vote)
			}
			if _, ok := read(t, inside).Organisation("stolen"); ok {
				t.Error("its command was applied")
			}
		})
	}
}

func TestAPeerThatTrustsAnybodyIsRefusedByTheOthers(t *testing.T) {
	t.Parallel() // it mostly waits
	peers, whole, dirs := secureTrio(t)
	_, other := newBundle(t)
	// Signed by the cluster's CA, but not for a peer.
	authority, key, err := loadCA(whole)
	if err != nil {
		t.Fatal(err)
	}
	stray, err := sign(&x509.Certificate{DNSNames: []string{"example.com"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
		authority, key.Public(), key, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	der, _ := pem.Decode(stray)
	for name, c := range map[string]struct {
		certificates []tls.Certificate
		version      uint16
		welcome      bool
	}{
		"the cluster's certificate": {[]tls.Certificate{certificateIn(t, dirs[1])}, tls.VersionTLS13, true},
		"no certificate":            {nil, tls.VersionTLS13, false},
		"another cluster's":         {[]tls.Certificate{certificateIn(t, other)}, tls.VersionTLS13, false},
		"one that isn't a peer's":   {[]tls.Certificate{{Certificate: [][]byte{der.Bytes}, PrivateKey: key}}, tls.VersionTLS13, false},
		"an older TLS":              {[]tls.Certificate{certificateIn(t, dirs[1])}, tls.VersionTLS12, false},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", peers["a"].RaftAddr(), &tls.Config{
				InsecureSkipVerify: true, Certificates: c.certificates, MaxVersion: c.version, MinVersion: tls.VersionTLS12,
			})
			var answer []byte
			if err == nil {
				defer func() { _ = conn.Close() }()
				request := "CPOST /" + callWelcome + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
				if _, err = conn.Write([]byte(request)); err == nil {
					answer, err = io.ReadAll(conn)
				}
			}
			if got := err == nil && strings.Contains(string(answer), "sealing"); got != c.welcome {
				t.Errorf("let in: %v (%v)", got, err)
			}
		})
	}
}

func certificateIn(t *testing.T, dir string) tls.Certificate {
	t.Helper()
	certificate, err := tls.LoadX509KeyPair(filepath.Join(dir, bundleNode), filepath.Join(dir, bundleNodeKey))
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestARevokedCertificateIsRefused(t *testing.T) {
	t.Parallel() // it mostly waits
	peers, whole, dirs := secureTrio(t)
	b := peers["b"] // shows the certificate in dirs[1]
	serial := b.bundle.now().certificate.Leaf.SerialNumber
	for _, dir := range dirs {
		if err := writeDurably(filepath.Join(dir, bundleRevoked), []byte("# lost machine\n"+serial.Text(16)+"\n")); err != nil {
			t.Fatal(err)
		}
	}
	b.caller.idle.CloseIdleConnections()
	if err := b.callAt(t.Context(), peers["a"].RaftAddr(), callHealth, nil, nil); err == nil {
		t.Error("a revoked certificate was taken")
	}
	// A new one is taken at once, without a restart.
	if err := IssueCertificate(whole, dirs[1], "the machine again", time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := b.callAt(t.Context(), peers["a"].RaftAddr(), callHealth, nil, nil); err != nil {
		t.Errorf("a renewed certificate: %v", err)
	}
}

func TestAnExpiredCertificateIsRefused(t *testing.T) {
	t.Parallel() // it mostly waits
	peers, whole, dirs := secureTrio(t)
	if err := IssueCertificate(whole, dirs[1], "old", -time.Minute); err != nil {
		t.Fatal(err)
	}
	b := peers["b"]
	b.caller.idle.CloseIdleConnections()
	if err := b.callAt(t.Context(), peers["a"].RaftAddr(), callHealth, nil, nil); err == nil {
		t.Error("an expired certificate was taken")
	}
}

func TestATornCertificateLeavesTheFormerInUse(t *testing.T) {
	t.Parallel() // it mostly waits
	peers, _, dirs := secureTrio(t)
	if err := os.WriteFile(filepath.Join(dirs[1], bundleNode), []byte("half a certif"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := peers["b"]
	b.caller.idle.CloseIdleConnections()
	if err := b.callAt(t.Context(), peers["a"].RaftAddr(), callHealth, nil, nil); err != nil {
		t.Error(err)
	}
}

func TestTheGossipKeyIsChangedWhileAllRun(t *testing.T) {
	t.Parallel() // it mostly waits
	peers, _, dirs := secureTrio(t)
	old, err := os.ReadFile(filepath.Join(dirs[0], bundleGossip))
	if err != nil {
		t.Fatal(err)
	}
	key := NewGossipKey() + "\n"
	for _, step := range []string{string(old) + key, key + string(old), key} {
		for _, dir := range dirs {
			if err := writeDurably(filepath.Join(dir, bundleGossip), []byte(step)); err != nil {
				t.Fatal(err)
			}
		}
		want := strings.Fields(step)
		eventually(t, "the keys", func() string {
			for id, p := range peers {
				keys, err := p.bundle.gossipKeys()
				if err != nil || len(p.gossip().keyring.GetKeys()) != len(want) || !bytes.Equal(p.gossip().keyring.GetPrimaryKey(), keys[0]) {
					return id + " has the former ones"
				}
			}
			return ""
		})
		for id, p := range peers {
			if err := errors.Join(p.gossip().announce(p.identity())); err != nil || len(p.Members()) != 3 {
				t.Errorf("%s sees %d members: %v", id, len(p.Members()), err)
			}
		}
	}
	config := member(t, "late", peers["a"].gossipAddr())
	config.Bundle = dirs[0]
	ready(t, launch(t, config))
}
