package rig

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Listen serves HTTP at address (host:port, port 0 for a free one) until the
// test ends. Clients that wait for an answer then are hung up on.
func Listen(t testing.TB, address string, handler http.Handler) *httptest.Server {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}
