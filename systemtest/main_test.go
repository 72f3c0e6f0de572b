package systemtest

import (
	"os"
	"testing"
	"time"

	"millrace/systemtest/rig"
)

// testsAtOnce is how many tests of this room run at once: each has a peer of its
// own, and waits for leases, time-outs and restarts.
const testsAtOnce = 4

func TestMain(m *testing.M) { os.Exit(rig.Main(m, testsAtOnce)) }

// longerThanLease is longer than a worker may be silent (node.LeaseTime).
const longerThanLease = 12 * time.Second
