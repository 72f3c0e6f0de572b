package cluster

import (
	"flag"
	"testing"
	"testing/synctest"
	"time"
)

// A thousand take some minutes: go test -run Bandwidth -v ./cluster -gossip.members 1000
var simulatedMembers = flag.Int("gossip.members", 24, "members of the gossip simulation")

func TestGossipStaysWithinItsBandwidth(t *testing.T) {
	if raceEnabled {
		*simulatedMembers = 6 // it only looks for races
	}
	// Time is virtual, so neither a busy machine nor a small one matters.
	synctest.Test(t, func(t *testing.T) {
		report, err := gossipSimulation{
			Members: *simulatedMembers, ProfileBytes: 8 << 10, LoadBytes: 150, LoadEvery: time.Second, ProfileEvery: 20 * time.Second,
			Settle: time.Minute, Measure: 2 * time.Minute,
		}.run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("bytes a second: %+v", report)
		if report.MostSent > 50_000 || report.MostReceived > 50_000 {
			t.Errorf("some member sends %d and some receives %d bytes a second", report.MostSent, report.MostReceived)
		}
		interval := loadEvery(*simulatedMembers, 180).Seconds()
		if report.LoadAge > 3*interval || report.LoadAge99 > 10*interval {
			t.Errorf("loads are told every %.1f s; they are %.1f s old, one in a hundred %.1f s", interval, report.LoadAge, report.LoadAge99)
		}
		if *simulatedMembers <= 100 && (report.Profiles < 1 || report.ProfileSeconds == 0 || report.ProfileSeconds > 10) {
			t.Errorf("a profile takes %.1f s to reach all, and of all profiles %.3f are known", report.ProfileSeconds, report.Profiles)
		}
		time.Sleep(time.Minute) // memberlist's probes end
	})
}
