package bench

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

func TestACommandIsHeldToOneCore(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("SKIPPED: this machine has one core only")
	}
	for core := range 2 {
		command := exec.CommandContext(t.Context(), "nproc")
		out := &strings.Builder{}
		command.Stdout = out
		if err := startOn(core, command); err != nil {
			t.Fatal(err)
		}
		if err := command.Wait(); err != nil || strings.TrimSpace(out.String()) != "1" {
			t.Errorf("on core %d a command sees %q cores, %v", core, out, err)
		}
	}
	if err := startOn(1<<20, exec.CommandContext(t.Context(), "nproc")); err == nil {
		t.Error("a core that isn't there was taken")
	}
}
