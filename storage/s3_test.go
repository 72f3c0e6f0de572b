package storage

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"millrace/job"
	"millrace/storage/storagetest"
)

func startGateway(t *testing.T) *storagetest.Gateway {
	t.Helper()
	gateway := storagetest.Start(t)
	gateway.CreateBucket(t, "videos")
	return gateway
}

func TestBucketOutputKeepsItsPromises(t *testing.T) {
	gateway := startGateway(t)
	out := output(t, newStore(t, nil), gateway.URL("videos", "jobs/a b/"))
	exercise(t, out)
	if got := out.URL("720p/init.mp4"); got != "s3://videos/jobs/a%20b/720p/init.mp4" {
		t.Errorf("URL %s", got)
	}
}

func TestDefaultStorageIsUsedAndAllowed(t *testing.T) {
	gateway := startGateway(t)
	store := newStore(t, func(c *Config) {
		c.AllowedNetworks = nil
		c.DefaultS3 = S3Defaults{
			Endpoint: gateway.Endpoint, Region: gateway.Region,
			Credentials: &Credentials{AccessKey: gateway.AccessKey, SecretKey: gateway.SecretKey},
		}
	})
	out := output(t, store, "s3://videos/out")
	if _, err := out.Put(t.Context(), "a.mp4", "video/mp4", noise(1000)); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, open(t, store, "s3://videos/out/a.mp4"), noise(1000))
}

func TestObjectsGetTheirContentType(t *testing.T) {
	gateway := startGateway(t)
	store := newStore(t, nil)
	out := output(t, store, gateway.URL("videos", "out"))
	large := filepath.Join(t.TempDir(), "large")
	write(t, large, make([]byte, singlePut+1))
	if _, err := out.Put(t.Context(), "small", "video/iso.segment", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := out.PutFile(t.Context(), "large", "video/mp4", large); err != nil {
		t.Fatal(err)
	}
	b := out.at.(*bucketOutput)
	for name, want := range map[string]string{"small": "video/iso.segment", "large": "video/mp4"} {
		head, err := b.client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: b.bucket(), Key: b.key(name)})
		if err != nil || *head.ContentType != want {
			t.Errorf("%s: %v, %v", name, head, err)
		}
	}
}

func TestLargeFileGoesInPartsAndVerifies(t *testing.T) {
	gateway := startGateway(t)
	store := newStore(t, func(c *Config) { c.BlockBytes = 4 << 20 })
	out := output(t, store, gateway.URL("videos", "out"))
	path, body := filepath.Join(t.TempDir(), "720p.mp4"), noise(2*partBytes+12345)
	write(t, path, body)
	object, err := out.PutFile(t.Context(), "720p.mp4", "video/mp4", path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(object.ETag, "-3") {
		t.Errorf("ETag %s is not of 3 parts", object.ETag)
	}
	verify(t, out, []job.Object{object})
	wantBytes(t, open(t, store, gateway.URL("videos", "out/720p.mp4")), body)
	wantUploads(t, out, 0)
}

func wantUploads(t *testing.T, out *Output, want int) {
	t.Helper()
	b := out.at.(*bucketOutput)
	page, err := b.client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: b.bucket()})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Uploads) != want {
		t.Errorf("%d uploads are left, want %d", len(page.Uploads), want)
	}
}

// faulty runs a proxy before the gateway, and gives a URL maker for it. fault
// answers a request in the gateway's place by returning true.
func faulty(t *testing.T, gateway *storagetest.Gateway, fault func(http.ResponseWriter, *http.Request) bool) *storagetest.Gateway {
	t.Helper()
	target, err := url.Parse(gateway.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		ErrorLog: discardLog(),
		// The request's Host stays, since it is signed.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{DisableKeepAlives: true},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !fault(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	behind := *gateway
	behind.Endpoint = server.URL
	return &behind
}

func slowDown(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(`<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`))
}

