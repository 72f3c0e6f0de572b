package clustertest

import (
	"os"
	"testing"

	"millrace/clustertest/netlab"
	"millrace/systemtest/rig"
)

// testsAtOnce is how many tests of this room run at once: they wait for
// elections and time-outs more than they compute.
const testsAtOnce = 8

func TestMain(m *testing.M) {
	os.Exit(netlab.Main(func() int { return rig.Main(m, testsAtOnce) }))
}
