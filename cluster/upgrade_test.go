package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"millrace/job"
)

// upgradeVariable makes the test binary a peer that does what its standard
// input says, one line at a time, and answers each with a line.
const upgradeVariable = "MILLRACE_TEST_UPGRADE"

const noteID = "note"

// rush is how many jobs are created at the same time.
const rush = 8

// theNote is the command of the next program, nil in this one (see next_test.go).
var theNote func() Command

// processConfig is what differs between these peers.
type processConfig struct {
	ID, DataDir string
	Join        []string
	Timeout     time.Duration
	// Knows is the newest version of the commands that this peer understands, 0
	// for all of its program's.
	Knows int
}

// upgraded is a peer in a process of its own.
func upgraded(settings string) int {
	var own processConfig
	if err := json.Unmarshal([]byte(settings), &own); err != nil {
		fmt.Println(err)
		return 1
	}
	if own.Knows > 0 {
		commandVersion = own.Knows
	}
	config := Config{
		ID: own.ID, DataDir: own.DataDir, RaftAddr: "127.0.0.1:0", GossipAddr: "127.0.0.1:0", Join: own.Join, Expect: 3,
		HeartbeatTimeout: own.Timeout, ElectionTimeout: own.Timeout, LeaderLease: own.Timeout / 2, StableFor: own.Timeout,
		Logger: loud(), Fatal: func(err error) { fmt.Println("fatal", err) },
	}
	ctx := context.Background()
	p, err := Open(ctx, config)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("open", p.gossipAddr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		verb, arg, _ := strings.Cut(lines.Text(), " ")
		fmt.Println(verb, p.obey(ctx, verb, arg))
	}
	if err := p.Close(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func (p *Peer) obey(ctx context.Context, verb, arg string) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	answer := func(_ any, err error) string {
		if err != nil {
			return err.Error()
		}
		return "ok"
	}
	switch verb {
	case "ready":
		return answer(nil, p.Ready(ctx))
	case "org":
		return answer(p.Propose(ctx, createOrg("default")))
	case "create":
		return answer(p.Propose(ctx, createJob("default", job.ID(arg))))
	case "place":
		placed := createJob("default", job.ID(arg))
		placed.Spec.Requires = []string{"ssd"}
		return answer(p.Propose(ctx, placed))
	case "rush": // many at once, which may go into one entry
		var all sync.WaitGroup
		var made atomic.Int64
		for n := range rush {
			all.Go(func() {
				if _, err := p.Propose(ctx, createJob("default", job.ID(fmt.Sprintf("%s-%d", arg, n)))); err == nil {
					made.Add(1)
				}
			})
		}
		all.Wait()
		return strconv.FormatInt(made.Load(), 10)
	case "note":
		return answer(p.Propose(ctx, theNote()))
	case "state":
		v, err := p.View(ctx)
		if err != nil {
			return err.Error()
		}
		_, noted := v.Organisation(noteID)
		return fmt.Sprintf("%d jobs, noted %v", v.Counts()[job.Queued], noted)
	}
	return "what?"
}

// process is one such peer, seen from outside.
type process struct {
	command *exec.Cmd
	in      io.WriteCloser
	gossip  string
	fatal   chan string

	mu    sync.Mutex // one question at a time
	lines chan string
}

func startProcess(t *testing.T, program string, config processConfig) *process {
	t.Helper()
	settings, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{command: exec.Command(program), lines: make(chan string, 16), fatal: make(chan string, 1)}
	p.command.Env = append(os.Environ(), upgradeVariable+"="+string(settings))
	p.command.Stderr = os.Stderr
	if p.in, err = p.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if why, fatal := strings.CutPrefix(lines.Text(), "fatal "); fatal {
				p.fatal <- why
				continue
			}
			p.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() { p.stop(t); <-read })
	line := <-p.lines
	gossip, opened := strings.CutPrefix(line, "open ")
	if !opened {
		t.Fatalf("the peer doesn't open: %s", line)
	}
	p.gossip = gossip
	return p
}

// ask has the peer do something and returns its answer.
func (p *process) ask(line string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := fmt.Fprintln(p.in, line); err != nil {
		return err.Error()
	}
	verb, _, _ := strings.Cut(line, " ")
	return strings.TrimPrefix(<-p.lines, verb+" ")
}

// stop ends the peer in good order and waits for it.
func (p *process) stop(t *testing.T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.command.ProcessState != nil {
		return
	}
	_ = p.in.Close() // its sign to close
	for line := range p.lines {
		t.Log(line)
	}
	if err := p.command.Wait(); err != nil {
		t.Errorf("the peer ends with %v", err)
	}
}

