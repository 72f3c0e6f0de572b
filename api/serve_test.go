package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// dial opens a plain connection to a served address.
func dial(t *testing.T, base string) net.Conn {
	t.Helper()
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	if err := connection.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return connection
}

func TestHugeHeadersAreRefused(t *testing.T) {
	f := newFixture(t)
	connection := dial(t, f.serve())
	go func() {
		_, _ = fmt.Fprintf(connection, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", 1<<20))
	}()
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return // cut off before it could be read: as good
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %s", response.Status)
	}
}

// TestSlowClientsAreCutOffAndHurtNobody holds connections that never finish
// their headers, or their body, while others are answered.
func TestSlowClientsAreCutOffAndHurtNobody(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.BodyTimeout = time.Second })
	base := f.serve()
	var slow []net.Conn
	for i := range 50 {
		connection := dial(t, base)
		text := "POST " + jobsPath + " HTTP/1.1\r\nHost: x\r\nX-Slow: "
		if i%2 == 0 { // all headers, then one byte of the body
			text = "POST " + jobsPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Token " + f.keys["default/submit"] + "\r\nContent-Length: 1000\r\n\r\n{"
		}
		if _, err := io.WriteString(connection, text); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, connection)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("others got %s", response.Status)
	}
	if testing.Short() {
		t.Skip("waiting for the time limits takes some seconds")
	}
	for _, connection := range slow {
		// Whatever is answered, the connection ends.
		if _, err := io.Copy(io.Discard, connection); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			t.Fatal("a slow client still holds its connection after a minute")
		}
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestStoppingEndsStreamsAndFinishesRequests(t *testing.T) {
	f := newFixture(t)
	entered, release := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/slow" {
			f.server.ServeHTTP(w, r)
			return
		}
		close(entered)
		select {
		case <-release:
			_, _ = io.WriteString(w, "done")
		case <-r.Context().Done():
		}
	})
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, listener, handler) }()
	base := "http://" + listener.Addr().String()

	stream := f.open(base, "/api/v1/default/events/", "")
	if !stream.until(": open") {
		t.Fatal("the stream didn't open")
	}
	slow := dial(t, base)
	if _, err := io.WriteString(slow, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	stop()
	if stream.until("never") || stream.lines.Err() != nil {
		t.Errorf("the stream didn't end well: %v", stream.lines.Err())
	}
	close(release)
	response, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || string(body) != "done" {
		t.Errorf("the request that was under way got %q, %v", body, err)
	}
	_ = slow.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestServeTellsWhyItCannot(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	if err := Serve(t.Context(), listener, http.NotFoundHandler()); err == nil {
		t.Error("it served on a closed listener")
	}
}
