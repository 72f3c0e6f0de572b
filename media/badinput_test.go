package media

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/job"
	"millrace/media/mediatest"
)

// written is a source with these bytes.
func written(t *testing.T, name string, body []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// changed is a source that ffmpeg makes, with its bytes changed.
func changed(t *testing.T, name, command string, change func([]byte) []byte) string {
	t.Helper()
	body, err := os.ReadFile(mediatest.Make(t, name, words(command)...))
	if err != nil {
		t.Fatal(err)
	}
	return written(t, "changed-"+name, change(body))
}

func upTo(share float64) func([]byte) []byte {
	return func(b []byte) []byte { return b[:int(share*float64(len(b)))] }
}

// inspect gives the failure that a source ends in. None is an error of the test.
func inspect(t *testing.T, path string) *job.Failure {
	t.Helper()
	w := start(t, path, tinySpec())
	plan, err := w.toolbox.Inspect(t.Context(), w.in, w.spec, w.encoder)
	var failure *job.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("got %v and the plan %+v", err, plan)
	}
	return failure
}

func zipped(t *testing.T) []byte {
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	f, err := archive.Create("video.mp4")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.Write(bytes.Repeat([]byte("not a video"), 1000))
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func noise(length int) []byte {
	b := make([]byte, length)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

const shortClip = "-f lavfi -i testsrc2=s=192x108:r=25:d=6 -f lavfi -i sine=d=6 -c:v libx264 -preset veryfast -pix_fmt yuv420p -g 25 -c:a aac "

func TestBadInputEndsInItsOwnError(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T) string
		want []job.Code
	}{
		{"text", func(t *testing.T) string {
			return written(t, "a.mp4", bytes.Repeat([]byte("This is no video.\n"), 5000))
		}, []job.Code{job.MediaNotRecognised, job.UnsupportedContainer}},
		{"a text of x", func(t *testing.T) string { return written(t, "a.mp4", bytes.Repeat([]byte("x"), 5000)) }, []job.Code{job.MediaNotRecognised, job.UnsupportedContainer}},
		{"one byte", func(t *testing.T) string { return written(t, "a.mp4", []byte{0}) }, []job.Code{job.MediaNotRecognised}},
		{"zeros", func(t *testing.T) string { return written(t, "a.mp4", make([]byte, 1<<20)) }, []job.Code{job.MediaNotRecognised}},
		{"random bytes", func(t *testing.T) string { return written(t, "a.mp4", noise(1<<20)) }, []job.Code{job.MediaNotRecognised, job.UnsupportedContainer, job.NoVideoStream}},
		{"an archive", func(t *testing.T) string { return written(t, "a.mp4", zipped(t)) }, []job.Code{job.MediaNotRecognised, job.UnsupportedContainer}},
		{"a page", func(t *testing.T) string {
			return written(t, "a.mp4", []byte("<!DOCTYPE html><html><head><title>404</title></head><body>Not found</body></html>"))
		}, []job.Code{job.MediaNotRecognised}},
		{"a PNG", func(t *testing.T) string {
			return mediatest.Make(t, "a.png", words("-f lavfi -i testsrc2=s=192x108 -frames:v 1")...)
		}, []job.Code{job.UnsupportedContainer}},
		{"a JPEG", func(t *testing.T) string {
			return mediatest.Make(t, "a.jpg", words("-f lavfi -i testsrc2=s=192x108 -frames:v 1")...)
		}, []job.Code{job.UnsupportedContainer}},
		{"MP3", func(t *testing.T) string { return mediatest.Make(t, "a.mp3", words("-f lavfi -i sine=d=3")...) }, []job.Code{job.NoVideoStream}},
		{"MP3 with a cover", func(t *testing.T) string { return covered(t, "a.mp3") }, []job.Code{job.NoVideoStream}},
		{"M4A with a cover", func(t *testing.T) string { return covered(t, "a.m4a") }, []job.Code{job.NoVideoStream}},
		{"WAV", func(t *testing.T) string { return mediatest.Make(t, "a.wav", words("-f lavfi -i sine=d=3")...) }, []job.Code{job.NoVideoStream}},
		{"MP4 cut off, index first", func(t *testing.T) string { return changed(t, "a.mp4", shortClip+"-movflags +faststart", upTo(0.6)) }, []job.Code{job.InputTruncated}},
		{"MP4 cut off, index last", func(t *testing.T) string { return changed(t, "a.mp4", shortClip, upTo(0.6)) }, []job.Code{job.MediaCorrupt}},
		{"Matroska cut off", func(t *testing.T) string { return changed(t, "a.mkv", shortClip, upTo(0.5)) }, []job.Code{job.InputTruncated}},
		{"FLV cut off", func(t *testing.T) string { return changed(t, "a.flv", shortClip, upTo(0.5)) }, []job.Code{job.InputTruncated}},
		{"MP4 without its index", func(t *testing.T) string {
			return changed(t, "a.mp4", shortClip, func(b []byte) []byte { return b[:bytes.Index(b, []byte("moov"))-4] })
		}, []job.Code{job.MediaCorrupt}},
		{"MP4 whose pictures are noise", func(t *testing.T) string {
			return changed(t, "a.mp4", shortClip, func(b []byte) []byte {
				at := bytes.Index(b, []byte("mdat")) + 4
				end := bytes.Index(b, []byte("moov")) - 4
				copy(b[at:end], noise(end-at))
				return b
			})
		}, []job.Code{job.MediaCorrupt}},
		{"encrypted MP4", func(t *testing.T) string {
			return mediatest.Make(t, "a.mp4", words(shortClip+"-encryption_scheme cenc-aes-ctr -encryption_key 76a6c65c5ea762046bd749a2e632ccbb -encryption_kid a7e61c373e219033c21091fa607bf3b8")...)
		}, []job.Code{job.MediaEncrypted}},
		{"a codec that isn't decoded", func(t *testing.T) string {
			return mediatest.Make(t, "a.avi", words("-f lavfi -i testsrc2=s=192x108:r=25:d=2 -c:v cinepak")...)
		}, []job.Code{job.UnsupportedCodec}},
		{"a codec that nobody knows", func(t *testing.T) string {
			return changed(t, "a.mp4", shortClip, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("avc1"), []byte("zzzz")) })
		}, []job.Code{job.UnsupportedCodec}},
		{"an impossible picture", func(t *testing.T) string { return enormous(t, 65535) }, []job.Code{job.MediaCorrupt}},
		{"an enormous picture", func(t *testing.T) string { return enormous(t, 8100) }, []job.Code{job.LimitExceeded, job.MediaCorrupt}},
		{"a tiny picture", func(t *testing.T) string {
			return mediatest.Make(t, "a.mkv", words("-f lavfi -i color=s=64x64:r=25:d=1,format=gray,scale=1:1 -c:v ffv1")...)
		}, []job.Code{job.LimitExceeded}},
		{"three pictures in ten hours", func(t *testing.T) string {
			return mediatest.Make(t, "a.mp4", "-f", "lavfi", "-i", "testsrc2=s=192x108:r=30:d=0.1", "-vf", `setpts='if(eq(N\,2)\,36000/TB\,PTS)'`, "-fps_mode", "vfr", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
		}, []job.Code{job.LimitExceeded}},
		{"two hundred streams", func(t *testing.T) string {
			args := words("-f lavfi -i sine=d=0.2 -f lavfi -i testsrc2=s=192x108:r=25:d=0.2 -map 1")
			for range 200 {
				args = append(args, "-map", "0")
			}
			return mediatest.Make(t, "a.mkv", append(args, words("-c:v libx264 -c:a pcm_s16le")...)...)
		}, []job.Code{job.LimitExceeded}},
		{"a thousand streams", func(t *testing.T) string {
			args := words("-f lavfi -i anullsrc=r=8000 -f lavfi -i testsrc2=s=192x108:r=25:d=0.04 -map 1 -t 0.04")
			for range 999 {
				args = append(args, "-map", "0")
			}
			return mediatest.Make(t, "a.mp4", append(args, words("-c:v libx264 -c:a pcm_s16le -f mov")...)...)
		}, []job.Code{job.LimitExceeded}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			failure := inspect(t, c.make(t))
			if !slices.Contains(c.want, failure.Code) {
				t.Errorf("got %v, want %v", failure, c.want)
			}
			if failure.Message == "" || failure.Hint == "" {
				t.Errorf("%+v doesn't say what happened and what to do", failure)
			}
			t.Log(failure)
		})
	}
}

