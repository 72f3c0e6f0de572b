package clustertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/api/client"
	"millrace/clustertest/netlab"
	"millrace/job"
	"millrace/systemtest/rig"
)

// team is the peers of a cluster, and what they share.
type team struct {
	t                *testing.T
	lab              *netlab.Lab
	peers            []*peer
	strangers        []*peer // processes that are no part of it
	sources, outputs string  // folders that all see
	dir              string
	flags            []string // of all peers
	hook             *rig.Hook
}

// newTeam makes so many machines and folders; nothing is started yet. Each peer
// has the flags besides its own.
func newTeam(t *testing.T, size int, flags ...string) *team {
	t.Helper()
	dir := t.TempDir()
	c := &team{t: t, lab: netlab.New(t), dir: dir, sources: filepath.Join(dir, "sources"), outputs: filepath.Join(dir, "outputs"), flags: flags}
	for _, folder := range []string{c.sources, c.outputs} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(c.finish)
	for range size {
		c.add()
	}
	return c
}

// add adds a machine with an empty data folder.
func (c *team) add() *peer {
	c.t.Helper()
	p := c.machine(fmt.Sprintf("peer%d", len(c.peers)+1))
	c.peers = append(c.peers, p)
	return p
}

// stranger adds a machine that must not become part of the cluster.
func (c *team) stranger() *peer {
	c.t.Helper()
	p := c.machine(fmt.Sprintf("stranger%d", len(c.strangers)+1))
	c.strangers = append(c.strangers, p)
	return p
}

func (c *team) machine(name string) *peer {
	c.t.Helper()
	p := &peer{
		team: c, name: name, host: c.lab.Host(), binary: rig.Binary(), flags: c.flags,
		data: filepath.Join(c.dir, name), logFile: filepath.Join(c.dir, name+".log"),
	}
	if err := os.Mkdir(p.data, 0o700); err != nil {
		c.t.Fatal(err)
	}
	return p
}

// joins are the flags that name all peers as those to find.
func (c *team) joins() []string {
	var at []string
	for _, p := range c.peers {
		at = append(at, p.host.At(gossipPort))
	}
	return []string{"--join", strings.Join(at, ",")}
}

// form starts all peers, to form one cluster, and waits until all are well.
func (c *team) form() {
	c.t.Helper()
	for _, p := range c.peers {
		p.flags = slices.Concat(c.joins(), []string{"--expect", fmt.Sprint(len(c.peers))}, c.flags)
		p.launch()
	}
	c.well()
}

// formed is a cluster of three that is well, with a receiver that hears of every
// change of a job's status.
func formed(t *testing.T, flags ...string) *team {
	t.Helper()
	c := newTeam(t, 3, flags...)
	c.form()
	c.subscribe()
	return c
}

// steered is one whose ffmpeg does what the test says: see rig.StandIn.
func steered(t *testing.T) (*team, *rig.StandIn) {
	t.Helper()
	ffmpeg := rig.NewStandIn(t)
	return formed(t, ffmpeg.Flags()...), ffmpeg
}

// holdEncode submits a job and waits until its first chunk's encode stands at a door,
// which the test opens.
func (c *team) holdEncode(ffmpeg *rig.StandIn, request client.CreateRequest) (job.ID, *rig.Door) {
	c.t.Helper()
	door := ffmpeg.Hold(rig.EncodeFrom(0))
	id := c.submit(request)
	door.Reached()
	return id, door
}

// key is the admin key, which lies with the peer that led first.
func (c *team) key() string {
	c.t.Helper()
	var key string
	rig.Eventually(c.t, "some peer has the admin key", func() bool {
		for _, p := range c.peers {
			if text, err := os.ReadFile(filepath.Join(p.data, "admin.key")); err == nil && len(text) > 0 {
				key = strings.TrimSpace(string(text))
				return true
			}
		}
		return false
	})
	return key
}

// living are the peers whose processes run.
func (c *team) living() []*peer {
	var living []*peer
	for _, p := range c.peers {
		if p.running() {
			living = append(living, p)
		}
	}
	return living
}

// keepLogs copies the logs of all processes to a folder.
func (c *team) keepLogs(folder string) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		c.t.Error(err)
		return
	}
	for _, p := range slices.Concat(c.peers, c.strangers) {
		if err := os.WriteFile(filepath.Join(folder, p.name+".log"), []byte(p.log()), 0o600); err != nil {
			c.t.Error(err)
		}
	}
}

// answerTime is how long one peer may take to answer before another is asked.
const answerTime = 10 * time.Second

// askAgain is the pause before all peers are asked once more.
const askAgain = 200 * time.Millisecond

// ask calls the API through one living peer after the other, until one of them
// does it. A refusal that no time can cure fails the test.
func (c *team) ask(what string, do func(ctx context.Context, api *client.Client) error) {
	c.t.Helper()
	var last error
	rig.Eventually(c.t, what, func() bool {
		for _, p := range c.living() {
			ctx, cancel := context.WithTimeout(c.t.Context(), answerTime)
			err := do(ctx, p.client())
			cancel()
			var refused *client.Problem
			if err == nil {
				return true
			}
			if errors.As(err, &refused) && !refused.Temporary() {
				c.t.Fatalf("%s, by %s: %v", what, p.name, err)
			}
			if last == nil || last.Error() != err.Error() {
				c.t.Logf("%s, by %s: %v", what, p.name, err)
			}
			last = err
		}
		rig.Pass(c.t, askAgain) // as a client that heeds Retry-After would
		return false
	})
}

// finish heals the network and stops all peers at once at the test's end.
func (c *team) finish() {
	c.lab.Heal()
	var stopping sync.WaitGroup
	all := slices.Concat(c.peers, c.strangers)
	for _, p := range all {
		stopping.Go(p.finish)
	}
	stopping.Wait()
	if keep := os.Getenv("MILLRACE_TEST_LOGS"); keep != "" {
		c.keepLogs(filepath.Join(keep, strings.ReplaceAll(c.t.Name(), "/", "_")))
	}
	if c.t.Failed() {
		for _, p := range all {
			c.t.Logf("the end of the log of %s (%s, %s):\n%s", p.name, p.id(), p.host.Address(), p.logTail(80))
		}
	}
}
