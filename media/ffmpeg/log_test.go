package ffmpeg

import (
	"strings"
	"testing"
	"unicode/utf8"

	"millrace/job"
)

func TestLogLinesAreClassified(t *testing.T) {
	for _, c := range []struct {
		name, log string
		code      job.Code // empty: none
		words     string
	}{
		{"no index", "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x55cb] [error] moov atom not found\n[error] http://127.0.0.1:1/x: Invalid data found when processing input\n", job.MediaCorrupt, "moov"},
		{"unknown bytes", "[error] http://127.0.0.1:1/x: Invalid data found when processing input\n", job.MediaNotRecognised, ""},
		{"unknown bytes, newer ffmpeg", "[in#0 @ 0x55] [error] Error opening input: Invalid data found when processing input\n[error] Error opening input file http://127.0.0.1/x.\n", job.MediaNotRecognised, ""},
		{"a damaged packet on the way is no reason", "[error] Error while decoding stream #0:0: Invalid data found when processing input\n", "", ""},
		{"nor is one in newer words", "[vist#0:0/h264 @ 0x5] [dec:h264 @ 0x5] [error] Error submitting packet to decoder: Invalid data found when processing input\n", "", ""},
		{"nor is a warning", "[mov @ 0x5] [warning] moov atom not found\n", "", ""},
		{"playlist", "[hls @ 0x5595d8fe5340] [error] Format not on whitelist 'mov'\n", job.UnsupportedContainer, "opened as hls"},
		{"codec", "[svq1 @ 0x561a] [error] Codec (svq1) not on whitelist 'h264'\n", job.UnsupportedCodec, "svq1"},
		{"no decoder", "[error] Decoder (codec bink) not found for input stream #0:0\n", job.UnsupportedCodec, "bink"},
		{"disk", "[error] av_interleaved_write_frame(): No space left on device\n", job.WorkerDiskFull, "disk is full"},
		{"disk before all else", "[mov @ 0x5] [error] moov atom not found\n[error] out.mp4: No space left on device\n", job.WorkerDiskFull, ""},
		{"pixels", "[h264 @ 0x5] [IMGUTILS @ 0x7] [error] Picture size 65535x65535 exceeds specified max pixel count 40000000, see the documentation\n", job.LimitExceeded, "pixels"},
		{"streams", "[mov @ 0x5] [error] Number of streams exceeds max_streams parameter (128), see the documentation\n", job.LimitExceeded, "streams"},
		{"no driver", "[h264_nvenc @ 0x5] [error] Cannot load libcuda.so.1\n", job.HardwareDriver, "libcuda"},
		{"sessions", "[h264_nvenc @ 0x5] [error] OpenEncodeSessionEx failed: out of memory (10)\n", job.HardwareSessions, "out of memory (10)"},
		{"no sound", "[fatal] Stream map '0:a' matches no streams.\n", job.NoVideoStream, ""},
		{"nothing known", "[error] something new\n", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := Classify(c.log)
			if f == nil {
				if c.code != "" {
					t.Fatalf("no reason found, want %s", c.code)
				}
				return
			}
			if f.Code != c.code || !strings.Contains(f.Message, c.words) {
				t.Errorf("got %v, want %q with %q", f, c.code, c.words)
			}
		})
	}
}

func TestLinesAreCleanedForPeople(t *testing.T) {
	for in, want := range map[string]string{
		"[h264 @ 0x55d0ff] [error] no frame!":            "[h264] [error] no frame!",
		"\x1b[1;31mred\x1b[0m \x1b]0;title\x07after":     "red after",
		"http://127.0.0.1:4711/s3cr3t/x: Input/output":   "(the source) Input/output",
		"right\u202eto left\u2066":                       "rightto left",
		"bytes \xff\xfe":                                 "bytes \uFFFD",
		"  tab\there  ":                                  "tab here",
		strings.Repeat("ä", shownLineSize+1):             strings.Repeat("ä", shownLineSize) + "…",
		"http://127.0.0.1:4711/s3cr3t/x":                 "(the source)",
		"Error opening input file http://[::1]:8/secret": "Error opening input file (the source)",
	} {
		if got := cleanLine(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestLevelsAreCountedAcrossWrites(t *testing.T) {
	l := newLog()
	for _, part := range []string{"[h264 @ 0x5] [warn", "ing] a\n[err", "or] b\n[fatal] c\n", "plain\n[info] d\n", strings.Repeat("x", 500), "[error] no start\n"} {
		_, _ = l.Write([]byte(part))
	}
	if l.warnings != 1 || l.errors != 2 {
		t.Errorf("%d warnings, %d errors", l.warnings, l.errors)
	}
}

func TestBeginningAndEndOfALongLogAreKept(t *testing.T) {
	l := newLog()
	_, _ = l.Write([]byte("[error] first\n"))
	for range 10000 {
		_, _ = l.Write([]byte(strings.Repeat("middle ", 20) + "\n"))
	}
	_, _ = l.Write([]byte("[error] last\n"))
	if text := l.text(); !strings.HasPrefix(text, "[error] first") || l.lastLine() != "last" || len(text) > keptHead+2*keptTail+16 || cap(l.tail) > 8*keptTail {
		t.Errorf("%d bytes kept, last line %q", len(text), l.lastLine())
	}
}

func FuzzCleanLine(f *testing.F) {
	f.Add("\x1b[31m\xff[error] http://127.0.0.1/x")
	f.Fuzz(func(t *testing.T, line string) {
		got := cleanLine(line)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\x1b\n\r\x00") || utf8.RuneCountInString(got) > shownLineSize+1 {
			t.Errorf("%q becomes %q", line, got)
		}
	})
}

func FuzzReadProgress(f *testing.F) {
	f.Add("frame=3\nout_time_us=N/A\nspeed= 1.2x\nprogress=end\n")
	f.Fuzz(func(_ *testing.T, text string) {
		readProgress(strings.NewReader(text), func(Progress) {})
	})
}

func TestProgressBeforeTheFirstPacketIsNoTime(t *testing.T) {
	var got []Progress
	readProgress(strings.NewReader("frame=0\nfps=0.00\nout_time_us=-9223372036854775808\ntotal_size=N/A\nspeed=N/A\nprogress=continue\n"+
		"frame=12\nfps=24.5\nout_time_us=500000\ntotal_size=1234\ndup_frames=1\ndrop_frames=2\nspeed=1.50x\nprogress=end\n"), func(p Progress) { got = append(got, p) })
	want := Progress{Frame: 12, FramesPerSecond: 24.5, OutTime: 500e6, Bytes: 1234, Speed: 1.5, Duplicated: 1, Dropped: 2, Done: true}
	if len(got) != 2 || got[0] != (Progress{}) || got[1] != want {
		t.Errorf("got %+v", got)
	}
}
