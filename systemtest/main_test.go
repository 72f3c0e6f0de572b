package systemtest

import (
	"os"
	"testing"
	"time"

	"millrace/systemtest/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

// longerThanLease is longer than a worker may be silent (node.LeaseTime).
const longerThanLease = 12 * time.Second
