package storage

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"testing"
)

// serveTLS runs a server with a certificate that only the PEM file vouches for.
func serveTLS(t *testing.T, handler http.Handler) (url, authorities string) {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	authorities = filepath.Join(t.TempDir(), "ca.pem")
	write(t, authorities, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	return server.URL, authorities
}

func TestOperatorsAuthoritiesAreTrustedForSources(t *testing.T) {
	url, authorities := serveTLS(t, servers(noise(1000))["ranged"])
	store := newStore(t, func(c *Config) { c.RootCAs = authorities })
	wantBytes(t, open(t, store, url+"/a.mp4"), noise(1000))
}

func TestOperatorsAuthoritiesAreTrustedForS3(t *testing.T) {
	gateway := startGateway(t)
	target, err := url.Parse(gateway.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Transport: &http.Transport{DisableKeepAlives: true},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
	}
	endpoint, authorities := serveTLS(t, proxy)
	store := newStore(t, func(c *Config) {
		c.DefaultS3 = S3Defaults{
			Endpoint: endpoint, CAFile: authorities,
			Credentials: &Credentials{AccessKey: gateway.AccessKey, SecretKey: gateway.SecretKey},
		}
	})
	if err := output(t, store, "s3://videos/out").Check(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestBadConfigurationIsRefusedAtStart(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/not.pem", []byte("hello"))
	for name, config := range map[string]Config{
		"relative source root": {SourceRoots: []string{"videos"}},
		"relative output root": {OutputRoots: []string{"./out"}},
		"missing authorities":  {RootCAs: dir + "/missing.pem"},
		"bad authorities":      {RootCAs: dir + "/not.pem"},
		"bad S3 authorities":   {DefaultS3: S3Defaults{CAFile: dir + "/not.pem"}},
		"bad endpoint":         {DefaultS3: S3Defaults{Endpoint: "ftp://x"}},
		"negative cache":       {CacheBytes: -1},
	} {
		if store, err := New(config); err == nil {
			_ = store.Close()
			t.Errorf("%s is accepted", name)
		}
	}
}
