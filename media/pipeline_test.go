package media

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"millrace/hwaccel"
	"millrace/job"
	"millrace/media/ffmpeg"
	"millrace/media/mediatest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Devices that there are in the world, and what trials would find of them.
var (
	turing = hwaccel.Profile{
		Device:        hwaccel.Device{ID: "GPU-1", Kind: hwaccel.NVIDIA, Vendor: hwaccel.VendorNVIDIA, Name: "Tesla T4", UUID: "GPU-1"},
		Encoders:      []hwaccel.EncoderProfile{{Encoder: "h264_nvenc", Works: true}, {Encoder: "hevc_nvenc", Works: true}, {Encoder: "av1_nvenc"}},
		Decoders:      decodes(hwaccel.CUDA, "h264 yuv420p", "hevc yuv420p", "hevc yuv420p10le", "vp9 yuv420p", "mpeg2video yuv420p"),
		DeviceFilters: []string{"scale_cuda", "bwdif_cuda", "yadif_cuda"},
	}
	pascal = hwaccel.Profile{
		Device:        turing.Device,
		Encoders:      []hwaccel.EncoderProfile{{Encoder: "h264_nvenc", Works: true, Without: []string{"B-frames as references"}}},
		Decoders:      decodes(hwaccel.CUDA, "h264 yuv420p", "mpeg2video yuv420p"),
		DeviceFilters: []string{"scale_cuda", "yadif_cuda"},
	}
	// A100: no encoder.
	ampere = hwaccel.Profile{
		Device:        hwaccel.Device{ID: "GPU-2", Kind: hwaccel.NVIDIA, Vendor: hwaccel.VendorNVIDIA, Name: "A100", UUID: "GPU-2"},
		Encoders:      []hwaccel.EncoderProfile{{Encoder: "h264_nvenc"}},
		Decoders:      decodes(hwaccel.CUDA, "h264 yuv420p", "hevc yuv420p10le"),
		DeviceFilters: []string{"scale_cuda", "bwdif_cuda"},
	}
	unscaled = hwaccel.Profile{Device: turing.Device, Encoders: turing.Encoders, Decoders: turing.Decoders}
	arc      = hwaccel.Profile{
		Device:        hwaccel.Device{ID: "0000:03:00.0", Kind: hwaccel.RenderNode, Vendor: hwaccel.VendorIntel, Name: "Arc", RenderNode: "/dev/dri/renderD128"},
		Encoders:      []hwaccel.EncoderProfile{{Encoder: "h264_qsv", Works: true}, {Encoder: "h264_vaapi", Works: true}},
		Decoders:      append(decodes(hwaccel.QSV, "h264 yuv420p", "mpeg2video yuv420p"), decodes(hwaccel.VAAPI, "h264 yuv420p", "hevc yuv420p10le")...),
		DeviceFilters: []string{"vpp_qsv", "deinterlace_qsv", "scale_vaapi", "deinterlace_vaapi"},
	}
	radeon = hwaccel.Profile{
		Device:        hwaccel.Device{ID: "0000:0a:00.0", Kind: hwaccel.RenderNode, Vendor: hwaccel.VendorAMD, Name: "Radeon", RenderNode: "/dev/dri/renderD129"},
		Encoders:      []hwaccel.EncoderProfile{{Encoder: "h264_vaapi", Works: true, Without: []string{"constant quality"}}},
		Decoders:      decodes(hwaccel.VAAPI, "h264 yuv420p"),
		DeviceFilters: []string{"scale_vaapi", "deinterlace_vaapi"},
	}
)

func decodes(api hwaccel.API, list ...string) []hwaccel.DecoderProfile {
	var profiles []hwaccel.DecoderProfile
	for _, text := range list {
		codec, format, _ := strings.Cut(text, " ")
		profiles = append(profiles, hwaccel.DecoderProfile{Codec: codec, API: api, PixelFormat: format, Works: true})
	}
	return profiles
}

