package systemtest

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"millrace/api/client"
	"millrace/job"
	"millrace/storage/storagetest"
	"millrace/systemtest/rig"
)

// canary is an address that nobody may connect to.
type canary struct {
	address string
	visits  atomic.Int64
}

func newCanary(t *testing.T) *canary {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &canary{address: listener.Addr().String()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			c.visits.Add(1)
			_ = connection.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
		if n := c.visits.Load(); n > 0 {
			t.Errorf("the canary had %d visits", n)
		}
	})
	return c
}

// cutOff is the first part of a file, in per cent.
func cutOff(t *testing.T, file string, percent int) string {
	t.Helper()
	bytes, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes[:len(bytes)*percent/100])
}

func TestBadInputEndsInItsOwnNamedError(t *testing.T) {
	t.Parallel()
	ghost := newCanary(t)
	gateway := storagetest.Start(t)
	gateway.CreateBucket(t, "videos")
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	p := newPeer(t, allowLoopback...)
	p.start()

	good := p.put(rig.Numbered(t, 4), "good.mp4")
	late := rig.Clip(t, "late.mp4", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=4", "-c:v", "libx264", "-preset", "ultrafast") // its index is at the end
	sound := rig.Clip(t, "sound.mp4", "-f", "lavfi", "-i", "sine=d=2", "-c:a", "aac")
	outside := filepath.Join(p.outputs, "link")
	if err := os.Symlink(t.TempDir(), outside); err != nil {
		t.Fatal(err)
	}
	jobs := map[string]job.ID{}
	cases := []struct {
		name, input, output string
		code                job.Code
	}{
		{"empty", p.write("empty.mp4", ""), "", job.InputEmpty},
		{"text", p.write("text.mp4", "It was a dark and stormy night.\n"), "", job.MediaNotRecognised},
		{"page", p.write("page.mp4", "<!DOCTYPE html><html><body>404</body></html>"), "", job.MediaNotRecognised},
		{"cut off in the pictures", p.write("cut.mp4", cutOff(t, rig.Numbered(t, 10), 60)), "", job.InputTruncated},
		{"cut off before the index", p.write("noindex.mp4", cutOff(t, late, 60)), "", job.MediaCorrupt},
		{"sound only", p.put(sound, "sound.mp4"), "", job.NoVideoStream},
		{"playlist", p.write("list.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nhttp://"+ghost.address+"/1.ts\n#EXT-X-ENDLIST\n"), "", job.UnsupportedContainer},
		{"concat script", p.write("script.mp4", "ffconcat version 1.0\nfile 'http://"+ghost.address+"/1.mp4'\n"), "", job.UnsupportedContainer},
		{"no such page", web.URL + "/clip.mp4", "", job.InputNotFound},
		{"no such file", "file://" + p.sources + "/none.mp4", "", job.InputNotFound},
		{"no such object", gateway.URL("videos", "none.mp4"), "", job.InputNotFound},
		{"no such host", "http://millrace.invalid/clip.mp4", "", job.InputUnreachable},
		{"no such output bucket", good, gateway.URL("none", "out/"), job.OutputBucketNotFound},
		{"output through a symbolic link", good, "file://" + outside + "/out/", job.OutputDisallowed},
	}
	for _, test := range cases {
		asked := client.CreateRequest{InputURL: test.input, OutputPath: test.output, Resolutions: []string{"240p"}}
		if test.output == "" {
			asked.OutputPath = p.output(test.name)
		}
		jobs[test.name] = p.submit(asked).ID
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			failed := p.awaitFailure(jobs[test.name], test.code)
			if files := rig.FilesIn(t, filepath.Join(p.outputs, test.name)); files["video.m3u8"] != 0 {
				t.Errorf("a master was published: %v", files)
			}
			if attempts := task(t, failed, "inspect").Attempts; test.code.Info().Blame == job.BlameInput && len(attempts) > 1 {
				t.Errorf("what no retry can cure was tried %d times", len(attempts))
			}
		})
	}
}

func TestFilesOutsideTheRootsAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.start()
	good := p.put(rig.Numbered(t, 4), "good.mp4")
	for _, test := range []struct{ name, input, output, field string }{
		{"source", "file:///etc/passwd", p.output("a"), "input_url"},
		{"source above the root", "file://" + p.sources + "/../data/admin.key", p.output("a"), "input_url"},
		{"output", good, "file:///tmp/elsewhere/", "output_path"},
		{"output above the root", good, "file://" + p.outputs + "/../elsewhere/", "output_path"},
	} {
		_, err := p.api.CreateJob(t.Context(), client.CreateRequest{InputURL: test.input, OutputPath: test.output, Resolutions: []string{"240p"}})
		var refused *client.Problem
		if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest || len(refused.Fields[test.field]) == 0 {
			t.Errorf("%s: %v, want 400 that names %s", test.name, err, test.field)
		}
	}
}

func TestALoopbackSourceIsRefusedWithoutTouchingIt(t *testing.T) {
	t.Parallel()
	ghost := newCanary(t)
	p := newPeer(t)
	p.start()
	for _, input := range []string{
		"http://" + ghost.address + "/clip.mp4",
		"s3://videos/clip.mp4?access_key=a&secret_key=b&region=us-east-1&endpoint=http://" + ghost.address,
	} {
		created, err := p.api.CreateJob(t.Context(), request(p, input, "240p"))
		if err != nil {
			var refused *client.Problem
			if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest {
				t.Errorf("%s: %v", input, err)
			}
			continue
		}
		p.awaitFailure(created.ID, job.InputDisallowed)
	}
}
