package ffmpeg

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"millrace/job"
)

func TestProbeReadsFormatAndStreams(t *testing.T) {
	own := tools(t)
	own.Sandbox = &Sandbox{}
	r, err := own.Probe(t.Context(), clip(t))
	if err != nil {
		t.Fatal(err)
	}
	if r.Format.Name != "mov,mp4,m4a,3gp,3g2,mj2" || !r.Format.Duration.Known || r.Format.Duration.Duration != time.Second || len(r.Streams) != 2 {
		t.Fatalf("got %+v", r)
	}
	video, audio := r.Streams[0], r.Streams[1]
	if video.Type != "video" || video.Codec != "h264" || video.Width != 320 || video.Height != 180 ||
		video.AverageRate != (job.Rational{Num: 30, Den: 1}) || video.SampleAspect != (job.Rational{Num: 1, Den: 1}) ||
		video.StartPTS == nil || *video.StartPTS != 0 || video.Frames != 30 || video.Interlaced() || video.HDR() || video.Rotation() != 0 {
		t.Errorf("video is %+v", video)
	}
	if audio.Type != "audio" || audio.Codec != "aac" || audio.Channels != 1 || audio.SampleRate != 44100 || audio.Language() != "deu" || !audio.Default {
		t.Errorf("audio is %+v", audio)
	}
	if audio.AverageRate != (job.Rational{}) {
		t.Errorf("0/0 became %v", audio.AverageRate)
	}
}

func TestEncryptedFileIsFoundByItsPackets(t *testing.T) {
	film := makeVideo(t, "film.mp4", "-i", clip(t), "-c", "copy", "-encryption_scheme", "cenc-aes-ctr",
		"-encryption_key", "00112233445566778899aabbccddeeff", "-encryption_kid", "00112233445566778899aabbccddeeff")
	r, err := tools(t).Probe(t.Context(), film, "-show_packets", "-read_intervals", "%+#1")
	if err != nil {
		t.Fatal(err)
	}
	if !r.Encrypted() {
		t.Errorf("got %+v", r)
	}
	if r, err = tools(t).Probe(t.Context(), clip(t), "-show_packets", "-read_intervals", "%+#1"); err != nil || r.Encrypted() || len(r.Packets) == 0 {
		t.Errorf("a plain file: %+v, %v", r, err)
	}
}

func TestRotationIsReadFromTheDisplayMatrix(t *testing.T) {
	for angle, want := range map[float64]int{0: 0, -90: 90, 90: 270, 180: 180, -180: 180, -89.7: 90, 270: 90, 720: 0} {
		s := Stream{SideData: []SideData{{Type: "Display Matrix", Rotation: angle}}}
		if got := s.Rotation(); got != want {
			t.Errorf("%g: turned by %d, want %d", angle, got, want)
		}
	}
}

func TestFilesThatAreNoVideosGetTheirNames(t *testing.T) {
	whole, err := os.ReadFile(clip(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		content []byte
		code    job.Code
	}{
		{"text", bytes.Repeat([]byte("all work and no play\n"), 100), job.MediaNotRecognised},
		{"one letter", []byte("x\n"), job.MediaNotRecognised},
		{"page", []byte("<!DOCTYPE html><html><head><title>404</title></head><body>Not found</body></html>"), job.MediaNotRecognised},
		{"zip", []byte("PK\x03\x04\x14\x00\x00\x00\x08\x00aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), job.MediaNotRecognised},
		{"empty", nil, job.MediaNotRecognised},
		{"cut before its index", whole[:len(whole)/2], job.MediaCorrupt},
	} {
		for _, file := range []string{"source", "source.mp4"} {
			t.Run(c.name+" as "+file, func(t *testing.T) {
				dir := t.TempDir()
				if err := os.WriteFile(filepath.Join(dir, file), c.content, 0o600); err != nil {
					t.Fatal(err)
				}
				url, _ := serve(t, dir)
				_, err := tools(t).Probe(t.Context(), url+"/"+file)
				wantFailure(t, err, c.code, "")
			})
		}
	}
}

func TestSourceThatIsGoneIsUnreachable(t *testing.T) {
	url, _ := serve(t, t.TempDir())
	_, err := tools(t).Probe(t.Context(), url+"/source")
	wantFailure(t, err, job.InputUnreachable, "could not be read")
}

func TestNonsenseInAProbeIsUnknownNotFatal(t *testing.T) {
	r, err := parseProbe([]byte(`{"format":{"format_name":"avi","duration":"nan","start_time":"-1e400","size":"N/A","bit_rate":{},"tags":{"TITLE":"\u001b[31m<b>\n","x":null}},
		"streams":[{"index":"3","codec_type":"video","width":"99999999999999","height":1.5,"avg_frame_rate":"1/0","r_frame_rate":"-25/1","level":-99,
		"start_pts":"N/A","start_time":"5.250000","duration":"1h","side_data_list":[{"side_data_type":"Display Matrix","rotation":"nan"}],"disposition":{"attached_pic":1}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	s := r.Streams[0]
	if r.Format.Duration.Known || r.Format.Start.Known || r.Format.Size != 0 || r.Format.Tags["title"] != "<b>" ||
		s.Index != 3 || s.Width != 0 || s.Height != 0 || s.AverageRate != (job.Rational{}) || s.RealRate != (job.Rational{}) || s.Level != -99 ||
		s.StartPTS != nil || s.Start != (Time{5250 * time.Millisecond, true}) || s.Duration.Known || s.Rotation() != 0 || !s.AttachedPicture || s.Language() != "und" {
		t.Errorf("got %+v", r)
	}
}

func FuzzParseProbe(f *testing.F) {
	f.Add([]byte(`{"streams":[{"index":0,"tags":{"a":"b"},"start_time":"1.5"}],"format":{}}`))
	f.Add([]byte(`{"packets":[{"pts":"N/A","side_data_list":[{}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parseProbe(text)
		if err != nil {
			return
		}
		for i := range r.Streams {
			if turn := r.Streams[i].Rotation(); turn%90 != 0 || turn < 0 || turn > 270 {
				t.Errorf("turned by %d", turn)
			}
		}
	})
}