func TestSlowDownIsRetriedUntilItPasses(t *testing.T) {
	var requests atomic.Int64
	gateway := faulty(t, startGateway(t), func(w http.ResponseWriter, _ *http.Request) bool {
		if requests.Add(1)%7 == 0 {
			return false
		}
		slowDown(w)
		return true
	})
	exercise(t, output(t, newStore(t, nil), gateway.URL("videos", "out")))
}

func TestSlowDownForGoodIsNamed(t *testing.T) {
	gateway := faulty(t, startGateway(t), func(w http.ResponseWriter, _ *http.Request) bool { slowDown(w); return true })
	store := newStore(t, impatient)
	wantCode(t, output(t, store, gateway.URL("videos", "out")).Check(t.Context()), job.OutputUnreachable)
	wantCode(t, openError(t, store, gateway.URL("videos", "a.mp4")), job.InputUnreachable)
}

func TestConnectionCutInAnUploadOfPartsIsRetried(t *testing.T) {
	var cuts atomic.Int64
	gateway := faulty(t, startGateway(t), func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("partNumber") && cuts.Add(1) <= 2 {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	out := output(t, newStore(t, nil), gateway.URL("videos", "out"))
	path := filepath.Join(t.TempDir(), "large")
	write(t, path, noise(singlePut+5))
	object, err := out.PutFile(t.Context(), "large", "video/mp4", path)
	if err != nil {
		t.Fatal(err)
	}
	verify(t, out, []job.Object{object})
	wantUploads(t, out, 0)
}

func TestLostAnswerToTheLastRequestOfAnUploadIsSuccess(t *testing.T) {
	behind := startGateway(t)
	var lost atomic.Bool
	gateway := faulty(t, behind, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") && lost.CompareAndSwap(false, true) {
			target, _ := url.Parse(behind.Endpoint)
			again := r.Clone(r.Context())
			again.RequestURI, again.URL.Scheme, again.URL.Host = "", target.Scheme, target.Host
			response, err := http.DefaultTransport.RoundTrip(again)
			if err != nil || response.StatusCode != http.StatusOK {
				t.Errorf("complete: %v, %v", response, err)
			}
			_ = response.Body.Close()
			http.DefaultTransport.(*http.Transport).CloseIdleConnections()
			panic(http.ErrAbortHandler)
		}
		return false
	})
	out := output(t, newStore(t, nil), gateway.URL("videos", "out"))
	path := filepath.Join(t.TempDir(), "large")
	write(t, path, noise(singlePut+5))
	object, err := out.PutFile(t.Context(), "large", "video/mp4", path)
	if err != nil || !lost.Load() {
		t.Fatal(err, lost.Load())
	}
	verify(t, out, []job.Object{object})
}

func TestFailedUploadLeavesNoParts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large")
	write(t, path, noise(2*partBytes+5))
	for name, fault := range map[string]func(w http.ResponseWriter, leave func()){
		"refused":   func(w http.ResponseWriter, _ func()) { w.WriteHeader(http.StatusForbidden) },
		"cancelled": func(_ http.ResponseWriter, leave func()) { leave(); panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			gateway := faulty(t, startGateway(t), func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Query().Get("partNumber") == "2" {
					fault(w, cancel)
					return true
				}
				return false
			})
			out := output(t, newStore(t, nil), gateway.URL("videos", "out"))
			_, err := out.PutFile(ctx, "large", "video/mp4", path)
			if name == "cancelled" {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			} else {
				wantCode(t, err, job.OutputAccessDenied)
			}
			wantUploads(t, out, 0)
			if names := listNames(t, out, ""); len(names) != 0 {
				t.Errorf("there is %v", names)
			}
		})
	}
}