// pipelineCases are a source, a device and an encoder each.
var pipelineCases = []struct {
	name    string
	encoder string
	device  hwaccel.Profile
	plain   bool
	change  func(*job.Plan)
}{
	{name: "software", encoder: "libx264"},
	{name: "software-tail", encoder: "libx264", change: tail},
	{name: "software-hdr-interlaced", encoder: "libx265", change: func(p *job.Plan) { p.Picture = job.Picture{ToneMap: true, Deinterlace: true, Matrix: "bt2020"} }},
	{name: "whole", encoder: "h264_nvenc", device: turing},
	{name: "whole-first-chunk", encoder: "h264_nvenc", device: turing, change: func(p *job.Plan) { p.Chunks = p.Chunks[:1] }},
	{name: "whole-10-bit", encoder: "hevc_nvenc", device: turing, change: tenBit},
	{name: "whole-interlaced", encoder: "h264_nvenc", device: turing, change: interlaced},
	{name: "whole-pascal-interlaced", encoder: "h264_nvenc", device: pascal, change: interlaced},
	{name: "tail-in-memory", encoder: "h264_nvenc", device: turing, change: tail},
	{name: "uploaded", encoder: "h264_nvenc", device: pascal, change: func(p *job.Plan) { p.Source.VideoCodec = "av1" }},
	{name: "uploaded-10-bit", encoder: "hevc_nvenc", device: turing, change: func(p *job.Plan) { tenBit(p); p.Source.VideoCodec = "av1" }},
	{name: "uploaded-4-2-2", encoder: "h264_nvenc", device: turing, change: func(p *job.Plan) { p.Source.VideoCodec, p.Source.PixelFormat = "prores", "yuv422p10le" }},
	{name: "downloaded", encoder: "libx264", device: ampere},
	{name: "downloaded-hdr", encoder: "libx264", device: ampere, change: hdr},
	{name: "not-worth-it", encoder: "libx264", device: ampere, change: func(p *job.Plan) { p.Source.VideoCodec = "vp8" }},
	{name: "prepared-hdr", encoder: "hevc_nvenc", device: turing, change: hdr},
	{name: "prepared-colours", encoder: "h264_nvenc", device: turing, change: func(p *job.Plan) { p.Picture = job.Picture{Matrix: "bt601", FullRange: true} }},
	{name: "prepared-interlaced-colours", encoder: "h264_nvenc", device: turing, change: func(p *job.Plan) { interlaced(p); p.Picture.Matrix = "bt601" }},
	{name: "rotated", encoder: "h264_nvenc", device: turing, change: func(p *job.Plan) { p.Source.Rotated = true }},
	{name: "no-device-scaler", encoder: "h264_nvenc", device: unscaled},
	{name: "plain", encoder: "h264_nvenc", device: turing, plain: true},
	{name: "plain-downloaded", encoder: "libx264", device: ampere, plain: true},
	{name: "qsv-whole", encoder: "h264_qsv", device: arc},
	{name: "qsv-interlaced", encoder: "h264_qsv", device: arc, change: func(p *job.Plan) { interlaced(p); p.Source.VideoCodec = "mpeg2video" }},
	{name: "qsv-uploaded", encoder: "h264_qsv", device: arc, change: func(p *job.Plan) { p.Source.VideoCodec = "vp9" }},
	{name: "vaapi-whole", encoder: "h264_vaapi", device: radeon},
	{name: "vaapi-hdr", encoder: "h264_vaapi", device: arc, change: hdr},
	{name: "vaapi-plain", encoder: "h264_vaapi", device: radeon, plain: true},
}

func tail(p *job.Plan)       { p.Chunks = p.Chunks[2:] }
func tenBit(p *job.Plan)     { p.Source.VideoCodec, p.Source.PixelFormat = "hevc", "yuv420p10le" }
func interlaced(p *job.Plan) { p.Picture.Deinterlace = true }
func hdr(p *job.Plan)        { tenBit(p); p.Picture = job.Picture{ToneMap: true, Matrix: "bt2020"} }

