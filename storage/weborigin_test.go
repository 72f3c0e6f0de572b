package storage

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace/job"
)

// serve runs a server until the test ends and gives its URL.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// ranged serves body with ranges under the ETag.
func ranged(w http.ResponseWriter, r *http.Request, etag string, body []byte) {
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	w.Header().Set("Content-Type", "video/mp4")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// cutOff breaks the connection off after n more bytes of body.
func cutOff(w http.ResponseWriter, body []byte, n int) {
	_, _ = w.Write(body[:min(n, len(body))])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func TestRangedSourceIsReadInBlocksEachFetchedOnce(t *testing.T) {
	body := noise(1<<20 + 17)
	var requests atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "identity" {
			t.Error("compression was not refused")
		}
		requests.Add(1)
		ranged(w, r, `"v1"`, body)
	})
	store := newStore(t, nil)
	source := open(t, store, url+"/a.mp4")
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			if got, err := readAll(t.Context(), source); err != nil || !bytes.Equal(got, body) {
				t.Errorf("read: %v", err)
			}
		})
	}
	readers.Wait()
	if got, want := requests.Load(), int64(17); got != want {
		t.Errorf("%d requests for %d blocks", got, want)
	}
	again := open(t, store, url+"/a.mp4")
	wantBytes(t, again, body)
	if got, want := requests.Load(), int64(18); got != want {
		t.Errorf("%d requests after opening again, want %d", got, want)
	}
	if again.Identity() != source.Identity() || !strings.Contains(source.Identity(), `"v1"`) {
		t.Errorf("identities %q and %q", source.Identity(), again.Identity())
	}
}

func TestReadAtKeepsToTheSource(t *testing.T) {
	body := noise(100_000)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { ranged(w, r, `"v1"`, body) })
	source := open(t, newStore(t, nil), url)
	p := make([]byte, 100)
	for _, off := range []int64{0, 65_500, 99_900} {
		if n, err := source.ReadAt(p, off); n != 100 || err != nil || !bytes.Equal(p, body[off:off+100]) {
			t.Errorf("at %d: %d, %v", off, n, err)
		}
	}
	if n, err := source.ReadAt(p, 99_950); n != 50 || err == nil || !bytes.Equal(p[:50], body[99_950:]) {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if n, err := source.ReadAt(p, 100_000); n != 0 || err == nil {
		t.Errorf("behind the end: %d, %v", n, err)
	}
	if _, err := source.ReadAt(p, -1); err == nil {
		t.Error("a negative offset is read")
	}
}

func TestSourceWithoutRangesIsDownloadedOnce(t *testing.T) {
	body := noise(300_000)
	for name, header := range map[string]func(http.Header){
		"with length and tag":    func(h http.Header) { h.Set("Content-Length", strconv.Itoa(len(body))); h.Set("ETag", `"v1"`) },
		"with length":            func(h http.Header) { h.Set("Content-Length", strconv.Itoa(len(body))) },
		"with nothing (chunked)": func(http.Header) {},
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int64
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				header(w.Header())
				_, _ = w.Write(body)
			})
			store := newStore(t, nil)
			source := open(t, store, url)
			wantBytes(t, source, body)
			wantBytes(t, source, body)
			if requests.Load() != 1 {
				t.Errorf("%d requests", requests.Load())
			}
			wantBytes(t, open(t, store, url), body)
			if source.Identity() == "" {
				t.Error("no identity")
			}
		})
	}
}

func TestResetMidBodyIsResumedWhereItStopped(t *testing.T) {
	body := noise(200_000)
	var asked sync.Map
	var cuts atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		from := r.Header.Get("Range")
		if _, seen := asked.LoadOrStore(from, true); seen {
			t.Errorf("%s was asked again", from)
		}
		if cuts.Add(1) <= 3 {
			first, last, _ := strings.Cut(strings.TrimPrefix(from, "bytes="), "-")
			start, _ := strconv.Atoi(first)
			end, _ := strconv.Atoi(last)
			end = min(end, len(body)-1)
			w.Header().Set("ETag", `"v1"`)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, end, len(body)))
			w.Header().Set("Content-Length", strconv.Itoa(end-start+1))
			w.WriteHeader(http.StatusPartialContent)
			cutOff(w, body[start:], 1000)
		}
		ranged(w, r, `"v1"`, body)
	})
	wantBytes(t, open(t, newStore(t, nil), url), body)
}

func TestResetWithoutRangesStartsAgain(t *testing.T) {
	body := noise(200_000)
	var requests atomic.Int64
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		if requests.Add(1) == 1 {
			cutOff(w, body, 1000)
		}
		_, _ = w.Write(body)
	})
	wantBytes(t, open(t, newStore(t, nil), url), body)
}

func TestTroubleThatPassesIsRetried(t *testing.T) {
	body := noise(1000)
	for _, status := range []int{500, 502, 503, 429, 408} {
		var requests atomic.Int64
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if requests.Add(1) <= 3 {
				w.Header().Set("Retry-After", "86400") // capped by Retry.Max
				w.WriteHeader(status)
				return
			}
			ranged(w, r, "", body)
		})
		wantBytes(t, open(t, newStore(t, nil), url), body)
	}
}

