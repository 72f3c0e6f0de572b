package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestProbeSaysWhatWorksAndWhyTheRestDoesNot(t *testing.T) {
	data := t.TempDir()
	for _, flags := range [][]string{{"--fresh"}, nil} { // tried, then as it was kept
		got := millrace(t, append([]string{"probe", "--json", "--data", data}, flags...)...)
		if got.code != exitDone || got.err != "" {
			t.Fatalf("exit code %d: %s", got.code, got.err)
		}
		var found struct {
			FFmpeg  struct{ Version, Build string }
			Devices []struct {
				There    bool
				Device   struct{ ID, Kind, Name string }
				Encoders []map[string]any
				Decoders []struct {
					Codec string
					Works bool
				}
			}
		}
		if err := json.Unmarshal([]byte(got.out), &found); err != nil {
			t.Fatal(err)
		}
		encoders := make(map[string]map[string]any)
		for _, device := range found.Devices {
			for _, e := range device.Encoders {
				encoders[e["encoder"].(string)] = e
				for _, field := range []string{"codec", "works", "reason", "frames_per_second", "sessions", "ten_bit"} {
					if _, there := e[field]; !there {
						t.Errorf("%s has no field %s", e["encoder"], field)
					}
				}
				if works, reason := e["works"].(bool), e["reason"].(string); works != (reason == "") {
					t.Errorf("%s works: %v, because %q", e["encoder"], works, reason)
				}
			}
			if device.Device.ID == "cpu" && (!device.There || len(device.Decoders) == 0) {
				t.Errorf("the CPU is %+v", device)
			}
		}
		if x264 := encoders["libx264"]; x264 == nil || x264["works"] != true || x264["frames_per_second"].(map[string]any)["360p"].(float64) <= 0 {
			t.Errorf("libx264 is %v", x264)
		}
		for _, name := range []string{"h264_nvenc", "h264_qsv", "h264_vaapi", "hevc_nvenc", "av1_nvenc"} {
			if encoders[name] == nil {
				t.Errorf("%s is not listed", name)
			}
		}
		if found.FFmpeg.Version == "" || found.FFmpeg.Build == "" {
			t.Errorf("ffmpeg is %+v", found.FFmpeg)
		}
		if t.Failed() {
			return
		}
		reasons := map[any]bool{encoders["h264_nvenc"]["reason"]: true, encoders["h264_qsv"]["reason"]: true, encoders["h264_vaapi"]["reason"]: true}
		if gpu := encoders["h264_nvenc"]["works"].(bool) || encoders["h264_vaapi"]["works"].(bool); !gpu && len(reasons) != 3 {
			t.Errorf("without a GPU, NVENC, Quick Sync and VA-API have the reasons %v", reasons)
		}
	}
	got := millrace(t, "probe", "--data", data)
	if got.code != exitDone || !strings.Contains(got.out, "ENCODER") || !strings.Contains(got.out, "h264_vaapi") || !strings.Contains(got.out, "DECODES") {
		t.Errorf("exit code %d, the table is\n%s", got.code, got.out)
	}
}

func TestProbeWithoutFFmpegSaysWhatToDo(t *testing.T) {
	got := millrace(t, "probe", "--data", t.TempDir(), "--ffmpeg", "/nonexistent/ffmpeg")
	if got.code != exitFailed || !strings.Contains(got.err, "--ffmpeg") {
		t.Errorf("exit code %d: %s", got.code, got.err)
	}
}
