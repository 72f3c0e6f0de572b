package hwaccel

import (
	"testing"
	"testing/fstest"
)

func TestProcessesOfOursAreKnownByTheirAncestors(t *testing.T) {
	stat := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	m := Machine{PID: 100, Root: fstest.MapFS{
		"proc/100/stat": stat("100 (millrace) S 1 100 100 0"),
		"proc/200/stat": stat("200 (ffmpeg) S 100 200 200 0"),
		"proc/201/stat": stat("201 (odd) S 1 name) S 200 200 200 0"),
		"proc/300/stat": stat("300 (obs) S 1 300 300 0"),
		"proc/400/stat": stat("garbage"),
		"proc/500/stat": stat("500 (loop) S 501 0"),
		"proc/501/stat": stat("501 (loop) S 500 0"),
	}}
	for pid, want := range map[int]bool{100: true, 200: true, 201: true, 300: false, 400: false, 500: false, 999: false, 0: false} {
		if got := m.ours(pid); got != want {
			t.Errorf("process %d is ours: %v, want %v", pid, got, want)
		}
	}
}
