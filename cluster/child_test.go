package cluster

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"millrace/job"
)

// childVariable names the data folder to the test binary when it is run as a
// peer of its own, to be killed.
const childVariable = "MILLRACE_TEST_CHILD"

// child proposes jobs for ever and prints each one's ID once it is acknowledged.
func child(folder string) int {
	ctx := context.Background()
	p, err := Open(ctx, quick(folder))
	if err == nil {
		err = p.Ready(ctx)
	}
	if err == nil {
		_, err = p.Propose(ctx, createOrg("default"))
	}
	for n := p.Stale().Index(); err == nil; n++ {
		id := job.ID(fmt.Sprintf("%011d", n))
		if _, err = p.Propose(ctx, createJob("default", id)); err == nil {
			fmt.Println(id)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func TestAcknowledgedJobsOutliveAKilledProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes for some seconds")
	}
	folder := t.TempDir()
	acknowledged := map[job.ID]bool{}
	for round := range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		command := exec.CommandContext(ctx, os.Args[0])
		command.Env = append(os.Environ(), childVariable+"="+folder)
		command.Stderr = os.Stderr
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 10+round && lines.Scan(); n++ {
			acknowledged[job.ID(lines.Text())] = true
		}
		_ = command.Process.Kill() // the moment after an acknowledgement
		for lines.Scan() {
			acknowledged[job.ID(lines.Text())] = true
		}
		_ = command.Wait() // "signal: killed"
		cancel()

		p := open(t, quick(folder))
		v := read(t, p)
		for id := range acknowledged {
			if _, ok := v.Job("default", id); !ok {
				t.Errorf("round %d: job %s was acknowledged and is lost", round, id)
			}
		}
		closePeer(t, p)
	}
	if len(acknowledged) < 50 {
		t.Errorf("only %d jobs were acknowledged", len(acknowledged))
	}
}