// covered is sound with a picture on its sleeve.
func covered(t *testing.T, name string) string {
	cover := mediatest.Make(t, "cover.jpg", words("-f lavfi -i testsrc2=s=192x108 -frames:v 1")...)
	return mediatest.Make(t, name, append([]string{"-i", cover}, words("-f lavfi -i sine=d=3 -map 1 -map 0 -c:v copy -disposition:v attached_pic")...)...)
}

// enormous claims square pictures of that side in its header.
func enormous(t *testing.T, side uint16) string {
	return changed(t, "a.mov", "-f lavfi -i testsrc2=s=192x108:r=25:d=1 -c:v qtrle", func(b []byte) []byte {
		at := bytes.Index(b, []byte("rle ")) + 4 + 24 // past what comes before the size in a sample entry
		binary.BigEndian.PutUint16(b[at:], side)
		binary.BigEndian.PutUint16(b[at+2:], side)
		return b
	})
}

// Each of these is opened by ffmpeg as what it is when nothing forbids it, and
// then reads what it names.
func TestSourceThatNamesOthersIsRefusedWithoutATouch(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	touched := make(chan string, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			touched <- connection.RemoteAddr().String()
			_ = connection.Close()
		}
	}()
	canary := mediatest.Make(t, "canary.mp4", words(shortClip)...)
	web := fmt.Sprintf("http://%s/canary.mp4", listener.Addr())
	for name, text := range map[string]string{
		"a playlist of a file":     "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nfile://" + canary + "\n#EXT-X-ENDLIST\n",
		"a playlist of an address": "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n" + web + "\n#EXT-X-ENDLIST\n",
		"a list to join":           "ffconcat version 1.0\nfile " + canary + "\n",
		"a session":                "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
		"a DASH manifest":          `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT6S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>` + web + `</BaseURL></Representation></AdaptationSet></Period></MPD>`,
	} {
		failure := inspect(t, written(t, "a.mp4", []byte(text)))
		if failure.Code != job.UnsupportedContainer && failure.Code != job.MediaNotRecognised {
			t.Errorf("%s: got %v", name, failure)
		}
		t.Logf("%s: %v", name, failure)
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	<-done
	if len(touched) > 0 {
		t.Errorf("%s was reached by %s", web, <-touched)
	}
}