func TestAbortUploadsSweepsOnlyItsPrefix(t *testing.T) {
	gateway := startGateway(t)
	store := newStore(t, nil)
	out, other := output(t, store, gateway.URL("videos", "out")), output(t, store, gateway.URL("videos", "other"))
	for _, o := range []*Output{out, other} {
		b := o.at.(*bucketOutput)
		if _, err := b.client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: b.bucket(), Key: b.key("a")}); err != nil {
			t.Fatal(err)
		}
	}
	wantUploads(t, out, 2)
	if err := out.AbortUploads(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantUploads(t, out, 1)
}

func TestBucketTroubleIsNamedWithoutSecrets(t *testing.T) {
	gateway := startGateway(t)
	store := newStore(t, nil)
	wrongKey, wrongSecret, nobody := *gateway, *gateway, *gateway
	wrongKey.AccessKey, wrongSecret.SecretKey = "nobody-knows-this", "this-is-not-it-at-all"
	nobody.Endpoint = "http://127.0.0.1:1"
	write(t, filepath.Join(gateway.Dir, "videos", "empty.mp4"), nil)
	tests := []struct {
		name          string
		store         *Store
		url           string
		input, output job.Code
	}{
		{"missing bucket", store, gateway.URL("nowhere", "a.mp4"), job.InputNotFound, job.OutputBucketNotFound},
		{"missing key", store, gateway.URL("videos", "missing.mp4"), job.InputNotFound, ""},
		{"empty", store, gateway.URL("videos", "empty.mp4"), job.InputEmpty, ""},
		{"wrong key", store, wrongKey.URL("videos", "a.mp4"), job.InputAccessDenied, job.OutputAccessDenied},
		{"wrong secret", store, wrongSecret.URL("videos", "a.mp4"), job.InputAccessDenied, job.OutputAccessDenied},
		{"nobody there", newStore(t, impatient), nobody.URL("videos", "a.mp4"), job.InputUnreachable, job.OutputUnreachable},
		{"forbidden address", newStore(t, func(c *Config) { c.AllowedNetworks = []netip.Prefix{} }), gateway.URL("videos", "a.mp4"), job.InputDisallowed, job.OutputDisallowed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			noSecrets := func(message string) {
				for _, secret := range []string{gateway.AccessKey, gateway.SecretKey, wrongKey.AccessKey, wrongSecret.SecretKey} {
					if strings.Contains(message, secret) {
						t.Errorf("message %q", message)
					}
				}
			}
			noSecrets(wantCode(t, openError(t, test.store, test.url), test.input))
			if test.output != "" {
				noSecrets(wantCode(t, output(t, test.store, test.url).Check(t.Context()), test.output))
			}
		})
	}
}

func TestObjectThatChangesUnderAReaderIsNoticed(t *testing.T) {
	gateway := startGateway(t)
	store := newStore(t, nil)
	out := output(t, store, gateway.URL("videos", "in"))
	if _, err := out.Put(t.Context(), "a.mp4", "video/mp4", noise(300_000)); err != nil {
		t.Fatal(err)
	}
	source := open(t, store, gateway.URL("videos", "in/a.mp4"))
	if _, err := out.Put(t.Context(), "a.mp4", "video/mp4", noise(300_001)[1:]); err != nil {
		t.Fatal(err)
	}
	_, err := readAll(t.Context(), source)
	wantCode(t, err, job.InputChanged)
}

func TestVerifyNoticesBytesChangedBehindTheStore(t *testing.T) {
	gateway := startGateway(t)
	out := output(t, newStore(t, nil), gateway.URL("videos", "out"))
	object, err := out.Put(t.Context(), "a.m4s", "video/iso.segment", noise(1000))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(gateway.Dir, "videos", "out", "a.m4s")); err != nil {
		t.Fatal(err)
	}
	verify(t, out, []job.Object{object}, "a.m4s")
	write(t, filepath.Join(gateway.Dir, "videos", "out", "a.m4s"), noise(1001)[1:])
	verify(t, out, []job.Object{object}, "a.m4s")
}
