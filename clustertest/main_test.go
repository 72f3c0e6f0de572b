package clustertest

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"millrace/clustertest/netlab"
	"millrace/systemtest/rig"
)

// testsAtOnce is how many tests of this room run at once, unless -parallel says
// otherwise: they wait for elections and time-outs more than they compute.
const testsAtOnce = "8"

func TestMain(m *testing.M) {
	os.Exit(netlab.Main(func() int {
		flag.Parse()
		given := false
		flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
		if !given {
			if err := flag.Set("test.parallel", testsAtOnce); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		return rig.Main(m)
	}))
}
