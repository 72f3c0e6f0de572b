package systemtest

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"millrace/job"
	"millrace/systemtest/rig"
)

// gpuName is the GPU that the machines of these tests are made to have.
const gpuName = "Stand-in T4"

// likeAGPU turns the command line of a run that uses the GPU into one of
// software that does the same, so that trials and jobs work on it. It knows
// H.264 only, decodes a clip once and lets one encode of 1080p in at a time: most
// of a trial would be other codecs and measuring.
const likeAGPU = `
like_a_gpu() {
	local out=() gpu=
	case "$*" in *-c:v\ h264_nvenc*) gpu=yes ;; esac
	while [ $# -gt 0 ]; do
		case "$1" in
		-init_hw_device | -filter_hw_device | -hwaccel | -hwaccel_device | -hwaccel_output_format | -extra_hw_frames | -c:0 | -stream_loop | \
			-tune | -rc | -b:v | -no-scenecut | -forced-idr | -strict_gop | -b_ref_mode | -spatial-aq | -temporal-aq | -rc-lookahead) shift 2 ;;
		-c:v) if [ $gpu ]; then out+=(-c:v libx264 -sc_threshold 0 -pix_fmt yuv420p -threads 1); else out+=("$1" "$2"); fi; shift 2 ;;
		-preset) if [ $gpu ]; then out+=(-preset ultrafast); else out+=("$1" "$2"); fi; shift 2 ;;
		-cq) out+=(-crf "$2"); shift 2 ;;
		-vf | -filter_complex)
			out+=("$1" "$(sed -E 's/hw(up|down)load/null/g; s/scale_cuda=w=([0-9]+):h=([0-9]+):interp_algo=lanczos:passthrough=0/scale=w=\1:h=\2/g; s/(scale=w=[0-9]+:h=[0-9]+):format=nv12/\1,format=nv12/g; s/(yadif|bwdif)_cuda/bwdif/g' <<<"$2")")
			shift 2 ;;
		*) out+=("$1"); shift ;;
		esac
	done
	exec "$real" "${out[@]}"
}
case "$*" in
*-c:0\ hevc\ * | *-c:0\ av1\ * | *-c:0\ vp9\ * | *-c:0\ mpeg2video\ *) echo "[AVHWDeviceContext @ 0x1] [error] Hardware is lacking required capabilities" >&2; exit 1 ;;
*-c:v\ hevc_nvenc* | *-c:v\ av1_nvenc*) echo "[hevc_nvenc @ 0x1] [error] OpenEncodeSessionEx failed: unsupported device (2): (no details)" >&2; exit 1 ;;
*=1920x1080*-c:v\ h264_nvenc*)
	exec 9<"${BASH_SOURCE[0]}"
	flock -n 9 || { echo "[h264_nvenc @ 0x1] [error] OpenEncodeSessionEx failed: out of memory (10): (no details)" >&2; exit 1; }
	like_a_gpu "$@" ;;
*-c:v\ h264_nvenc* | *-hwaccel\ cuda* | *-init_hw_device\ cuda*) like_a_gpu "$@" ;;
esac
`

// withStandInGPU is the program with a GPU taken from a file.
var withStandInGPU = sync.OnceValues(func() (string, error) {
	file := filepath.Join(rig.Shared(), "millrace-standin")
	return file, rig.Build(context.Background(), file, "standin")
})

// gpuPeer is a peer on a machine with a GPU, and what stands for it.
type gpuPeer struct {
	*peer
	ffmpeg *rig.StandIn
	driver string // file with what the NVIDIA driver says
}

func newGPUPeer(t *testing.T) *gpuPeer {
	t.Helper()
	binary, err := withStandInGPU()
	if err != nil {
		t.Fatal(err)
	}
	ffmpeg := rig.NewStandIn(t)
	p := &gpuPeer{peer: newPeer(t, ffmpeg.Flags()...), ffmpeg: ffmpeg}
	p.binary, p.driver = binary, filepath.Join(t.TempDir(), "driver.json")
	p.env = append(p.env, "MILLRACE_STANDIN_GPUS="+p.driver)
	p.driverSays(`{"found": [{"device": {"id": "GPU-stand-in", "kind": "nvidia", "vendor": "NVIDIA", "name": "` + gpuName + `", "driver": "NVIDIA 550.54.15", "uuid": "GPU-stand-in", "memory_bytes": 17179869184}, "room": {"memory_bytes": 17179869184}}]}`)
	p.ffmpeg.Do(likeAGPU)
	return p
}