// pipelineTask is a case's encode task: the middle chunk, if nothing else is said.
func pipelineTask(t *testing.T, i int) EncodeTask {
	t.Helper()
	c := pipelineCases[i]
	row, found := hwaccel.Encoder(c.encoder)
	if !found {
		t.Fatalf("no %s", c.encoder)
	}
	timeline := job.Timeline{Rate: job.Rational{Num: 24000, Den: 1001}, Frames: 250, Origin: 2, SegmentFrames: 24}
	chunks, err := timeline.Cut([]int{4, 4, 3})
	if err != nil {
		t.Fatal(err)
	}
	plan := job.Plan{
		Source:   job.Source{VideoCodec: "h264", PixelFormat: "yuv420p", Width: 320, Height: 180, Indexed: true},
		Timeline: timeline, Chunks: chunks, Picture: job.Picture{Matrix: "bt709"}, DelayFrames: row.DelayFrames,
	}
	for _, height := range []int{180, 120, 90} {
		plan.Renditions = append(plan.Renditions, job.Rendition{
			Name: fmt.Sprintf("%dp", height), Width: height * 16 / 9 &^ 1, Height: height, Codec: row.Codec, Encoder: row.Encoder,
			CRF: row.CRF[job.Standard], MaxBitsPerSecond: 400_000, BufferBits: 800_000,
		})
	}
	if c.change != nil {
		c.change(&plan)
	}
	chunk := plan.Chunks[0]
	if len(plan.Chunks) == 3 {
		chunk = plan.Chunks[1]
	}
	return EncodeTask{
		Plan: plan, Quality: job.Standard, Chunk: chunk, Renditions: plan.Renditions,
		Encoder: row, Device: c.device, Plain: c.plain, Threads: 1, Attempt: 1,
	}
}

