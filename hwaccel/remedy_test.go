package hwaccel

import (
	"strings"
	"testing"

	"millrace/job"
)

func TestEachFailureHasItsRemedy(t *testing.T) {
	for code, want := range map[job.Code]Remedy{
		job.HardwareSessions: RetryHere, job.HardwareLost: Elsewhere, job.HardwareMemory: Elsewhere,
		job.HardwareUnsupported: NextEncoder, job.HardwareDriver: NextEncoder,
		job.EncoderStalled: Elsewhere, job.MediaCorrupt: InputsFault, job.LimitExceeded: InputsFault,
		job.OutputUnreachable: NotOurs, job.WorkerDiskFull: NotOurs, job.InternalError: NotOurs,
	} {
		if got := RemedyFor(code); got != want {
			t.Errorf("%s: got %q, want %q", code, got, want)
		}
	}
	for _, info := range job.CodeTable {
		if _, known := remedies[info.Code]; strings.HasPrefix(string(info.Code), "hw_") && !known {
			t.Errorf("%s has no remedy", info.Code)
		}
	}
}
