package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// writerVariable gives the test binary the settings of a peer of its own, to be
// killed; roundsVariable how often to kill a leader, and says that the time is
// to be judged.
const (
	writerVariable = "MILLRACE_TEST_WRITER"
	roundsVariable = "MILLRACE_TEST_KILLS"
)

// written is what such a peer says of each command that was accepted.
type written struct {
	ID    string    `json:"id"`
	Leads bool      `json:"leads"`
	Asked time.Time `json:"asked"`
	Acked time.Time `json:"acked"`
	Twice bool      `json:"twice"` // instead: it was refused as if it had been applied before
	from  *writer
}

// writer proposes commands, one after the other, until it is killed.
func writerMain(settings string) int {
	var of writerSettings
	err := json.Unmarshal([]byte(settings), &of)
	config := of.config() // every other setting is the default
	ctx := context.Background()
	var p *Peer
	if err == nil {
		p, err = Open(ctx, config)
	}
	if err == nil {
		err = p.Ready(ctx)
	}
	out := json.NewEncoder(os.Stdout)
	pause := time.NewTicker(10 * time.Millisecond)
	for n := 0; err == nil; n++ {
		w := written{ID: fmt.Sprintf("%s-%s-%d", p.ID(), p.run, n), Asked: time.Now()}
		within, cancel := context.WithTimeout(ctx, 10*time.Second)
		_, refused := p.Propose(within, createOrg(w.ID))
		cancel()
		if w.Twice = errors.Is(refused, ErrExists); refused == nil || w.Twice {
			w.Acked, w.Leads = time.Now(), p.Leads()
			err = out.Encode(w)
		}
		<-pause.C
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// writerSettings is how such a peer is opened.
type writerSettings struct {
	ID, DataDir, RaftAddr, GossipAddr string
	Join                              []string
}

func (s writerSettings) config() Config {
	return Config{
		ID: s.ID, DataDir: s.DataDir, RaftAddr: s.RaftAddr, GossipAddr: s.GossipAddr, Join: s.Join, Expect: 3, Logger: loud(),
	}
}

// writer is such a process.
type writer struct {
	process *exec.Cmd
	ended   chan struct{}
}

func startWriter(t *testing.T, of writerSettings, says chan<- written) *writer {
	t.Helper()
	settings, err := json.Marshal(of)
	if err != nil {
		t.Fatal(err)
	}
	w := &writer{process: exec.CommandContext(t.Context(), os.Args[0]), ended: make(chan struct{})}
	w.process.Env = append(os.Environ(), writerVariable+"="+string(settings))
	w.process.Stderr = os.Stderr
	out, err := w.process.StdoutPipe()
	if err == nil {
		err = w.process.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.ended)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var line written
			if json.Unmarshal(lines.Bytes(), &line) == nil { // the last may be torn
				line.from = w
				says <- line
			}
		}
		_, _ = io.Copy(io.Discard, out)
		_ = w.process.Wait() // "signal: killed"
	}()
	return w
}

// kill ends a process and takes in what it still says.
func (w *writer) kill(says <-chan written, heard func(written)) {
	_ = w.process.Process.Kill()
	for {
		select {
		case line := <-says:
			heard(line)
		case <-w.ended:
			return
		}
	}
}

// next is what one of the processes says next.
func next(t *testing.T, says <-chan written) written {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	select {
	case line := <-says:
		return line
	case <-ctx.Done():
		t.Fatal("no peer accepts writes")
		return written{}
	}
}

// freeAddress is one that a peer can come back to.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.8:0") // where nobody else takes a port meanwhile
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func TestAKilledLeadersWritesAreKeptAndAppliedOnceAndTheNextComeSoon(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv(roundsVariable))
	judged := err == nil
	if !judged {
		rounds = 3
		if testing.Short() {
			t.Skip("kills processes for some seconds")
		}
	}
	folder := t.TempDir()
	says := make(chan written, 1024)
	settings, writers := make(map[string]writerSettings), make(map[string]*writer)
	var join []string
	for _, id := range []string{"a", "b", "c"} {
		join = append(join, freeAddress(t))
		settings[id] = writerSettings{ID: id, DataDir: filepath.Join(folder, id), RaftAddr: freeAddress(t), GossipAddr: join[len(join)-1]}
	}
	var acknowledged []string
	heard := func(line written) {
		if line.Twice {
			t.Errorf("%s was applied twice", line.ID)
		}
		acknowledged = append(acknowledged, line.ID)
	}
	for id, of := range settings {
		of.Join = join
		settings[id] = of
		writers[id] = startWriter(t, of, says)
	}
	defer func() {
		for _, w := range writers {
			w.kill(says, heard)
		}
	}()
	var took []time.Duration
	for range rounds {
		var leader *writer
		all := make(map[*writer]bool)
		for leader == nil || len(all) < 3 {
			line := next(t, says)
			heard(line)
			all[line.from] = true
			if line.Leads {
				leader = line.from
			}
		}
		killed := time.Now()
		_ = leader.process.Process.Kill()
		for done := false; !done; {
			line := next(t, says)
			heard(line)
			if done = line.from != leader && line.Asked.After(killed); done {
				took = append(took, line.Acked.Sub(killed))
			}
		}
		for id, w := range writers {
			if w == leader {
				writers[id] = startWriter(t, settings[id], says)
			}
		}
	}
	slices.Sort(took)
	median := took[len(took)/2]
	t.Logf("from the kill to the next accepted write: median %s of %v", median.Round(time.Millisecond), took)
	if judged && median > 2*time.Second {
		t.Errorf("that is more than 2 s")
	}

	for id, w := range writers {
		w.kill(says, heard)
		delete(writers, id)
	}
	var peers []*Peer
	for _, id := range []string{"a", "b"} { // in this process
		peers = append(peers, launch(t, settings[id].config()))
	}
	ready(t, peers...)
	for _, p := range peers {
		v := read(t, p)
		for _, id := range acknowledged {
			if _, ok := v.Organisation(id); !ok {
				t.Errorf("%s: %s was acknowledged and is lost", p.ID(), id)
			}
		}
	}
}
