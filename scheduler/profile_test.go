package scheduler

import (
	"testing"

	"millrace/hwaccel"
)

func TestCardsThatShareALimitOfSessionsAreChargedTogether(t *testing.T) {
	card := func(id string) hwaccel.Profile {
		return hwaccel.Profile{
			Device:   hwaccel.Device{ID: id, Kind: hwaccel.NVIDIA, Name: "a card at home"},
			Encoders: []hwaccel.EncoderProfile{{Encoder: "h264_nvenc", Works: true, Sessions: 3, FramesPerSecond: map[string]float64{"1080p": 600}}},
			// What each has by itself: the other held some when this was told.
			Room: hwaccel.Room{Sessions: 3}, SharedSessions: 8,
		}
	}
	host := hwaccel.Profile{Device: hwaccel.Device{ID: "cpu", Kind: hwaccel.CPU}, Room: hwaccel.Room{Threads: 32, MemoryBytes: 64 << 30, ScratchBytes: 1 << 40}}
	shared, devices := FromProfiles([]hwaccel.Profile{host, card("a"), card("b")})
	if shared[HostSessions] != 8 || shared[Scratch] != 1<<40 {
		t.Errorf("the host shares %d sessions and %d bytes of scratch disk", shared[HostSessions], shared[Scratch])
	}
	e := engineWith(Node{ID: "n", Host: shared, Devices: devices})
	work := ladderWork(func(w *Work) { w.Encoders = "h264_nvenc"; w.Ladder = "1920x1080,1280x720" })
	queue(e, Job{ID: "j"}, work, 100, 100, 100, 100, 100, 100, 100, 100)
	sessions := 0
	for _, a := range e.Decide() {
		if a.Device != "a" && a.Device != "b" {
			t.Errorf("%s is on %s", a.Task, a.Device)
		}
		sessions += 2
	}
	if sessions != 8 {
		t.Errorf("%d sessions are used of the 8 that the driver opens for both cards", sessions)
	}
}

func TestWhatAnEncoderDrawsIsWhatItsFramesTakeAtItsSpeed(t *testing.T) {
	profile := hwaccel.Profile{
		Device: hwaccel.Device{ID: "a", Kind: hwaccel.NVIDIA}, Encoders: []hwaccel.EncoderProfile{
			{Encoder: "h264_nvenc", Works: true, FramesPerSecond: map[string]float64{"360p": 1200, "1080p": 500}, JoulesPerFrame: map[string]float64{"1080p": 0.1}},
			{Encoder: "hevc_nvenc", Works: true, FramesPerSecond: map[string]float64{"1080p": 400}}, // as in a profile from before
		},
	}
	_, devices := FromProfiles([]hwaccel.Profile{profile})
	if got := devices[0].Encoders; got[0].Watts != 50 || got[1].Watts != 0 {
		t.Errorf("got %+v", got)
	}
}
