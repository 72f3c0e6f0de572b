package ffmpeg

import (
	"slices"
	"strings"
	"testing"
)

func TestAPinReplacesTheInheritedDeviceSelection(t *testing.T) {
	t.Setenv("CUDA_VISIBLE_DEVICES", "0,1")
	t.Setenv("LIBVA_DRIVER_NAME", "iHD")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	env := environment("/scratch", []string{"CUDA_VISIBLE_DEVICES=GPU-1"})
	var named []string
	for _, e := range env {
		if strings.HasPrefix(e, "CUDA_VISIBLE_DEVICES=") {
			named = append(named, e)
		}
		if strings.Contains(e, "secret") {
			t.Errorf("ffmpeg sees %s", e)
		}
	}
	// The C library answers with the first of two entries, so one must not stay.
	if !slices.Equal(named, []string{"CUDA_VISIBLE_DEVICES=GPU-1"}) || !slices.Contains(env, "LIBVA_DRIVER_NAME=iHD") {
		t.Errorf("got %q", env)
	}
}
