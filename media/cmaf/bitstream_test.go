package cmaf

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"millrace/job"
)

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestCodecStringsAreReadFromTheConfiguration(t *testing.T) {
	for _, test := range []struct{ kind, config, want string }{
		{"avcC", "0164001fffe1", "avc1.64001f"},
		{"avcC", "0142c01effe100", "avc1.42c01e"},
		{"hvcC", "01 01 60000000 900000000000 3c f000fcfdf8f800000f00", "hvc1.1.6.L60.90"},
		{"hvcC", "01 22 20000000 b00000000001 5d f000fcfdfafa00000f00", "hvc1.2.4.H93.b0.0.0.0.0.1"},
		{"hvcC", "01 41 60000000 000000000000 78 f000fcfdf8f800000f00", "hvc1.A1.6.L120"},
		{"av1C", "81000d00", "av01.0.00M.08"},
		{"av1C", "8109cc00", "av01.0.09H.10"},
	} {
		var entry visualEntry
		payload := unhex(t, test.config)
		if test.kind == "avcC" {
			payload = append(payload, make([]byte, 8)...)
		}
		raw := joinBox([]byte("\x00\x00\x00\x00"+test.kind), payload)
		if _, err := entry.parseConfig(test.kind, raw, payload); err != nil {
			t.Errorf("%s %s: %v", test.kind, test.config, err)
		} else if entry.codec != test.want {
			t.Errorf("%s %s is %s, want %s", test.kind, test.config, entry.codec, test.want)
		}
	}
}

func TestTheEncodersSettingsAreTakenOutOfTheConfiguration(t *testing.T) {
	head := "01 01 60000000 900000000000 3c f000fcfdf8f800000f"
	vps, sei, sps := "20 0001 0003 400102", "27 0001 0004 4e01ffff", "21 0001 0002 4201"
	got, err := hevcConfigWithoutSEI(unhex(t, head+"03"+vps+sei+sps))
	if err != nil {
		t.Fatal(err)
	}
	if want := unhex(t, head+"02"+vps+sps); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if _, err := hevcConfigWithoutSEI(unhex(t, head+"03"+vps)); err == nil {
		t.Error("a configuration that ends too early was taken")
	}
}

func TestOnlyPicturesThatResetTheDecoderAreKeyframes(t *testing.T) {
	for _, test := range []struct {
		what  string
		codec job.Codec
		data  string
		want  string // part of the error, "" if it is a keyframe
	}{
		{"an IDR picture after SEI", job.H264, "00000002 0605 00000003 658884", ""},
		{"a recovery point", job.H264, "00000002 0605 00000003 419a21", "no IDR picture but NAL type 1"},
		{"only SEI", job.H264, "00000002 0605", "no coded slice"},
		{"a length that lies", job.H264, "00001000 6588", "NAL unit of 4096 bytes"},
		{"nothing", job.H264, "", "no coded slice"},
		{"IDR_N_LP", job.HEVC, "00000003 4e0105 00000003 2801af", ""},
		{"IDR_W_RADL", job.HEVC, "00000003 2601af", ""},
		{"CRA", job.HEVC, "00000003 2a01af", "no IDR picture but NAL type 21"},
		{"a key frame with its sequence header", job.AV1, "0a 02 0000 32 02 1000", ""},
		{"a key frame alone", job.AV1, "32 02 1000", "no sequence header"},
		{"an inter frame", job.AV1, "0a 02 0000 32 02 3000", "no shown key frame"},
		{"a key frame that isn't shown", job.AV1, "0a 02 0000 32 02 0000", "no shown key frame"},
		{"an OBU that lies", job.AV1, "0a 7f 00", "doesn't fit"},
		{"no frame", job.AV1, "0a 02 0000", "no frame"},
	} {
		err := checkKeyframe(test.codec, 4, unhex(t, test.data))
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.what, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got %v, want %q", test.what, err, test.want)
		}
	}
}

func TestBordersOfSoundNeverDrift(t *testing.T) {
	// Ten hours at 60000/1001: the last border is as exact as the first.
	timeline := job.Timeline{Rate: job.Rational{Num: 60000, Den: 1001}, Frames: 2157842, SegmentFrames: 240}
	c := NewAudioCutter(AudioConfig{Timeline: timeline, Track: job.AudioTrack{SampleRate: 48000}, PrimingSamples: AACPriming})
	if err := c.validate(); err != nil {
		t.Fatal(err)
	}
	// 2157842 × 1001/60000 × 48000 = 1727999873.6 samples, and 1024 of priming.
	if want := int64((1727999874 + 1024 + 1023) / 1024); c.expected != want {
		t.Errorf("%d access units, want %d", c.expected, want)
	}
}
