package storage

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"millrace/job"
)

func newLoopback(t *testing.T) *Loopback {
	t.Helper()
	loopback, err := NewLoopback(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = loopback.Close() })
	return loopback
}

// ask makes a request and reads its answer.
func ask(t *testing.T, method, url, byteRange string) (*http.Response, []byte, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if byteRange != "" {
		request.Header.Set("Range", byteRange)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, body, err
}

func TestLoopbackServesRanges(t *testing.T) {
	body := noise(200_000)
	url := serve(t, servers(body)["ranged"])
	served := newLoopback(t).Serve(open(t, newStore(t, nil), url))
	defer served.Release()
	tests := []struct {
		method, asked string
		status        int
		want          []byte
		contentRange  string
	}{
		{"GET", "", 200, body, ""},
		{"GET", "bytes=0-", 206, body, "bytes 0-199999/200000"},
		{"GET", "bytes=100-199", 206, body[100:200], "bytes 100-199/200000"},
		{"GET", "bytes=199990-300000", 206, body[199_990:], "bytes 199990-199999/200000"},
		{"GET", "bytes=-10", 206, body[199_990:], "bytes 199990-199999/200000"},
		{"GET", "bytes=200000-", 416, nil, "bytes */200000"},
		{"GET", "bytes=0-1,5-6", 200, body, ""},
		{"HEAD", "", 200, nil, ""},
		{"HEAD", "bytes=100-199", 206, nil, "bytes 100-199/200000"},
		{"POST", "", 405, nil, ""},
		{"DELETE", "", 405, nil, ""},
	}
	for _, test := range tests {
		response, got, err := ask(t, test.method, served.URL(), test.asked)
		if err != nil || response.StatusCode != test.status || response.Header.Get("Content-Range") != test.contentRange {
			t.Errorf("%s %s: %s, %q, %v", test.method, test.asked, response.Status, response.Header.Get("Content-Range"), err)
		}
		if test.status < 300 && !bytes.Equal(got, test.want) {
			t.Errorf("%s %s: wrong bytes", test.method, test.asked)
		}
	}
	if failure := served.Failure(); failure != nil {
		t.Errorf("failure %v", failure)
	}
}

func TestLoopbackShowsNothingElse(t *testing.T) {
	source := open(t, newStore(t, nil), serve(t, servers(noise(10))["ranged"]))
	loopback := newLoopback(t)
	first, second := loopback.Serve(source), loopback.Serve(source)
	defer second.Release()
	if first.URL() == second.URL() {
		t.Error("two have one URL")
	}
	first.Release()
	first.Release()
	base := second.URL()[:strings.LastIndex(second.URL(), "/")]
	for _, url := range []string{base + "/", base + "/x", second.URL() + "/", second.URL() + "/..", first.URL()} {
		if response, _, _ := ask(t, "GET", url, ""); response.StatusCode != http.StatusNotFound {
			t.Errorf("%s gives %s", url, response.Status)
		}
	}
}

func TestLoopbackRemembersWhyASourceFailed(t *testing.T) {
	body := noise(500_000)
	var opened atomic.Bool
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if opened.Load() {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		ranged(w, r, `"v1"`, body)
	})
	source := open(t, newStore(t, nil), url)
	served := newLoopback(t).Serve(source)
	defer served.Release()
	opened.Store(true)
	if _, got, err := ask(t, "GET", served.URL(), ""); err == nil {
		t.Errorf("%d bytes came without an error", len(got))
	}
	failure := served.Failure()
	if failure == nil || failure.Code != job.InputAccessDenied {
		t.Errorf("failure %v", failure)
	}
}

func TestLoopbackStopsReadingWhenTheClientIsGone(t *testing.T) {
	body := noise(500_000)
	asked, left := make(chan struct{}, 8), make(chan struct{}, 8)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Range"), "bytes=0-") {
			ranged(w, r, `"v1"`, body)
			return
		}
		asked <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	})
	served := newLoopback(t).Serve(open(t, newStore(t, nil), url))
	ctx, cancel := context.WithCancel(t.Context())
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, served.URL(), nil)
	request.Header.Set("Range", "bytes=300000-")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		if response, err := client.Do(request); err == nil {
			_, _ = io.ReadAll(response.Body)
			_ = response.Body.Close()
		}
	}()
	<-asked
	cancel()
	<-gone
	<-left // the source's server sees its client leave too
	served.Release()
	if failure := served.Failure(); failure != nil {
		t.Errorf("a client that left became %v", failure)
	}
}

func TestReleaseEndsReadsThatHang(t *testing.T) {
	body := noise(500_000)
	asked := make(chan struct{}, 8)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Range"), "bytes=0-") {
			ranged(w, r, `"v1"`, body)
			return
		}
		asked <- struct{}{}
		<-r.Context().Done()
	})
	served := newLoopback(t).Serve(open(t, newStore(t, nil), url))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = ask(t, "GET", served.URL(), "bytes=300000-")
	}()
	<-asked
	served.Release()
	<-done
}

func TestFFprobeReadsAnIndexAtTheEndThroughTheLoopback(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tail.mp4")
	encode := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=8",
		"-c:v", "libx264", "-preset", "ultrafast", "-qp", "4", path)
	if words, err := encode.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, words)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Index(body, []byte("moov")) < len(body)/2 {
		t.Fatal("the index isn't at the end")
	}
	for name, handler := range servers(body) {
		t.Run(name, func(t *testing.T) {
			served := newLoopback(t).Serve(open(t, newStore(t, nil), serve(t, handler)))
			defer served.Release()
			probe := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-count_packets", "-show_streams", "-of", "json", served.URL())
			words, err := probe.Output()
			if err != nil {
				t.Fatalf("ffprobe: %v", err)
			}
			var found struct {
				Streams []struct {
					Packets string `json:"nb_read_packets"`
				}
			}
			if err := json.Unmarshal(words, &found); err != nil || len(found.Streams) != 1 || found.Streams[0].Packets != "200" {
				t.Errorf("%v: %s", err, words)
			}
			if failure := served.Failure(); failure != nil || served.Bytes() == 0 {
				t.Errorf("failure %v after %d bytes", failure, served.Bytes())
			}
		})
	}
}
