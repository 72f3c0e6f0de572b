package storage

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"millrace/job"
)

func TestStalledSourceIsNamed(t *testing.T) {
	quick := func(c *Config) { impatient(c); c.StallTimeout = 50 * time.Millisecond }
	for name, handler := range map[string]http.HandlerFunc{
		"before the header": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"in the body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5000")
			_, _ = w.Write(noise(100))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"a byte now and then": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "500000")
			for tick := time.NewTicker(5 * time.Millisecond); ; {
				_, _ = w.Write([]byte("x"))
				_ = http.NewResponseController(w).Flush()
				select {
				case <-tick.C:
				case <-r.Context().Done():
					tick.Stop()
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, openError(t, newStore(t, quick), serve(t, handler)), job.InputTimeout) })
	}
}

func TestUnreachableHostsAreNamed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := listener.Addr().String()
	_ = listener.Close()
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = discardLog()
	tls.StartTLS()
	t.Cleanup(tls.Close)
	for _, url := range []string{"http://" + refused, "http://no-such-host.invalid/a.mp4", tls.URL} {
		wantCode(t, openError(t, newStore(t, impatient), url), job.InputUnreachable)
	}
}

func TestRedirectsAreFollowedWithinTheRules(t *testing.T) {
	body := noise(1000)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Referer") != "" {
			t.Error("the URL before was told to the next server")
		}
		if r.URL.Path == "/a" {
			http.Redirect(w, r, "/b", http.StatusFound)
			return
		}
		ranged(w, r, "", body)
	})
	wantBytes(t, open(t, newStore(t, nil), url+"/a?token=secret"), body)
}

func TestForbiddenRedirectsAreRefused(t *testing.T) {
	address, connections := canary(t)
	_, port, _ := net.SplitHostPort(address)
	for name, target := range map[string]string{
		"loop":            "/",
		"file":            "file:///etc/passwd",
		"other scheme":    "ftp://example.com/a",
		"password":        "http://user:pw@127.0.0.1/",
		"private address": "http://127.0.0.2:" + port + "/",
		"metadata":        "http://169.254.169.254/latest/meta-data/",
		"mapped":          "http://[::ffff:127.0.0.2]:" + port + "/",
		"unspecified":     "http://0.0.0.0:" + port + "/",
	} {
		t.Run(name, func(t *testing.T) {
			// Only the first server's address is allowed.
			only := func(c *Config) { impatient(c); c.AllowedNetworks = only127001 }
			url := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, http.StatusFound) })
			wantCode(t, openError(t, newStore(t, only), url), job.InputDisallowed)
		})
	}
	if n := connections(); n != 0 {
		t.Errorf("%d connections reached the canary", n)
	}
}

func TestEndOfContextIsNoFailure(t *testing.T) {
	arrived := make(chan struct{}, 8)
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	_, err := newStore(t, nil).OpenSource(ctx, input(t, url))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
