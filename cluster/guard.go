package cluster

import (
	"crypto/x509"
	"fmt"
	"time"
)

// guardEvery is how often the open connections are compared with what the
// bundle says now: it bounds how long a peer whose certificate was revoked,
// has expired, or is of a CA that was taken out, stays connected.
const guardEvery = time.Second

// guard closes connections that would be refused if they were made now. Each
// side does so by its own bundle, whoever has dialled.
func (m *mux) guard() {
	ticker := time.NewTicker(guardEvery)
	defer ticker.Stop()
	for {
		select {
		case <-m.stop.Done():
			return
		case <-ticker.C:
		}
		now := m.bundle.now()
		m.mu.Lock()
		open := make([]*trackedConn, 0, len(m.open))
		for conn := range m.open {
			open = append(open, conn)
		}
		m.mu.Unlock()
		for _, conn := range open {
			if err := now.stillGood(conn); err != nil {
				m.refused(conn.RemoteAddr(), fmt.Errorf("it was open already: %w", err))
				_ = conn.Close() // raft and HTTP find out
			}
		}
	}
}

// stillGood checks what the other side has shown as a handshake would now.
func (t *trust) stillGood(conn *trackedConn) error {
	secured := conn.secured.Load()
	if secured == nil {
		return nil // in its handshake
	}
	state := secured.ConnectionState()
	chain := x509.VerifyOptions{
		Roots: t.authorities, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if conn.dialled {
		chain.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	for _, certificate := range state.PeerCertificates[1:] {
		chain.Intermediates.AddCert(certificate)
	}
	if _, err := state.PeerCertificates[0].Verify(chain); err != nil {
		return err
	}
	return t.verify(state)
}
