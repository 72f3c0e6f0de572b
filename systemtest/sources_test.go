package systemtest

import (
	"os"
	"path/filepath"

	"millrace/systemtest/rig"
)

// put places a source under the peer's source root, and returns its URL.
func (p *peer) put(file, name string) string {
	p.t.Helper()
	to := filepath.Join(p.sources, name)
	if err := os.Link(file, to); err != nil {
		rig.CopyFile(p.t, file, to)
	}
	return "file://" + to
}

// write places bytes under the peer's source root, and returns their URL.
func (p *peer) write(name, text string) string {
	p.t.Helper()
	to := filepath.Join(p.sources, name)
	if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return "file://" + to
}

// allowHooks lets a peer deliver to receivers of this machine.
var allowHooks = []string{"--allow-webhook-network", "127.0.0.0/8"}
