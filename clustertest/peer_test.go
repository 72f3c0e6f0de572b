package clustertest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"millrace/api/client"
	"millrace/clustertest/netlab"
	"millrace/systemtest/rig"
)

// peer is a `millrace serve` on a machine of its own.
type peer struct {
	team    *team
	name    string
	host    *netlab.Host
	data    string
	flags   []string // besides those that all have
	binary  string
	logFile string

	mu      sync.Mutex
	command *exec.Cmd // nil before the first start
	exited  <-chan struct{}
	api     *client.Client
}

// The ports of each peer, at its host's address.
const (
	httpPort   = "8080"
	gossipPort = "7946"
	raftPort   = "7947"
)

func (p *peer) url() string { return "http://" + p.host.At(httpPort) }

// launch starts the process and waits for nothing.
func (p *peer) launch() {
	p.team.t.Helper()
	measured(p.team.t, p.data)
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.team.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	network := p.team.lab.Prefix().String()
	command := exec.Command(p.binary, append([]string{
		"serve", "--data", p.data, "--http", p.host.At(httpPort), "--gossip", p.host.At(gossipPort), "--raft", p.host.At(raftPort),
		"--source-root", p.team.sources, "--output-root", p.team.outputs, "--slots", slots, "--log-level", "debug",
		"--allow-source-network", network, "--allow-webhook-network", network,
	}, p.flags...)...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	exited, err := p.host.Start(command)
	if err != nil {
		p.team.t.Fatalf("start %s: %v", p.name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.command, p.exited = command, exited
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

// id is the peer's name in the cluster, "" before it has one.
func (p *peer) id() string {
	text, _ := os.ReadFile(filepath.Join(p.data, "node.id"))
	return strings.TrimSpace(string(text))
}

func (p *peer) signal(s syscall.Signal) {
	p.team.t.Helper()
	if err := p.command.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.team.t.Fatal(err)
	}
}

// kill ends the peer by SIGKILL and waits until it and its children are gone.
func (p *peer) kill() {
	p.team.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.exited
	p.noProcessLeft()
}

// pause stops the process in its tracks; resume lets it go on.
func (p *peer) pause()  { p.team.t.Helper(); p.signal(syscall.SIGSTOP) }
func (p *peer) resume() { p.team.t.Helper(); p.signal(syscall.SIGCONT) }

// move puts the peer, which doesn't run, on a machine with another address.
func (p *peer) move() {
	p.host = p.team.lab.Host()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.api = nil
}

// terminate asks the peer to stop, and returns its exit code.
func (p *peer) terminate() int {
	p.team.t.Helper()
	p.signal(syscall.SIGTERM)
	deadline := time.NewTimer(rig.Patience)
	defer deadline.Stop()
	select {
	case <-p.exited:
	case <-deadline.C:
		p.signal(syscall.SIGQUIT) // its goroutines go to the log
		<-p.exited
		p.team.t.Errorf("%s did not stop; its goroutines are at the log's end", p.name)
	}
	return p.command.ProcessState.ExitCode()
}

// client calls the peer with the cluster's key.
func (p *peer) client() *client.Client {
	p.team.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.api == nil {
		api, err := client.New(p.url(), p.team.key(), "default")
		if err != nil {
			p.team.t.Fatal(err)
		}
		p.api = api
	}
	return p.api
}

// finish stops the peer at the test's end and looks at what is left of it.
func (p *peer) finish() {
	t := p.team.t
	if p.running() {
		p.resume()
		if code := p.terminate(); code != 0 && !t.Failed() {
			t.Errorf("%s ended with exit code %d after SIGTERM, want 0", p.name, code)
		}
		p.noProcessLeft()
		if left, _ := os.ReadDir(filepath.Join(p.data, "scratch")); len(left) > 0 {
			t.Errorf("%s has left in its scratch folder: %v", p.name, left)
		}
	}
	if p.api != nil {
		p.api.CloseIdleConnections()
	}
	for _, word := range []string{"DATA RACE", "panic:", "goroutine 1 ["} {
		if strings.Contains(p.log(), word) {
			t.Errorf("the log of %s has %q in it", p.name, word)
		}
	}
}

// idle says whether no ffmpeg of the peer runs and its scratch folder is empty.
func (p *peer) idle() bool {
	left, _ := os.ReadDir(filepath.Join(p.data, "scratch"))
	return len(left) == 0
}

func (p *peer) noProcessLeft() {
	p.team.t.Helper()
	rig.Eventually(p.team.t, "no ffmpeg of "+p.name+" is left", func() bool {
		return len(rig.ProcessesIn(p.team.t, filepath.Join(p.data, "scratch"))) == 0
	})
}

func (p *peer) log() string {
	text, _ := os.ReadFile(p.logFile)
	return string(text)
}

// logTail is the end of the peer's log, without its requests.
func (p *peer) logTail(lines int) string {
	all := slices.DeleteFunc(strings.Split(strings.TrimSpace(p.log()), "\n"), func(line string) bool {
		return strings.Contains(line, "msg=request ")
	})
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
