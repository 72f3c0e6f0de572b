package systemtest

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"millrace/api/client"
	"millrace/systemtest/rig"
)

// slots is how many encodes each peer does at once, whatever this machine has.
const slots = "2"

// peer is a `millrace serve` that can be killed and started again.
type peer struct {
	t                      *testing.T
	data, sources, outputs string // folders
	http, gossip, raft     string // addresses
	flags                  []string
	env                    []string
	logFile                string
	binary                 string // empty: the program under test as it is delivered

	mu      sync.Mutex
	command *exec.Cmd     // nil while it isn't running
	exited  chan struct{} // closed when it has ended
	api     *client.Client
}

// newPeer makes the folders of a peer; flags are added to those of the contract.
func newPeer(t *testing.T, flags ...string) *peer {
	t.Helper()
	dir := t.TempDir()
	p := &peer{
		t: t, data: filepath.Join(dir, "data"), sources: filepath.Join(dir, "sources"), outputs: filepath.Join(dir, "outputs"),
		http: freeAddress(t), gossip: freeAddress(t), raft: freeAddress(t),
		flags: append([]string{"--slots", slots}, flags...), logFile: filepath.Join(dir, "peer.log"),
	}
	for _, folder := range []string{p.data, p.sources, p.outputs} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(p.finish)
	return p
}

// url is the peer's address.
func (p *peer) url() string { return "http://" + p.http }

// keyFile is where the admin key lies.
func (p *peer) keyFile() string { return filepath.Join(p.data, "admin.key") }

func (p *peer) key() string {
	p.t.Helper()
	text, err := os.ReadFile(p.keyFile())
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// start starts the peer and waits until it takes jobs.
func (p *peer) start() {
	p.t.Helper()
	measure(p.t, filepath.Join(p.data, "profiles.json"))
	p.launch()
	p.ready()
}

// launch starts the process without waiting for it to be ready.
func (p *peer) launch() {
	p.t.Helper()
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	args := append([]string{
		"serve", "--data", p.data, "--http", p.http, "--gossip", p.gossip, "--raft", p.raft,
		"--source-root", p.sources, "--output-root", p.outputs, "--log-level", "debug",
	}, p.flags...)
	binary := cmp.Or(p.binary, rig.Binary())
	command := exec.Command(binary, args...)
	command.Env = append(os.Environ(), p.env...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	exited, started := make(chan struct{}), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: Pdeathsig is bound to the thread
		defer close(exited)
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait() // its state is in command.ProcessState
		}
	}()
	if err := <-started; err != nil {
		p.t.Fatalf("start %s: %v", binary, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.command, p.exited = command, exited
}

// ready waits until the peer takes jobs, and makes the client of its API.
func (p *peer) ready() {
	p.t.Helper()
	rig.Eventually(p.t, "the peer answers /readyz with 200", func() bool {
		if !p.running() {
			p.t.Fatal("the peer ended instead of getting ready")
		}
		ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url()+"/readyz", nil)
		if err != nil {
			p.t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	if p.api == nil {
		api, err := client.New(p.url(), p.key(), "default")
		if err != nil {
			p.t.Fatal(err)
		}
		p.api = api
	}
}

func (p *peer) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.command == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// pid is the running process's.
func (p *peer) pid() int { return p.command.Process.Pid }

// kill ends the peer by SIGKILL and waits until it and its children are gone.
func (p *peer) kill() {
	p.t.Helper()
	if err := p.command.Process.Signal(syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
	<-p.exited
	p.noProcessLeft()
}

// signal asks the peer to stop.
func (p *peer) signal() {
	p.t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// terminate asks the peer to stop, and returns its exit code.
func (p *peer) terminate() int {
	p.t.Helper()
	p.signal()
	return p.wait()
}

// wait waits for the process's end, and returns its exit code.
func (p *peer) wait() int {
	p.t.Helper()
	deadline := time.NewTimer(rig.Patience)
	defer deadline.Stop()
	select {
	case <-p.exited:
	case <-deadline.C:
		_ = p.command.Process.Signal(syscall.SIGQUIT) // its goroutines go to the log
		<-p.exited
		p.t.Error("the peer did not stop; its goroutines are at the log's end")
	}
	return p.command.ProcessState.ExitCode()
}

// restart kills the peer and starts it again.
func (p *peer) restart() {
	p.t.Helper()
	p.kill()
	p.start()
}

// finish stops the peer at the test's end and looks at what is left of it.
func (p *peer) finish() {
	if p.running() {
		if code := p.terminate(); code != 0 && !p.t.Failed() {
			p.t.Errorf("the peer ended with exit code %d after SIGTERM, want 0", code)
		}
		p.noProcessLeft()
		if left := p.scratch(); len(left) > 0 {
			p.t.Errorf("left in the scratch folder: %v", left)
		}
	}
	for _, word := range []string{"DATA RACE", "panic:", "goroutine 1 ["} {
		if strings.Contains(p.log(), word) {
			p.t.Errorf("the peer's log has %q in it", word)
		}
	}
	if p.api != nil {
		p.api.CloseIdleConnections()
	}
	if p.t.Failed() {
		p.t.Logf("the end of the peer's log:\n%s", p.logTail(120))
	}
}

// scratch names what lies in the scratch folder.
func (p *peer) scratch() []string {
	var names []string
	entries, _ := os.ReadDir(filepath.Join(p.data, "scratch"))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func (p *peer) log() string {
	text, _ := os.ReadFile(p.logFile)
	return string(text)
}

func (p *peer) logTail(lines int) string {
	all := strings.Split(strings.TrimSpace(p.log()), "\n")
	all = slices.DeleteFunc(all, func(line string) bool {
		return strings.Contains(line, "path=/readyz") || strings.Contains(line, "method=GET")
	})
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// noProcessLeft waits until nothing that the peer started is there any more.
func (p *peer) noProcessLeft() {
	p.t.Helper()
	var left []rig.Process
	rig.Eventually(p.t, "no ffmpeg of the peer is left", func() bool {
		left = p.encoders()
		return len(left) == 0
	})
}

// encoders are the processes that work in the peer's scratch folder, also when
// the peer itself is gone.
func (p *peer) encoders() []rig.Process {
	return rig.ProcessesIn(p.t, filepath.Join(p.data, "scratch"))
}

// measured is done once the first peer has measured this machine.
var measured sync.Once

// measure puts the measurements of this machine where a peer looks for them.
// The first peer of a run of the tests makes them.
func measure(t *testing.T, file string) {
	t.Helper()
	kept := filepath.Join(rig.Shared(), "profiles.json")
	measured.Do(func() {
		first := newPeer(t)
		first.launch()
		first.ready()
		rig.Eventually(t, "the first peer has measured the machine", func() bool {
			_, err := os.Stat(filepath.Join(first.data, "profiles.json"))
			return err == nil
		})
		rig.CopyFile(t, filepath.Join(first.data, "profiles.json"), kept)
		if code := first.terminate(); code != 0 {
			t.Fatalf("the measuring peer ended with exit code %d", code)
		}
	})
	if _, err := os.Stat(file); err == nil {
		return
	}
	rig.CopyFile(t, kept, file)
}