func (p *gpuPeer) driverSays(text string) {
	p.t.Helper()
	next := p.driver + ".new"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(next, p.driver); err != nil {
		p.t.Fatal(err)
	}
}

// breaks makes the GPU's encoder fail in jobs, and in nothing else, as the lines say.
func (p *gpuPeer) breaks(lines string) {
	p.ffmpeg.Do(rig.On("*http*-c:v h264_nvenc*", lines) + "\n" + likeAGPU)
}

// gpuMeasured is done once a peer has tried the stand-in GPU.
var gpuMeasured sync.Once

// start starts the peer with a GPU that has been tried and is much faster than
// the CPU.
func (p *gpuPeer) start() { p.startAs(nil) }

// startAs starts the peer with a GPU that has been tried, and with encoders that make
// so many frames of 360p a second; nil is a fast GPU.
func (p *gpuPeer) startAs(framesPerSecond map[string]float64) {
	p.t.Helper()
	kept := filepath.Join(rig.Shared(), "gpu-profiles.json")
	gpuMeasured.Do(func() {
		first := newGPUPeer(p.t)
		first.peer.start()
		profiles := filepath.Join(first.data, "profiles.json")
		rig.Eventually(p.t, "the GPU has been tried", func() bool {
			text, _ := os.ReadFile(profiles)
			return strings.Contains(string(text), gpuName)
		})
		if code := first.terminate(); code != 0 {
			p.t.Fatalf("the measuring peer ended with exit code %d", code)
		}
		makeFast(p.t, profiles, kept)
	})
	profiles := filepath.Join(p.data, "profiles.json")
	rig.CopyFile(p.t, kept, profiles)
	if framesPerSecond != nil {
		changeProfiles(p.t, profiles, profiles, func(_ string, encoder map[string]any) {
			if fps := framesPerSecond[encoder["encoder"].(string)]; fps > 0 {
				encoder["frames_per_second"] = map[string]any{"360p": fps}
			}
		})
	}
	p.launch()
	p.ready()
}

// makeFast makes the measurements of the GPU those of one.
func makeFast(t *testing.T, from, to string) {
	t.Helper()
	works := false
	changeProfiles(t, from, to, func(device string, e map[string]any) {
		if !strings.Contains(device, gpuName) {
			return
		}
		if e["encoder"] == "h264_nvenc" && e["works"] == true {
			e["frames_per_second"], e["sessions"], works = map[string]any{"360p": 9000, "1080p": 1000}, 8, true
		}
		if e["encoder"] == "hevc_nvenc" && !strings.Contains(e["reason"].(string), "no encoder") {
			t.Errorf("hevc_nvenc has the reason %q", e["reason"])
		}
	})
	if !works {
		t.Fatal("the stand-in GPU doesn't work")
	}
}

// changeProfiles copies a file of profiles with each encoder of each device changed.
func changeProfiles(t *testing.T, from, to string, change func(device string, encoder map[string]any)) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for key, profile := range file["profiles"].(map[string]any) {
		for _, encoder := range profile.(map[string]any)["encoders"].([]any) {
			change(key, encoder.(map[string]any))
		}
	}
	if text, err = json.Marshal(file); err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// checkFallenBack says whether a completed job began on the GPU and was then made
// whole in software, and says why.
func (p *gpuPeer) checkFallenBack(completed job.View, why string) {
	p.t.Helper()
	warnings := strings.Join(completed.Warnings, "; ")
	if !strings.Contains(warnings, "libx264 in place of h264_nvenc") || !strings.Contains(warnings, why) {
		p.t.Errorf("the job's warnings are %q; want %q", warnings, why)
	}
	onGPU := 0
	for _, k := range completed.Tasks {
		if k.Kind != job.EncodeTask {
			continue
		}
		if k.Last().Encoder != "libx264" || k.Last().Outcome != job.OutcomeFinished {
			p.t.Errorf("%s ended as %s", k.ID, text(k.Attempts))
		}
		for _, attempt := range k.Attempts {
			if attempt.Encoder == "h264_nvenc" {
				onGPU++
			}
		}
	}
	if onGPU == 0 {
		p.t.Error("no attempt was on the GPU")
	}
	rig.CheckLadder(p.t, filepath.Join(p.outputs, "out"), rig.NumberedLadder(longSeconds, "240p"))
}

