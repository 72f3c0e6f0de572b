package hwaccel

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace/media/ffmpeg"
)

var testDevice = Device{ID: "cpu", Kind: CPU, Name: "test CPU", Driver: "amd64, 2 threads"}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func profile(t *testing.T, trials Trials, device Device) Profile {
	t.Helper()
	p, err := trials.Profile(t.Context(), device, Room{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSoftwareEncodersWorkAndAreMeasuredInTheSandbox(t *testing.T) {
	scratch := t.TempDir()
	trials := Trials{Tools: tools(t), Scratch: scratch, Cache: filepath.Join(t.TempDir(), "profiles.json"), Sandbox: &ffmpeg.Sandbox{}}
	p := profile(t, trials, testDevice)
	features, err := tools(t).Features(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range p.Encoders {
		if !features.Encoders[e.Encoder] {
			continue
		}
		if !e.Works || e.Reason != "" || e.FramesPerSecond["360p"] <= 0 || e.PixelsPerSecond() <= 0 {
			t.Errorf("%+v", e)
		}
		t.Logf("%s: %v", e.Encoder, e.FramesPerSecond)
	}
	if !p.Works("libx264") || p.FFmpegBuild != tools(t).Build || p.Device.ID != "cpu" {
		t.Errorf("got %+v", p)
	}
	if left, _ := os.ReadDir(scratch); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestEncoderThatDoesNotWorkSaysWhy(t *testing.T) {
	for _, c := range []struct{ name, script, reason string }{
		{"no driver", `echo '[h264_nvenc @ 0x55d0] [error] Cannot load libcuda.so.1' >&2; echo '[error] Conversion failed!' >&2; exit 1`, "the NVIDIA driver's library libcuda can't be loaded"},
		{"crash", `kill -SEGV $$`, "killed by SIGSEGV"},
		{"some other error", `echo '[error] Something is odd' >&2; exit 187`, "exited with status 187: Something is odd"},
		{"exits well and makes no file", `exit 0`, "No such file or directory"},
		{"gives grey", `args=; for a; do case "$a" in testsrc2*trim=end_frame=60) ;; testsrc2*) a=$(echo "$a" | sed 's/testsrc2=/color=c=gray:/') ;; esac; args="$args '$a'"; done; eval exec $REAL $args`, "its pictures don't look like the source's"},
		{"gives the pictures a frame late", `args=; for a; do case "$a" in testsrc2*trim=end_frame=60) ;; testsrc2*) a="$a,trim=start_frame=1,setpts=N/30/TB" ;; esac; args="$args '$a'"; done; eval exec $REAL $args`, "its pictures don't look like the source's"},
		{"exits well with too few frames", `args=; for a; do [ "$a" = 60 ] && a=7; [ "$a" = 30 ] && a=7; args="$args '$a'"; done; eval exec $REAL $args`, "it made 7 of 60 frames"},
		{"ignores keyframes", `args=; for a; do [ "$a" = 15 ] && a=20; a=$(echo "$a" | sed s/n_forced\\*15/n_forced*20/); args="$args '$a'"; done; eval exec $REAL $args`, "it put keyframes at frames [0 20 40] in place of [0 15 30 45]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			row, _ := Encoder("libx264")
			e := newBench(t, wrapped(t, c.script), testDevice).encoder(t.Context(), row)
			if e.Works || !strings.Contains(e.Reason, c.reason) || len(e.FramesPerSecond) != 0 {
				t.Errorf("got %+v, want a reason with %q", e, c.reason)
			}
		})
	}
}

// newBench is the trials of a device that are about to begin.
func newBench(t *testing.T, own *ffmpeg.Tools, device Device) *bench {
	t.Helper()
	features, err := own.Features(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &bench{
		trials: Trials{Tools: own}, features: features, device: device, dir: t.TempDir(), threads: 2,
		until: time.Now().Add(time.Hour), profile: Profile{Device: device},
	}
}

func TestProfileIsMeasuredAgainOnlyWhenItsKeyChanges(t *testing.T) {
	count := filepath.Join(t.TempDir(), "count")
	own := wrapped(t, `echo x >> `+count+`; echo '[error] no' >&2; exit 1`)
	runs := func() int {
		text, _ := os.ReadFile(count)
		return strings.Count(string(text), "x")
	}
	trials := Trials{Tools: own, Scratch: t.TempDir(), Cache: filepath.Join(t.TempDir(), "profiles.json")}
	profile(t, trials, testDevice)
	first := runs()
	profile(t, trials, testDevice)
	if first == 0 || runs() != first {
		t.Fatalf("%d encodes, then %d", first, runs())
	}
	newDriver := testDevice
	newDriver.Driver = "another"
	profile(t, trials, newDriver)
	if runs() != 2*first {
		t.Errorf("a new driver: %d encodes", runs())
	}
	own.Build = "another build"
	profile(t, trials, testDevice)
	if runs() != 3*first {
		t.Errorf("a new build: %d encodes", runs())
	}
}

func TestDamagedCacheIsMeasuredOverAndReplaced(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "profiles.json")
	write(t, cache, []byte(`{"version":1,"profiles":{"x`))
	trials := Trials{Tools: wrapped(t, `exit 1`), Scratch: t.TempDir(), Cache: cache}
	profile(t, trials, testDevice)
	if kept, err := readCache(cache); err != nil || len(kept) != 1 {
		t.Errorf("got %v, %v", kept, err)
	}
}

func TestCancelledTrialSaysNothingOfTheDevice(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cache := filepath.Join(t.TempDir(), "profiles.json")
	_, err := Trials{Tools: tools(t), Scratch: t.TempDir(), Cache: cache}.Profile(ctx, testDevice, Room{Threads: 1})
	if err == nil {
		t.Fatal("no error")
	}
	if kept, _ := readCache(cache); len(kept) != 0 {
		t.Errorf("kept %v", kept)
	}
}

func TestTrialsOfAGPUEndWhenTheirTimeIsUp(t *testing.T) {
	gpu := Device{ID: "GPU-1", Kind: NVIDIA, Vendor: VendorNVIDIA, Name: "GPU", UUID: "GPU-1"}
	b := newBench(t, wrapped(t, `exec sleep 1000`), gpu)
	b.until = time.Now().Add(time.Second)
	b.tryAll(t.Context())
	for _, e := range b.profile.Encoders {
		if e.Works || e.Reason != notTried && !strings.Contains(e.Reason, "was built without") {
			t.Errorf("%+v", e)
		}
	}
	if len(b.profile.Encoders) != 3 || !b.profile.unfinished() {
		t.Errorf("%d encoders, kept %v", len(b.profile.Encoders), !b.profile.unfinished())
	}
}

func TestRefusedFeatureIsLeftOutAndNoted(t *testing.T) {
	// A card before Turing, played by software: NVENC's words, then its pictures.
	pascal := wrapped(t, `case "$*" in *b_ref_mode\ middle*) echo '[h264_nvenc @ 0x1] [error] B frames as references are not supported' >&2; exit 1 ;; esac
args=; skip=0
for a; do
	[ $skip = 1 ] && { skip=0; continue; }
	case "$a" in
	-init_hw_device|-filter_hw_device|-tune|-rc|-b:v|-no-scenecut|-forced-idr|-strict_gop|-b_ref_mode|-spatial-aq|-temporal-aq|-rc-lookahead) skip=1; continue ;;
	h264_nvenc) a="libx264' '-sc_threshold' '0' '-pix_fmt' 'yuv420p" ;;
	-cq) a=-crf ;;
	p4) a=veryfast ;;
	hwupload) a=null ;;
	esac
	args="$args '$a'"
done
eval exec $REAL $args`)
	gpu := Device{ID: "GPU-1", Kind: NVIDIA, Vendor: VendorNVIDIA, Name: "GPU", UUID: "GPU-1"}
	row, _ := Encoder("h264_nvenc")
	e := newBench(t, pascal, gpu).encoder(t.Context(), row)
	if !e.Works || len(e.Without) != 1 || e.Without[0] != "B-frames as references" || e.Signature == "" || e.SSIM < leastSSIM {
		t.Errorf("got %+v", e)
	}
	if e.TenBit || e.TenBitReason == "" {
		t.Errorf("10 bits: %v, %q", e.TenBit, e.TenBitReason)
	}
}
