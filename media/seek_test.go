package media

import (
	"slices"
	"testing"
	"time"

	"millrace/media/mediatest"
)

// TestInspectionSaysWhatIsDecodedBeforeEachSegment of a source with a keyframe every
// three seconds.
func TestInspectionSaysWhatIsDecodedBeforeEachSegment(t *testing.T) {
	t.Parallel()
	path := mediatest.Make(t, "keyframes.mp4", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=16",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "75", "-keyint_min", "75", "-sc_threshold", "0")
	spec := tinySpec()
	spec.SegmentDuration = 4 * time.Second
	leads := inspected(t, path, spec).plan.Source.Leads
	if want := []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second}; !slices.Equal(leads, want) {
		t.Errorf("before its segments %v are decoded, want %v", leads, want)
	}
}
