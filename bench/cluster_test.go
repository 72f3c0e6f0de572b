package bench

import (
	"io"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestTheClusterIsComparedWithBareRaft runs the whole of it with few jobs: the
// figures mean nothing, but each must be there.
func TestTheClusterIsComparedWithBareRaft(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "millrace")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../cmd/millrace").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v: %s", err, out)
	}
	report, err := Cluster(t.Context(), ClusterConfig{Millrace: program, Clients: 4, Jobs: 40, Rounds: 1, Requests: 3, Dir: dir, Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]float64{
		"ratio": report.ToBareRaft, "ratio to groups": report.ToGroupedRaft, "CPU ratio": report.CPUToBareRaft, "CPU ratio to groups": report.CPUToGroupedRaft, "millrace": report.Rounds[0].Millrace, "bare raft": report.Rounds[0].BareRaft, "bytes": float64(report.EntryBytes),
		"POST": report.API.PostP50, "GET": report.API.GetP99,
	} {
		if value <= 0 {
			t.Errorf("%s: %v", name, value)
		}
	}
}