func TestAGPUThatWorksMakesTheJob(t *testing.T) {
	t.Parallel()
	p := newGPUPeer(t)
	p.start()
	created := p.submit(request(p.peer, p.put(rig.Numbered(t, longSeconds), "clip.mp4"), "240p"))
	completed := p.await(created.ID, job.Completed)
	for _, k := range completed.Tasks {
		if k.Kind == job.EncodeTask && (k.Last().Encoder != "h264_nvenc" || k.Last().Device != "GPU-stand-in") {
			t.Errorf("%s ended as %s", k.ID, text(k.Attempts))
		}
	}
	rig.CheckLadder(t, filepath.Join(p.outputs, "out"), rig.NumberedLadder(longSeconds, "240p"))
}

// TestALadderIsMadeByTheGPUAndTheCPUTogether where a job has both to itself, and what the
// CPU made stays when the GPU breaks.
func TestALadderIsMadeByTheGPUAndTheCPUTogether(t *testing.T) {
	broken := `echo "[h264_nvenc @ 0x1] [error] InitializeEncoder failed: invalid param (8): (no details)" >&2; exit 1`
	for name, test := range map[string]struct {
		lines string // in place of the GPU's encodes
		by    map[string]string
	}{
		"to the end":          {"", map[string]string{"360p": "h264_nvenc", "240p": "libx264"}},
		"until the GPU fails": {broken, map[string]string{"360p": "libx264", "240p": "libx264"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newGPUPeer(t)
			p.startAs(map[string]float64{"h264_nvenc": 110, "libx264": 60})
			if test.lines != "" {
				p.breaks(test.lines)
			}
			created := p.submit(request(p.peer, p.put(rig.Numbered(t, longSeconds), "clip.mp4"), "360p", "240p"))
			completed := p.await(created.ID, job.Completed)
			for _, rendition := range completed.Renditions {
				if rendition.Encoder != test.by[rendition.Name] {
					t.Errorf("%s is made by %s", rendition.Name, rendition.Encoder)
				}
			}
			for _, k := range completed.Tasks {
				if k.Kind != job.EncodeTask {
					continue
				}
				if len(k.Renditions) != 1 || k.Last().Encoder != test.by[k.Renditions[0]] {
					t.Errorf("%s of %v ended as %s", k.ID, k.Renditions, text(k.Attempts))
				}
				if k.Renditions[0] == "240p" && len(k.Attempts) > 1 {
					t.Errorf("%s is made again: %s", k.ID, text(k.Attempts))
				}
			}
			rig.CheckLadder(t, filepath.Join(p.outputs, "out"), rig.NumberedLadder(longSeconds, "360p", "240p"))
		})
	}
}

