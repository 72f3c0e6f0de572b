package simulator

import "testing"

func TestAMixedRackHasAsManyDevicesAsWereAskedFor(t *testing.T) {
	for _, devices := range []int{1, 2, 10, 134, 1000, 10_000} {
		rack := Mixed(devices)
		if err := rack.Validate(); err != nil || rack.Devices() != devices {
			t.Errorf("%d devices asked for, %d made: %v, %v", devices, rack.Devices(), rack, err)
		}
		for kind, usual := range MixedRack.Nodes {
			want := float64(usual) * float64(devices) / 134
			if got := float64(rack.Nodes[kind]); devices >= 134 && (got < want-1 || got > want+5) {
				t.Errorf("%d devices have %.0f nodes of kind %s, want about %.1f", devices, got, kind, want)
			}
		}
	}
}
