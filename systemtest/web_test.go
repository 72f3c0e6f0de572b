package systemtest

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"millrace/job"
	"millrace/systemtest/rig"
)

// web is a server of one source, that can change its mind.
type web struct {
	*httptest.Server

	mu       sync.Mutex
	answer   http.HandlerFunc
	requests int
}

func newWeb(t *testing.T, answer http.HandlerFunc) *web {
	w := &web{answer: answer}
	w.Server = httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.requests++
		answer := w.answer
		w.mu.Unlock()
		answer(response, r)
	}))
	t.Cleanup(w.Close)
	return w
}

// now makes the server answer so from now on.
func (w *web) now(answer http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = answer
}

// withRanges serves bytes as good servers do.
func withRanges(content []byte, etag string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"`+etag+`"`)
		http.ServeContent(w, r, "clip.mp4", time.Time{}, bytes.NewReader(content))
	}
}

// withoutRanges serves all of it, whatever was asked for.
func withoutRanges(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "video/mp4")
		_, _ = w.Write(content)
	}
}

// cut stands for no status: the connection ends in the middle of an answer.
const cut = 0

// failing answers the first requests with a status, then as it should.
func failing(times int, status int, then http.HandlerFunc) http.HandlerFunc {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		times--
		fails := times >= 0
		mu.Unlock()
		switch {
		case fails && status == cut:
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(make([]byte, 10))
			panic(http.ErrAbortHandler)
		case fails:
			w.WriteHeader(status)
			return
		}
		then(w, r)
	}
}

func contentOf(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestAWebSourceIsReadWhateverItsServerCanDo(t *testing.T) {
	t.Parallel()
	content := contentOf(t, rig.Numbered(t, 10))
	p := newPeer(t, allowLoopback...)
	p.start()
	cases := map[string]http.HandlerFunc{
		"ranges":         withRanges(content, "one"),
		"no-ranges":      withoutRanges(content),
		"500-then-fine":  failing(3, http.StatusInternalServerError, withRanges(content, "one")),
		"cut-then-fine":  failing(2, cut, withRanges(content, "one")),
		"503-then-whole": failing(2, http.StatusServiceUnavailable, withoutRanges(content)),
	}
	ids := make(map[string]job.ID)
	for name, answer := range cases {
		asked := request(p, newWeb(t, answer).URL+"/clip.mp4?token=sesame", "240p")
		asked.OutputPath = p.output(name)
		ids[name] = p.submit(asked).ID
	}
	for name, id := range ids {
		completed := p.await(id, job.Completed)
		rig.CheckLadder(t, filepath.Join(p.outputs, name), rig.NumberedLadder(10, "240p"))
		if bytes.Contains([]byte(text(completed)), []byte("sesame")) {
			t.Errorf("%s shows the token in its URL: %s", name, completed.InputURL)
		}
	}
}

func TestASourceThatTurnsAgainstUsInMidJobEndsItInANamedError(t *testing.T) {
	content := contentOf(t, rig.Numbered(t, longSeconds))
	other := contentOf(t, rig.Numbered(t, longSeconds-1))
	for _, test := range []struct {
		name string
		then http.HandlerFunc
		code job.Code
	}{
		{"signature expires", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, job.InputAccessDenied},
		{"file is replaced", withRanges(other, "two"), job.InputChanged},
		{"file is removed", http.NotFound, job.InputNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ffmpeg := rig.NewStandIn(t)
			p := newPeer(t, append(ffmpeg.Flags(), allowLoopback...)...)
			p.start()
			source := newWeb(t, withRanges(content, "one"))
			// Two chunks have the source open, the others are yet to open it.
			door := ffmpeg.Hold(rig.AnyEncode)
			created := p.submit(request(p, source.URL+"/clip.mp4", "240p"))
			door.Reached()
			source.now(test.then)
			door.Open()
			p.awaitFailure(created.ID, test.code)
			if files := rig.FilesIn(t, filepath.Join(p.outputs, "out")); files["video.m3u8"] != 0 {
				t.Error("a failed job has published a master")
			}
		})
	}
}
