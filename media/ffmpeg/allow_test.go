package ffmpeg

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"millrace/job"
)

// listen is a canary: it counts who connects.
func listen(t *testing.T) (address string, connections *atomic.Int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections = new(atomic.Int64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return listener.Addr().String(), connections
}

func TestPlaylistsAndScriptsNamedMP4AreRefusedUnopened(t *testing.T) {
	address, connections := listen(t)
	canary := clip(t)
	for name, content := range map[string]string{
		"hls":      "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://%[1]s/x.ts\n#EXTINF:5,\nfile://%[2]s\n#EXT-X-ENDLIST\n",
		"ffconcat": "ffconcat version 1.0\nfile %[2]s\nfile http://%[1]s/x.ts\n",
		"dash":     `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" mediaPresentationDuration="PT5S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>http://%[1]s/%[2]s</BaseURL></Representation></AdaptationSet></Period></MPD>`,
		"sdp":      "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n%.0[1]s%.0[2]s",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "film.mp4"), fmt.Appendf(nil, content, address, canary), 0o600); err != nil {
				t.Fatal(err)
			}
			url, _ := serve(t, dir)
			url += "/film.mp4"
			_, err := tools(t).Probe(t.Context(), url)
			wantFailure(t, err, job.UnsupportedContainer, "is not an allowed container")
			_, err = tools(t).Run(t.Context(), Command{Args: append(InputArgs(url), "-f", "null", "-"), Dir: dir})
			wantFailure(t, err, job.UnsupportedContainer, "is not an allowed container")
			if connections.Load() != 0 {
				t.Error("the canary was touched")
			}
		})
	}
}

func TestDecoderOffTheListIsNamed(t *testing.T) {
	for _, codec := range []string{"svq1", "cinepak"} {
		film := makeVideo(t, "film.mov", "-f", "lavfi", "-i", "testsrc2=s=160x120:r=5:d=0.4", "-c:v", codec)
		_, err := tools(t).Probe(t.Context(), film)
		wantFailure(t, err, job.UnsupportedCodec, "codec "+codec)
	}
}

func TestAllowListsNameWhatThisFFmpegHas(t *testing.T) {
	features, err := tools(t).Features(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Decoders of devices and of optional libraries may be missing in a build.
	for _, name := range []string{"h264", "hevc", "vp9", "av1", "mpeg2video", "prores", "aac", "ac3", "mov_text"} {
		if !features.Decoders[name] {
			t.Errorf("no decoder %s", name)
		}
	}
}

func TestTooManyStreamsAreRefused(t *testing.T) {
	args := []string{"-f", "lavfi", "-i", "anullsrc=d=0.1"}
	for range MaxStreams + 1 {
		args = append(args, "-map", "0")
	}
	film := makeVideo(t, "film.mkv", append(args, "-c:a", "pcm_u8")...)
	_, err := tools(t).Probe(t.Context(), film)
	wantFailure(t, err, job.LimitExceeded, "more streams")
}

func TestNameOfAFileIsNeverAProtocolOrAnOption(t *testing.T) {
	for url, want := range map[string]string{
		"-version": "file:-version", "concat:a|b": "file:concat:a|b", "/x.mp4": "file:/x.mp4", "file:/x": "file:/x",
		"http://127.0.0.1:1/x": "http://127.0.0.1:1/x", "https://h/x": "file:https://h/x",
	} {
		args := InputArgs(url)
		if got := args[len(args)-1]; got != want {
			t.Errorf("%s becomes %s, want %s", url, got, want)
		}
	}
}
