package clustertest

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"millrace/clustertest/netlab"
	"millrace/systemtest/rig"
)

// slots is how many encodes each peer does at once, whatever this machine has.
const slots = "1"

// profiles is where a peer keeps what its trial encodes have measured.
const profiles = "profiles.json"

var measuring sync.Mutex

// measured puts the measurements of this machine where a peer looks for them.
// The first call of a run of the tests has a peer make them.
func measured(t *testing.T, data string) {
	t.Helper()
	measuring.Lock()
	defer measuring.Unlock()
	kept := filepath.Join(rig.Shared(), profiles)
	if _, err := os.Stat(kept); err != nil {
		measure(t, kept)
	}
	if _, err := os.Stat(filepath.Join(data, profiles)); err != nil {
		rig.CopyFile(t, kept, filepath.Join(data, profiles))
	}
}

func measure(t *testing.T, kept string) {
	t.Helper()
	host := netlab.New(t).Host()
	data := t.TempDir()
	command := exec.Command(rig.Binary(), "serve", "--data", data, "--slots", slots)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	exited, err := host.Start(command)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = command.Process.Kill()
		<-exited
	}()
	rig.Eventually(t, "a peer has measured the machine", func() bool {
		_, err := os.Stat(filepath.Join(data, profiles))
		return err == nil
	})
	rig.CopyFile(t, filepath.Join(data, profiles), kept)
}