func TestEmptySourceIsNamedSo(t *testing.T) {
	// A store refuses to open it; media never sees it.
	t.Parallel()
	path := written(t, "a.mp4", nil)
	if err := mediatest.OpenError(t, path); err == nil || !strings.Contains(err.Error(), string(job.InputEmpty)) {
		t.Errorf("got %v", err)
	}
}

// A source that is damaged within completes, or ends in MediaCorrupt, but never
// lacks frames.
func TestDamageWithinNeverCostsFrames(t *testing.T) {
	for _, file := range []string{"a.mp4", "a.mkv", "a.ts", "a.avi"} {
		for _, damage := range []int{64, 2000} {
			t.Run(fmt.Sprintf("%d bytes of %s", damage, file), func(t *testing.T) {
				t.Parallel()
				path := changed(t, file, shortClip, func(b []byte) []byte {
					copy(b[len(b)/2:], noise(damage))
					return b
				})
				w := start(t, path, tinySpec())
				var err error
				if w.plan, err = w.toolbox.Inspect(t.Context(), w.in, w.spec, w.encoder); err != nil {
					w.corrupt(err)
					return
				}
				w = w.chunked(t, 3)
				var warnings []string
				for _, chunk := range w.plan.Chunks {
					result, err := w.encode(chunk)
					if err != nil {
						w.corrupt(err)
						return
					}
					warnings = append(warnings, result.Warnings...)
					w.do(job.EncodeTaskID(chunk.Index), job.EncodeTask, func(context.Context) (job.Result, error) { return result, nil })
				}
				t.Logf("completes with the warnings %q", warnings)
				if len(w.plan.Audio) > 0 {
					w.do("audio", job.AudioTask, func(ctx context.Context) (job.Result, error) {
						return w.toolbox.Audio(ctx, w.in, w.output, w.plan, 1, nil)
					})
				}
				if _, err := w.pack(); err != nil {
					t.Fatal(err)
				}
				w.checkLadder()
				if w.plan.Timeline.Frames < 148 {
					t.Errorf("%d frames of 150 are left", w.plan.Timeline.Frames)
				}
			})
		}
	}
}

