package storage

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// HTTPOptions are the settings of NewHTTPClient; zero fields get the defaults
// that their comments name.
type HTTPOptions struct {
	ConnectTimeout time.Duration  // to connect, and again for the TLS handshake; default 10 s
	HeaderTimeout  time.Duration  // from request to response header; default none: use the request's context
	MaxRedirects   int            // followed; default 0: a redirect is returned as the response
	MaxConnections int            // per host; default 64
	RootCAs        *x509.CertPool // default the system's
	Resolver       *net.Resolver  // default the system's
}

// RedirectError is a redirect that was not followed.
type RedirectError struct {
	Reason string
}

func (e *RedirectError) Error() string { return "redirect refused: " + e.Reason }

// NewHTTPClient gives a client that connects only where rules let it, on each
// redirect again. It uses no proxy, since a proxy would resolve names by itself.
// Call CloseIdleConnections on it when done.
func NewHTTPClient(rules DialRules, options HTTPOptions) *http.Client {
	dialer := newDialer(options)
	dialer.ControlContext = rules.Control
	return newClient(dialer, options)
}

func newDialer(options HTTPOptions) *net.Dialer {
	return &net.Dialer{
		Timeout:   orDefault(options.ConnectTimeout, 10*time.Second),
		KeepAlive: 15 * time.Second,
		Resolver:  options.Resolver,
	}
}

func newClient(dialer *net.Dialer, options HTTPOptions) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: options.RootCAs, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    orDefault(options.ConnectTimeout, 10*time.Second),
			ResponseHeaderTimeout:  options.HeaderTimeout,
			MaxConnsPerHost:        orDefault(options.MaxConnections, 64),
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        60 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
		},
		CheckRedirect: redirectPolicy(options.MaxRedirects),
	}
}

func redirectPolicy(most int) func(*http.Request, []*http.Request) error {
	return func(next *http.Request, before []*http.Request) error {
		if most == 0 {
			return http.ErrUseLastResponse
		}
		// net/http sets Referer to the URL before, which may be presigned.
		next.Header.Del("Referer")
		last := before[len(before)-1].URL.Scheme
		switch {
		case len(before) > most:
			return &RedirectError{fmt.Sprintf("more than %d in a row", most)}
		case next.URL.Scheme != "http" && next.URL.Scheme != "https":
			return &RedirectError{"it leads to a scheme that is neither http nor https"}
		case last == "https" && next.URL.Scheme == "http":
			return &RedirectError{"it leads from https to http"}
		case next.URL.User != nil:
			return &RedirectError{"it leads to a URL with a password"}
		}
		return nil
	}
}

// loadCAs is the system's certificate authorities and those of a PEM file.
func loadCAs(pem []byte) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("it has no PEM certificate")
	}
	return pool, nil
}

// orDefault is value, or fallback where value is zero.
func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}