func TestAClusterIsUpgradedOnePeerAtATime(t *testing.T) {
	t.Parallel() // it mostly waits
	if testing.Short() {
		t.Skip("builds a second program")
	}
	old, next := os.Args[0], filepath.Join(t.TempDir(), "next.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "millrace_next", "-o", next, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the next program: %v: %s", err, out)
	}
	configs, peers := map[string]processConfig{}, map[string]*process{}
	var mu sync.Mutex // of peers
	var known []string
	for _, id := range []string{"a", "b", "c"} {
		config := processConfig{ID: id, DataDir: filepath.Join(t.TempDir(), id), Join: known, Timeout: pace * 300 * time.Millisecond, Knows: groupVersion - 1}
		configs[id], peers[id] = config, startProcess(t, old, config)
		known = append(known, peers[id].gossip)
	}
	for id, p := range peers {
		if said := p.ask("ready"); said != "ok" {
			t.Fatalf("%s: %s", id, said)
		}
	}
	if said := peers["a"].ask("org"); said != "ok" {
		t.Fatal(said)
	}

	// Somebody creates jobs all the while, at whichever peer takes them.
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	acknowledged := 0
	writing.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			mu.Lock()
			p := peers[string("abc"[n%3])]
			mu.Unlock()
			if made, err := strconv.Atoi(p.ask(fmt.Sprintf("rush %09d", n))); err == nil {
				acknowledged += made
			}
		}
	})
	for _, id := range []string{"a", "b", "c"} {
		mu.Lock()
		peers[id].stop(t)
		config := configs[id]
		config.Join, config.Knows = nil, 0
		for other, p := range peers {
			if other != id {
				config.Join = append(config.Join, p.gossip)
			}
		}
		peers[id] = startProcess(t, next, config)
		p := peers[id]
		mu.Unlock()
		if said := p.ask("ready"); said != "ok" {
			t.Fatalf("%s: %s", id, said)
		}
		if id != "c" {
			if said := p.ask("note"); !strings.Contains(said, ErrUpgrading.Error()) {
				t.Errorf("%s is upgraded, others aren't, and the new command gives: %s", id, said)
			}
			if said := p.ask("place placed" + id); !strings.Contains(said, ErrUpgrading.Error()) {
				t.Errorf("%s is upgraded, others aren't, and a job that requires something gives: %s", id, said)
			}
		}
	}
	eventually(t, "the new command is taken", func() string {
		if said := peers["b"].ask("note"); said != "ok" {
			return said
		}
		return ""
	})
	if said := peers["b"].ask("place placedzzzzz"); said != "ok" {
		t.Errorf("all are upgraded, and a job that requires something gives: %s", said)
	}
	stop()
	writing.Wait()
	for id, p := range peers {
		var jobs int
		if said := p.ask("state"); !strings.HasSuffix(said, "noted true") {
			t.Errorf("%s: %s", id, said)
		} else if _, err := fmt.Sscanf(said, "%d jobs", &jobs); err != nil || jobs < acknowledged {
			t.Errorf("%s has %s, %d were acknowledged", id, said, acknowledged)
		}
		if len(p.fatal) > 0 {
			t.Errorf("%s halted: %s", id, <-p.fatal)
		}
	}
	if acknowledged == 0 {
		t.Error("no write came through")
	}

	// Who is set back meets what it can't know, and stops.
	peers["a"].stop(t)
	config := configs["a"]
	config.Join = []string{peers["b"].gossip, peers["c"].gossip}
	back := startProcess(t, old, config)
	if why := <-back.fatal; !strings.Contains(why, "upgrade") || !strings.Contains(why, ErrHalted.Error()) {
		t.Errorf("it stops because: %s", why)
	}
	if said := peers["b"].ask("create zzzzzzzzzzz"); said != "ok" {
		t.Errorf("the others don't go on: %s", said)
	}
}

func TestAFieldThatAPeerDoesntKnowIsIgnored(t *testing.T) {
	data := []byte(`{"v":1,"c":"set_drain","d":{"node":"n1","draining":true,"at":"2026-11-24T12:00:00Z","reason":"a later program's"},"x":1}`)
	entry := logOf(data)
	entry.Index, entry.Type = 1, raft.LogCommand
	b := newBench(t)
	if a := b.m.Apply(&entry).(answer); a.err != nil {
		t.Fatal(a.err)
	}
	if state, _ := b.view().NodeState("n1"); !state.Draining {
		t.Errorf("the node is %+v", state)
	}
}

func TestANewerCommandIsProposedOnlyWhenAllUnderstandIt(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := trio(t)
	leader := leaderOf(t, peers)
	follower := othersThan(peers, leader)[0]
	entry, err := encodeCommand(createOrg("default"))
	if err != nil {
		t.Fatal(err)
	}
	newer := json.RawMessage(strings.Replace(string(entry.Data), `"v":1`, `"v":9`, 1))
	if err := follower.Call(t.Context(), leader.ID(), callPropose, newer, nil); !errors.Is(err, ErrUpgrading) {
		t.Errorf("the leader takes it: %v", err)
	}
	// A peer that doesn't say is of the first version, also when it has gone.
	goneWithVersion(t, peers, follower, 0)
	g := leader.gossip()
	if version, known := g.understands(raft.ServerID(follower.ID())); version != 1 || !known {
		t.Errorf("it understands %d, %v", version, known)
	}
	eventually(t, "it is gone", func() string {
		if _, seen := g.member(follower.ID()); seen {
			return "it is still seen"
		}
		return ""
	})
	if version, known := g.understands(raft.ServerID(follower.ID())); version != 1 || !known {
		t.Errorf("gone, it understands %d, %v", version, known)
	}
}

// goneWithVersion cuts a peer off and has all others think that it understood
// commands of a version: any of them may lead next. It is cut off first, so that it
// can't say again what it really understands.
func goneWithVersion(t *testing.T, peers map[string]*Peer, gone *Peer, version int) {
	t.Helper()
	cutOff(t, gone)
	for _, p := range othersThan(peers, gone) {
		g := p.gossip()
		g.mu.Lock()
		seen := g.seen[gone.ID()]
		seen.Commands = version
		g.seen[gone.ID()] = seen
		g.mu.Unlock()
	}
}