func TestPipelineOfEachSourceAndDevice(t *testing.T) {
	for i, c := range pipelineCases {
		t.Run(c.name, func(t *testing.T) {
			args, pin := pipelineTask(t, i).args("http://127.0.0.1:1/source", nil)
			var text strings.Builder
			for _, variable := range pin.Env {
				text.WriteString(variable + "\n")
			}
			limits := ffmpeg.InputArgs("http://127.0.0.1:1/source")
			for _, arg := range args {
				if slices.Contains(limits[:len(limits)-2], arg) {
					continue // what the input may be is of no interest here
				}
				// One option with its value a line, one step of a graph a line.
				separator := " "
				if strings.HasPrefix(arg, "-") && arg != "-1" {
					separator = "\n"
				}
				if strings.HasPrefix(arg, "[0:") {
					arg = "\n\t" + strings.NewReplacer(",", ",\n\t", ";", ";\n\t").Replace(arg)
				}
				text.WriteString(separator + arg)
			}
			golden(t, filepath.Join("testdata", "pipelines", c.name+".txt"), strings.TrimSpace(text.String())+"\n")
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v; go test ./media -run Pipeline -update writes it", err)
	}
	if got != string(want) {
		t.Errorf("the command line is\n%s\nwant\n%s", got, want)
	}
}

// inMemory are the filters that do in memory what a device's do there.
var inMemory = []struct {
	device *regexp.Regexp
	memory string
}{
	{regexp.MustCompile(`hwupload(=extra_hw_frames=\d+)?`), "null"},
	{regexp.MustCompile(`hwdownload`), "null"},
	{regexp.MustCompile(`(?:scale_cuda|vpp_qsv|scale_vaapi)=w=(\d+):h=(\d+)[^,;\[]*:format=(\w+)`), "scale=w=$1:h=$2:flags=lanczos,format=$3"},
	{regexp.MustCompile(`(?:scale_cuda|vpp_qsv|scale_vaapi)=w=(\d+):h=(\d+)[^,;\[]*`), "scale=w=$1:h=$2:flags=lanczos,format=yuv420p"},
	// ffmpeg scales luma beside interleaved chroma otherwise, and the sums are of yuv420p.
	{regexp.MustCompile(`setsar=1,format=nv12,scale`), "setsar=1,format=yuv420p,scale"},
	{regexp.MustCompile(`(?:bwdif|yadif)_cuda=`), "bwdif="},
	{regexp.MustCompile(`deinterlace_(?:qsv|vaapi)=[^,;\[]*`), "bwdif=mode=send_frame:parity=auto:deint=all"},
}

// The graphs of devices can't be run without them. With a filter in memory in
// place of each of a device, ffmpeg takes them, and every rung has the frames of
// the software route.
func TestEachPipelineMakesTheFramesOfTheSoftwareRoute(t *testing.T) {
	source := mediatest.Make(t, "numbered.mkv",
		"-f", "lavfi", "-i", "testsrc2=s=320x180:r=24000/1001:d=10.5,setpts=PTS+2", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "60")
	for i, c := range pipelineCases {
		if c.device.Device.ID == "" || strings.Contains(c.name, "hdr") {
			continue // tone-mapping pictures that have no light to map says nothing
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			task := pipelineTask(t, i)
			line := pipeline{
				plan: task.Plan, frames: task.Chunk.Frames, renditions: task.Renditions,
				route: hwaccel.Choose(task.Encoder, picturesOf(task.Plan), task.Device, task.Plain),
			}
			software := line
			row, _ := hwaccel.Encoder("libx264")
			software.route = hwaccel.Software(row)
			got, want := lumaSums(t, source, line), lumaSums(t, source, software)
			// In these the stand-ins round differently: 10 bits come down to 8 at
			// another step, or another conversion is chosen for the last one.
			rounded := strings.HasSuffix(c.name, "10-bit") || c.name == "downloaded"
			for n := range want {
				if int64(len(want[n])) != task.Chunk.Frames.Len() || len(got[n]) != len(want[n]) || !rounded && !slices.Equal(got[n], want[n]) {
					t.Errorf("rung %d has %d frames, in software %d, of %d; they differ in %v", n, len(got[n]), len(want[n]), task.Chunk.Frames.Len(), !slices.Equal(got[n], want[n]))
				}
			}
			part := line
			part.renditions = []job.Rendition{task.Renditions[0], task.Renditions[2]}
			if sums := lumaSums(t, source, part); !slices.Equal(sums[0], got[0]) || !slices.Equal(sums[1], got[2]) {
				t.Error("without the rung between them, rungs have other frames")
			}
		})
	}
}

// lumaSums are the sums of the luma of each rung's frames.
func lumaSums(t *testing.T, source string, line pipeline) [][]string {
	t.Helper()
	graph := line.graph()
	for _, filter := range inMemory {
		graph = filter.device.ReplaceAllString(graph, filter.memory)
	}
	dir := t.TempDir()
	args := []string{"-nostdin", "-v", "error", "-threads", "1", "-copyts", "-i", source}
	for i := range line.renditions {
		graph += fmt.Sprintf(";[%s]format=yuv420p,extractplanes=y[y%d]", outputName(i), i)
	}
	args = append(args, "-filter_complex", graph)
	for i := range line.renditions {
		args = append(args, "-map", fmt.Sprintf("[y%d]", i), "-fps_mode", "passthrough", "-f", "framemd5", filepath.Join(dir, fmt.Sprint(i)))
	}
	mediatest.Ask(t, "ffmpeg", args...)
	sums := make([][]string, len(line.renditions))
	for i := range line.renditions {
		text, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		for row := range strings.Lines(string(text)) {
			if fields := strings.Split(row, ","); !strings.HasPrefix(row, "#") && len(fields) == 6 {
				sums[i] = append(sums[i], strings.TrimSpace(fields[5]))
			}
		}
	}
	return sums
}
