package cluster

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace/job"
)

// The whole of what is promised: go test -run LongHistory -v ./cluster -history.jobs 100000
var historyJobs = flag.Int("history.jobs", 5_000, "jobs in the long history")

// historyVariable names a snapshot's file to the test binary when it is run as
// a process of its own, to be measured.
const historyVariable = "MILLRACE_TEST_HISTORY"

// historyOf is a state of completed jobs, each of nine tasks and five renditions.
func historyOf(t interface{ Fatalf(string, ...any) }, jobs int) *view {
	b := newBench(t)
	b.do(createOrg("default"))
	b.longJob("00000000000")
	model, _ := first[*jobRow](b.view().txn(), tableJobs, indexID, []byte("00000000000"))
	db := newDB()
	txn := db.Write()
	w := &tx{txn: txn, index: b.index}
	w.put(tableOrganisations, &Organisation{ID: "default", Created: noon})
	for n := range jobs {
		copied := *model.job
		copied.ID = job.ID(fmt.Sprintf("%011d", n))
		copied.Spec.Output.URL = "s3://bucket/" + string(copied.ID) + "/"
		copied.Created = noon.Add(time.Duration(n) * time.Second)
		copied.Ended = copied.Created.Add(time.Hour)
		w.put(tableJobs, &jobRow{job: &copied, packed: model.packed})
	}
	w.put(tableMeta, &metaRow{Jobs: map[job.Status]int{job.Completed: jobs}})
	txn.Commit()
	return &view{db: db, index: b.index}
}

func TestALongHistoryIsRestoredWithinItsBounds(t *testing.T) {
	name := filepath.Join(t.TempDir(), "snapshot")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	v := historyOf(t, *historyJobs)
	made := time.Since(begun)
	begun = time.Now()
	if err := writeSnapshot(file, v); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("made in %s, written in %s", made, time.Since(begun))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, os.Args[0], "-history.jobs", strconv.Itoa(*historyJobs))
	command.Env = append(os.Environ(), historyVariable+"="+name)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%s", out)
	var seconds, cpu float64
	var peak, resident int64
	if _, err := fmt.Sscanf(string(out), "restored in %f s (%f s of CPU), peak %d bytes, resident %d bytes", &seconds, &cpu, &peak, &resident); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	// The race detector multiplies memory; and a small history has room to spare.
	if limit := int64(100<<20 + *historyJobs*5_000); peak > limit && !raceEnabled {
		t.Errorf("%d jobs take %d bytes at the peak, %d are allowed", *historyJobs, peak, limit)
	}
}

// history restores a snapshot as a peer does and prints what that took.
func history(name string) int {
	m := newMachine()
	file, err := os.Open(name)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	begun := time.Now()
	if err := m.Restore(file); err != nil {
		fmt.Println(err)
		return 1
	}
	took := time.Since(begun)
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		fmt.Println(err)
		return 1
	}
	peak := status("VmHWM:")
	debug.FreeOSMemory()
	cpu := time.Duration(used.Utime.Nano() + used.Stime.Nano())
	fmt.Printf("restored in %.2f s (%.2f s of CPU), peak %d bytes, resident %d bytes\n", took.Seconds(), cpu.Seconds(), peak, status("VmRSS:"))
	runtime.KeepAlive(m)
	return 0
}

// status reads a figure of the kernel's about this process, in bytes.
func status(name string) int64 {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		return -1
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == name {
			kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
			return kilobytes << 10
		}
	}
	return -1
}

// BenchmarkSnapshot measures how long writes wait for a snapshot to be taken,
// by the size of the state.
func BenchmarkSnapshot(b *testing.B) {
	for _, jobs := range []int{100, 10_000, 100_000} {
		b.Run(fmt.Sprintf("%d jobs", jobs), func(b *testing.B) {
			m := newMachine()
			v := historyOf(b, jobs)
			m.load(v.db, newProposals(nil), v.index)
			for b.Loop() {
				if _, err := m.Snapshot(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