// corrupt wants err to be what a source that can't be decoded ends in.
func (w *workflow) corrupt(err error) {
	w.Helper()
	var failure *job.Failure
	if !errors.As(err, &failure) || failure.Code != job.MediaCorrupt && failure.Code != job.InputTruncated {
		w.Errorf("got %v", err)
	}
	w.Log(err)
}

func TestUploadersTextGoesNowhere(t *testing.T) {
	t.Parallel()
	const script, ansi = "<script>alert(1)</script>", "\x1b[31mred\nsecond line"
	long := strings.Repeat("evil-long-", 5000)
	path := mediatest.Make(t, "a.mkv", append(words(shortClip),
		"-metadata", "title="+script, "-metadata", "comment="+long, "-metadata:s:v", "title="+ansi,
		"-metadata:s:a", "language=<script>", "-metadata:s:a", "title="+script)...)
	spec := tinySpec()
	spec.Outputs = append(spec.Outputs, job.MP4, job.Thumbnails)
	w := inspected(t, path, spec).chunked(t, wholeTimeline)
	w.finish()
	plan := fmt.Sprintf("%+v %+v", w.plan, w.done)
	check := func(where, text string) {
		for _, evil := range []string{"script", "evil-long", "\x1b[31m", "second line"} {
			if strings.Contains(text, evil) {
				t.Errorf("%s has the uploader's text %q", where, evil)
			}
		}
	}
	check("the plan", plan)
	err := filepath.WalkDir(w.folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		check(path, string(body))
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A header's claims about length are not believed.
func TestClaimedDurationIsNotTaken(t *testing.T) {
	t.Parallel()
	// mvhd, tkhd, mdhd and the edit list in a file of 6 s that claims 49 days.
	path := changed(t, "a.mp4", "-f lavfi -i testsrc2=s=192x108:r=25:d=6 -c:v libx264 -preset veryfast -pix_fmt yuv420p", func(b []byte) []byte {
		mdhd := bytes.Index(b, []byte("mdhd"))
		copy(b[mdhd+4+16:], []byte{0xff, 0xff, 0xff, 0xf0}) // of 12800 a second: 93 hours
		mvhd := bytes.Index(b, []byte("mvhd"))
		copy(b[mvhd+4+16:], []byte{0xff, 0xff, 0xff, 0xf0}) // of 1000 a second: 49 days
		return b
	})
	w := start(t, path, tinySpec())
	began := time.Now()
	plan, err := w.toolbox.Inspect(t.Context(), w.in, w.spec, w.encoder)
	var failure *job.Failure
	switch {
	case err == nil && plan.Timeline.Frames == 150:
	case errors.As(err, &failure) && failure.Code == job.InputTruncated:
	default:
		t.Errorf("got %v and %+v", err, plan.Timeline)
	}
	t.Log(err, plan.Timeline, time.Since(began))
}