func TestStatusesBecomeNamedFailures(t *testing.T) {
	for status, code := range map[int]job.Code{
		404: job.InputNotFound, 410: job.InputNotFound, 401: job.InputAccessDenied, 403: job.InputAccessDenied,
		400: job.InputAccessDenied, 204: job.InputEmpty, 500: job.InputUnreachable, 503: job.InputUnreachable, 429: job.InputUnreachable,
	} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		message := wantCode(t, openError(t, newStore(t, impatient), url+"/a.mp4?token=hidden"), code)
		if strings.Contains(message, "hidden") || !strings.Contains(message, "/a.mp4?token=***") {
			t.Errorf("%d: message %q", status, message)
		}
	}
}

func TestEmptySourceIsNamed(t *testing.T) {
	store := newStore(t, impatient)
	for name, handler := range map[string]http.HandlerFunc{
		"200 with length 0": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "0") },
		"416":               func(w http.ResponseWriter, r *http.Request) { ranged(w, r, "", nil) },
		"chunked": func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
		},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, openError(t, store, serve(t, handler)), job.InputEmpty) })
	}
}

func TestTooLargeSourceIsRefused(t *testing.T) {
	body := noise(200_000)
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(body); err != nil {
				return
			}
		}
	}
	small := func(c *Config) { impatient(c); c.MaxSourceBytes = 150_000 }
	for name, handler := range map[string]http.HandlerFunc{
		"ranged":  func(w http.ResponseWriter, r *http.Request) { ranged(w, r, "", body) },
		"whole":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) },
		"endless": endless,
	} {
		t.Run(name, func(t *testing.T) {
			wantCode(t, openError(t, newStore(t, small), serve(t, handler)), job.InputTooLarge)
		})
	}
}

func TestWrongContentLengthIsNamed(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5000")
		cutOff(w, noise(100), 100)
	})
	wantCode(t, openError(t, newStore(t, impatient), url), job.InputUnreachable)
}

func TestCompressedTransferIsRefused(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(noise(100))
	})
	wantCode(t, openError(t, newStore(t, nil), url), job.UnsupportedContainer)
}

func TestChangedSourceIsNoticed(t *testing.T) {
	body, longer := noise(200_000), noise(200_001)
	for name, after := range map[string]http.HandlerFunc{
		"other tag":  func(w http.ResponseWriter, r *http.Request) { ranged(w, r, `"v2"`, body) },
		"other size": func(w http.ResponseWriter, r *http.Request) { r.Header.Del("If-Range"); ranged(w, r, "", longer) },
		"shorter": func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("If-Range")
			ranged(w, r, `"v1"`, body[:10])
		},
		"precondition":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusPreconditionFailed) },
		"whole, same tag": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("ETag", `"v1"`); _, _ = w.Write(body) },
	} {
		t.Run(name, func(t *testing.T) {
			var opened atomic.Bool
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if opened.Load() {
					after(w, r)
					return
				}
				ranged(w, r, `"v1"`, body)
			})
			source := open(t, newStore(t, impatient), url)
			opened.Store(true)
			_, err := readAll(t.Context(), source)
			wantCode(t, err, job.InputChanged)
		})
	}
}

func TestExpiredSignatureInMidJobIsNamed(t *testing.T) {
	body := noise(200_000)
	var opened atomic.Bool
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if opened.Load() {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		ranged(w, r, "", body)
	})
	source := open(t, newStore(t, nil), url)
	opened.Store(true)
	_, err := readAll(t.Context(), source)
	wantCode(t, err, job.InputAccessDenied)
}

func TestServersThatMisunderstandRangesAreReadWhole(t *testing.T) {
	body := noise(1000)
	for name, odd := range map[string]http.HandlerFunc{
		"refuses a range beyond the end": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes */1000")
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		},
		"doesn't tell the size": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-999/*")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(body)
		},
	} {
		t.Run(name, func(t *testing.T) {
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Range") != "" {
					odd(w, r)
					return
				}
				_, _ = w.Write(body)
			})
			wantBytes(t, open(t, newStore(t, impatient), url), body)
		})
	}
}

func TestAnswersWithAnotherRangeAreRefused(t *testing.T) {
	for _, header := range []string{"", "bytes 5-9/10", "bytes 0-/10", "bytes 9-0/10", "bytes 0-9/5", "items 0-9/10", "bytes 0-99999999/100000000", "bytes -1-9/10"} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", header)
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(noise(10))
		})
		wantCode(t, openError(t, newStore(t, impatient), url), job.InputUnreachable)
	}
}

// servers are ways to serve body: by range, and whole.
func servers(body []byte) map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"ranged": func(w http.ResponseWriter, r *http.Request) { ranged(w, r, `"v1"`, body) },
		"whole":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) },
	}
}
