package node

import (
	"math/bits"
	"os"
	"testing"
)

func TestAttemptsMayFillAPartOfTheFreeDisk(t *testing.T) {
	got := scratchFor(t.TempDir())
	var load toldLoad
	machineLoad(os.DirFS("/"), t.TempDir(), 0)(&load)
	if got <= 0 || got > load.DiskFree || bits.OnesCount64(uint64(got)) != 1 {
		t.Errorf("attempts may fill %d bytes of the %d that are free", got, load.DiskFree)
	}
	if got := scratchFor(t.TempDir() + "/not there"); got != 0 {
		t.Errorf("of a disk that can't be read, they may fill %d bytes", got)
	}
}
