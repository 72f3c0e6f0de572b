package ffmpeg

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"millrace/job"
)

// needLandlock skips what an old kernel can't enforce.
func needLandlock(t *testing.T) {
	t.Helper()
	if _, missing := SandboxSupport(); missing != "" {
		t.Skip(missing)
	}
}

// serve serves files of dir on a loopback port and counts the requests.
func serve(t *testing.T, dir string) (url string, requests *atomic.Int64) {
	t.Helper()
	requests = new(atomic.Int64)
	files := http.FileServer(http.Dir(dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

func TestSandboxedFFmpegReadsItsSourceAndWritesItsPipesAndScratch(t *testing.T) {
	source := clip(t)
	url, _ := serve(t, filepath.Dir(source))
	url += "/clip.mp4"
	dir := t.TempDir()
	var out bytes.Buffer
	args := append(InputArgs(url), "-c:v", "libx264", "-preset", "ultrafast", "-an")
	args = append(args, toPipe(0)...)
	args = append(args, "-map", "0:a", "-c", "copy", "sound.mp4")
	report, err := tools(t).Run(t.Context(), Command{
		Args: args, Outputs: []func(io.Reader) error{collect(&out)}, Dir: dir, Nice: 5,
		Sandbox: (&Sandbox{}).ForInput(url),
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, report.LastWords)
	}
	if report.Frames != 30 || !bytes.Contains(out.Bytes(), []byte("moof")) {
		t.Errorf("%d frames, %d bytes", report.Frames, out.Len())
	}
	if _, err := os.Stat(filepath.Join(dir, "sound.mp4")); err != nil {
		t.Error(err)
	}
}

func TestSandboxedFFmpegReadsNoOtherFile(t *testing.T) {
	needLandlock(t)
	secret := clip(t)
	read := []string{"-i", secret, "-f", "null", "-"}
	if report, err := tools(t).Run(t.Context(), Command{Args: read, Dir: t.TempDir()}); err != nil {
		t.Fatalf("outside of the sandbox: %v\n%s", err, report.LastWords)
	}
	report, err := tools(t).Run(t.Context(), Command{Args: read, Dir: t.TempDir(), Sandbox: &Sandbox{}})
	if err == nil || !strings.Contains(report.LastWords, "Permission denied") {
		t.Fatalf("got %v\n%s", err, report.LastWords)
	}
}

func TestSandboxedFFmpegConnectsToNoOtherPort(t *testing.T) {
	needLandlock(t)
	canary, requests := serve(t, filepath.Dir(clip(t)))
	allowed, _ := serve(t, t.TempDir())
	report, err := tools(t).Run(t.Context(), Command{
		Args: append(InputArgs(canary+"/clip.mp4"), "-f", "null", "-"), Dir: t.TempDir(),
		Sandbox: (&Sandbox{}).ForInput(allowed),
	})
	if err == nil || !strings.Contains(report.LastWords, "Permission denied") || requests.Load() != 0 {
		t.Fatalf("got %v, %d requests\n%s", err, requests.Load(), report.LastWords)
	}
}

func TestSandboxedFFmpegSendsNoDatagram(t *testing.T) {
	canary, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = canary.Close() }()
	args := append(picturesArgs(2), "-f", "mpegts", "udp://"+canary.LocalAddr().String())
	report, err := tools(t).Run(t.Context(), Command{Args: args, Dir: t.TempDir(), Sandbox: &Sandbox{}})
	if err == nil || !strings.Contains(report.LastWords, "Permission denied") {
		t.Fatalf("got %v\n%s", err, report.LastWords)
	}
}

func TestSandboxedProgramCanGainNoPrivileges(t *testing.T) {
	var status bytes.Buffer
	_, err := script(t, `grep -e NoNewPrivs -e Seccomp: /proc/self/status >&3; ulimit -c >&3; nice >&3`).Run(t.Context(), Command{
		Dir: t.TempDir(), Nice: 7, Outputs: []func(io.Reader) error{collect(&status)},
		Sandbox: &Sandbox{ReadPaths: []string{"/proc"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(strings.Fields(status.String()), " "); got != "NoNewPrivs: 1 Seccomp: 2 0 7" {
		t.Errorf("got %q", got)
	}
}

func TestSandboxThatCantStartSaysWhy(t *testing.T) {
	own := tools(t)
	own.FFmpeg = "/nowhere/ffmpeg"
	_, err := own.Run(t.Context(), Command{Dir: t.TempDir(), Sandbox: &Sandbox{}})
	wantFailure(t, err, job.EncoderFailed, "enter the sandbox: execute /nowhere/ffmpeg: no such file or directory")
}

func TestSandboxWithoutMaybeRunSandboxIsRefused(t *testing.T) {
	sandboxReady.Store(false)
	defer sandboxReady.Store(true)
	if _, err := (&Sandbox{}).Wrap([]string{"/bin/true"}); err == nil || !strings.Contains(err.Error(), "MaybeRunSandbox") {
		t.Fatalf("got %v", err)
	}
}

func TestNoSandboxWrapsNothing(t *testing.T) {
	argv, err := (*Sandbox)(nil).Wrap([]string{"ffmpeg", "-version"})
	if err != nil || len(argv) != 2 {
		t.Fatalf("%q, %v", argv, err)
	}
}

func TestInputsPortIsFound(t *testing.T) {
	for url, want := range map[string]uint16{
		"http://127.0.0.1:4711/x": 4711, "http://[::1]:80/": 80, "http://host/x": 80, "http://host:999999/": 0xffff,
	} {
		if got := (&Sandbox{}).ForInput(url).ConnectPorts; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v", url, got)
		}
	}
}

func TestEveryJumpOfTheFilterStaysInside(t *testing.T) {
	for _, sockets := range []bool{false, true} {
		program := socketFilter(unix.AUDIT_ARCH_X86_64, sockets)
		for i, op := range program {
			if op.Code&0x07 == unix.BPF_JMP && (i+1+int(op.Jt) >= len(program) || i+1+int(op.Jf) >= len(program)) {
				t.Errorf("instruction %d jumps out", i)
			}
		}
	}
}