func TestAJobGoesOnInSoftwareWhenTheGPUsEncoderBreaks(t *testing.T) {
	for _, test := range []struct {
		name, lines, why string
		code             job.Code
	}{
		{
			"no session is free",
			`echo "[h264_nvenc @ 0x1] [error] OpenEncodeSessionEx failed: out of memory (10): (no details)" >&2; echo "[error] Error while opening encoder for output stream #0:0" >&2; exit 1`,
			"opens no more encode sessions", job.HardwareSessions,
		},
		{
			"the driver is too old",
			`echo "[h264_nvenc @ 0x1] [error] Driver does not support the required nvenc API version. Required: 12.1 Found: 11.0" >&2; echo "[h264_nvenc @ 0x1] [error] The minimum required Nvidia driver for nvenc is 530.41.03 or newer" >&2; exit 1`,
			"too old", job.HardwareDriver,
		},
		{
			"the device has gone",
			`echo "[AVHWDeviceContext @ 0x1] [error] cu->cuInit(0) failed -> CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected" >&2; echo "[error] Device creation failed: -542398533." >&2; exit 1`,
			"lost", job.HardwareLost,
		},
		{
			"the GPU's memory is full",
			`echo "[h264_nvenc @ 0x1] [error] dl_fn->cuda_dl->cuCtxCreate(&ctx->cu_context_internal, 0, cu_device) failed -> CUDA_ERROR_OUT_OF_MEMORY: out of memory" >&2; exit 1`,
			"memory is full", job.HardwareMemory,
		},
		{
			"the settings are not supported",
			`echo "[h264_nvenc @ 0x1] [error] InitializeEncoder failed: invalid param (8): (no details)" >&2; exit 1`,
			"doesn't take these settings", job.HardwareUnsupported,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newGPUPeer(t)
			p.start()
			p.breaks(test.lines)
			created := p.submit(request(p.peer, p.put(rig.Numbered(t, longSeconds), "clip.mp4"), "240p"))
			completed := p.await(created.ID, job.Completed)
			p.checkFallenBack(completed, test.why)
			codes := make(map[job.Code]bool)
			for _, k := range completed.Tasks {
				for _, attempt := range k.Attempts {
					if attempt.Failure != nil {
						codes[attempt.Failure.Code] = true
					}
				}
			}
			if !codes[test.code] {
				t.Errorf("no attempt failed with %s, only with %v", test.code, codes)
			}
		})
	}
}

func TestAJobGoesOnInSoftwareWhenTheGPUFallsOffTheBus(t *testing.T) {
	t.Parallel()
	p := newGPUPeer(t)
	p.start()
	p.breaks(`exec sleep 1000`) // it hangs until it is found out that the GPU is gone
	created := p.submit(request(p.peer, p.put(rig.Numbered(t, longSeconds), "clip.mp4"), "240p"))
	rig.Eventually(t, "a chunk is on the GPU", func() bool {
		for _, k := range p.read(created.ID).Tasks {
			if k.Kind == job.EncodeTask && k.State == job.TaskRunning && k.Last().Device == "GPU-stand-in" {
				return true
			}
		}
		return false
	})
	p.driverSays(`{"reason": "the driver's library says: GPU is lost"}`)
	p.checkFallenBack(p.await(created.ID, job.Completed), "")
	shown := p.shownReason("h264_nvenc")
	if !strings.Contains(shown, "lost") {
		t.Errorf("the node says of h264_nvenc: %q", shown)
	}
}

// shownReason is what the node says of why an encoder doesn't work.
func (p *gpuPeer) shownReason(encoder string) string {
	p.t.Helper()
	for node, err := range p.api.Nodes(p.t.Context(), false) {
		if err != nil {
			p.t.Fatal(err)
		}
		for _, device := range node.Devices {
			for _, e := range device.Encoders {
				if e.Name == encoder && e.Reason != nil {
					return *e.Reason
				}
			}
		}
	}
	return ""
}

func TestAnEncoderThatNeverWorkedIsShownWithItsReasonAndNotUsed(t *testing.T) {
	t.Parallel()
	p := newGPUPeer(t)
	p.ffmpeg.Do(rig.On("*-c:v h264_nvenc*", `echo "[h264_nvenc @ 0x1] [error] Cannot load libnvidia-encode.so.1" >&2; echo "[h264_nvenc @ 0x1] [error] The minimum required Nvidia driver for nvenc is 530.41.03 or newer" >&2; exit 1`) + "\n" + likeAGPU)
	p.peer.start()
	created := p.submit(request(p.peer, p.put(rig.Numbered(t, longSeconds), "clip.mp4"), "240p"))
	completed := p.await(created.ID, job.Completed)
	if encode := task(t, completed, "encode-00000"); encode.Last().Encoder != "libx264" || len(encode.Attempts) != 1 {
		t.Errorf("the chunk's attempts are %s", text(encode.Attempts))
	}
	rig.Eventually(t, "the node shows why NVENC doesn't work", func() bool { return strings.Contains(p.shownReason("h264_nvenc"), "530.41.03") })
}
