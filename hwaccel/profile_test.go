package hwaccel

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestRoomFitsInEveryDimensionOrNotAtAll(t *testing.T) {
	all := Room{Threads: 4, Sessions: 2, PixelsPerSecond: 1000, MemoryBytes: 100, ScratchBytes: 10}
	for name, c := range map[string]struct {
		need Room
		fits bool
	}{
		"nothing":          {Room{}, true},
		"exactly all":      {all, true},
		"a thread too few": {Room{Threads: 5}, false},
		"sessions":         {Room{Sessions: 3}, false},
		"pixels":           {Room{PixelsPerSecond: 1001}, false},
		"memory":           {Room{Threads: 1, MemoryBytes: 101}, false},
		"scratch":          {Room{ScratchBytes: 11}, false},
	} {
		if all.Fits(c.need) != c.fits {
			t.Errorf("%s: got %v", name, !c.fits)
		}
	}
	if left := all.Minus(all); left != (Room{}) || left.Fits(Room{Threads: 1}) || !left.Fits(Room{}) {
		t.Errorf("left %+v", left)
	}
	if over := (Room{}).Minus(Room{Sessions: 1}); !over.Fits(Room{}) || over.Fits(Room{Sessions: 1}) || over.Plus(Room{Sessions: 1}) != (Room{}) {
		t.Errorf("overdrawn %+v", over)
	}
}

func TestProfileSurvivesJSON(t *testing.T) {
	p := Profile{
		Device: Device{ID: "cpu", Kind: CPU, Name: "n", Driver: "d"}, FFmpegBuild: "b", Room: Room{Threads: 2},
		Encoders: []EncoderProfile{{Encoder: "libx264", Works: true, FramesPerSecond: map[string]float64{"360p": 100}}, {Encoder: "libx265", Reason: "r"}},
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back Profile
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(p, back) {
		t.Errorf("got %+v, %v", back, err)
	}
	if !p.Works("libx264") || p.Works("libx265") || p.Works("nonesuch") {
		t.Error("the wrong ones work")
	}
	if e, _ := p.Encoder("libx264"); e.PixelsPerSecond() != 100*640*360 {
		t.Errorf("%g pixels per second", e.PixelsPerSecond())
	}
}
