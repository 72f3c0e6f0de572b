package systemtest

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"millrace/job"
	"millrace/systemtest/rig"
)

//go:embed testdata/player.html
var player []byte

// browser is a headless Chromium that shows the test's player.
type browser struct {
	t   testing.TB
	ctx context.Context
}

// newBrowser opens the player on a folder's files. Without Chromium the test
// is skipped, and says so where nobody can overlook it.
func newBrowser(t testing.TB, dir string) *browser {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		fmt.Fprintf(os.Stderr, "\n!!! %s is SKIPPED: there is no Chromium. Playback in a browser is NOT tested. Install it: apt-get install chromium\n\n", t.Name())
		t.Skip("there is no chromium")
	}
	files := http.FileServer(http.Dir(dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/player" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write(player)
			return
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
	)
	ctx, cancel := context.WithTimeout(t.Context(), rig.Patience)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate(server.URL+"/player")); err != nil {
		t.Fatalf("open the player in %s: %v", program, err)
	}
	return &browser{t: t, ctx: ctx}
}

// ask calls one of the player's functions and reads what it answers.
func ask[T any](b *browser, function string, args ...any) T {
	b.t.Helper()
	texts := make([]string, len(args))
	for i, arg := range args {
		text, err := json.Marshal(arg)
		if err != nil {
			b.t.Fatal(err)
		}
		texts[i] = string(text)
	}
	call := function + "(" + strings.Join(texts, ", ") + ")"
	answer, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](call, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", call, err)
	}
	return answer
}

func TestABrowserPlaysTheJobsOutputWithoutGaps(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.start()
	created := p.submit(request(p, p.put(rig.Numbered(t, longSeconds), "clip.mp4"), "240p", "360p"))
	completed := p.await(created.ID, job.Completed)
	dir := filepath.Join(p.outputs, "out")
	for _, variant := range rig.MasterOf(t, dir).Variants {
		rung := filepath.Dir(variant.URI)
		t.Run(rung, func(t *testing.T) {
			video, audio, found := strings.Cut(variant.Codecs, ",")
			if !found {
				t.Fatalf("CODECS %q names no sound", variant.Codecs)
			}
			playsWithoutGaps(t, newBrowser(t, dir), completed, []map[string]string{
				{"playlist": rung + "/index.m3u8", "type": fmt.Sprintf("video/mp4; codecs=%q", video)},
				{"playlist": "audio/index.m3u8", "type": fmt.Sprintf("audio/mp4; codecs=%q", audio)},
			})
		})
	}
}

func playsWithoutGaps(t *testing.T, b *browser, completed job.View, tracks []map[string]string) {
	t.Helper()
	const frame = 1.0 / rig.ClipRate
	loaded := ask[struct {
		Duration float64        `json:"duration"`
		All      [][2]float64   `json:"all"`
		Tracks   [][][2]float64 `json:"tracks"`
	}](b, "load", tracks)
	for i, buffered := range append(loaded.Tracks, loaded.All) {
		if len(buffered) != 1 || buffered[0][0] != 0 || math.Abs(buffered[0][1]-longSeconds) > frame {
			t.Errorf("buffered of track %d is %v, want one range 0–%d", i, buffered, longSeconds)
		}
	}
	if math.Abs(loaded.Duration-longSeconds) > frame {
		t.Errorf("the browser says it lasts %.3f s, want %d", loaded.Duration, longSeconds)
	}

	// The first picture, both sides of each chunk's joint, and the last one.
	looks := []int{0, longSeconds*rig.ClipRate - 1}
	joints := 0
	for _, k := range completed.Tasks {
		if k.Kind == job.EncodeTask && k.Chunk.Frames.Start > 0 {
			joints++
			looks = append(looks, int(k.Chunk.Frames.Start)-1, int(k.Chunk.Frames.Start))
		}
	}
	if joints == 0 {
		t.Error("the job was not cut into chunks")
	}
	for _, want := range looks {
		shown := ask[struct {
			Number    int     `json:"number"`
			MediaTime float64 `json:"mediaTime"`
		}](b, "seek", (float64(want)+0.5)*frame, frame, rig.Bits)
		if shown.Number != want || math.Abs(shown.MediaTime-float64(want)*frame) > frame/2 {
			t.Errorf("at frame %d's time the browser shows frame %d (and says %.3f s)", want, shown.Number, shown.MediaTime)
		}
	}

	played := ask[struct {
		At     float64 `json:"at"`
		Frames int     `json:"frames"`
	}](b, "play", 2)
	if played.At < 2 || played.Frames < 2 {
		t.Errorf("playing came to %.3f s with %d frames", played.At, played.Frames)
	}
}
