package storage

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers every question for an IPv4 address with what answer
// gives, and every other with nothing.
func nameServer(t *testing.T, answer func() [4]byte) *net.Resolver {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1500)
		for {
			n, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			var message dnsmessage.Message
			if message.Unpack(buffer[:n]) != nil || len(message.Questions) != 1 {
				continue
			}
			message.Response, message.Additionals = true, nil
			if question := message.Questions[0]; question.Type == dnsmessage.TypeA {
				message.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class},
					Body:   &dnsmessage.AResource{A: answer()},
				}}
			}
			packed, err := message.Pack()
			if err == nil {
				_, _ = socket.WriteTo(packed, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = socket.Close()
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", socket.LocalAddr().String())
	}}
}

// A name that first resolves to an allowed address and then to a forbidden one:
// whoever checks the name before connecting is fooled.
func TestReboundNameIsRefusedWhenItIsDialled(t *testing.T) {
	var rebound atomic.Bool
	resolver := nameServer(t, func() [4]byte {
		if rebound.Load() {
			return [4]byte{127, 0, 0, 2}
		}
		return [4]byte{127, 0, 0, 1}
	})
	// The canary listens on both addresses, so that only the rule decides.
	var reached atomic.Int64
	listener, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) })}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	defer func() {
		_ = server.Close()
		<-done
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	client := NewHTTPClient(DialRules{Allowed: only127001}, HTTPOptions{Resolver: resolver})
	get := func() error {
		defer client.CloseIdleConnections() // the next request dials anew
		response, err := client.Get("http://rebound.example:" + port + "/")
		if err == nil {
			_ = response.Body.Close()
		}
		return err
	}
	if err := get(); err != nil {
		t.Fatal(err)
	}
	rebound.Store(true)
	var blocked *BlockedError
	if err := get(); !errors.As(err, &blocked) {
		t.Errorf("the rebound name gives %v", err)
	}
	if reached.Load() != 1 {
		t.Errorf("reached %d times", reached.Load())
	}
}
