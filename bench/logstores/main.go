// Logstores times the two log stores of hashicorp/raft that Millrace could use,
// raft-wal and raft-boltdb, by appending the same entries to each in turn:
//
//	cd bench/logstores && go run . -dir /on/the/disk/that/counts
//
// It is a module of its own because raft-boltdb needs a release of go-metrics that
// the rest of Millrace can't be built with, so its numbers and Millrace's
// dependencies stay apart.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"go.etcd.io/bbolt"
)

// store is a log store and how it is closed.
type store struct {
	raft.LogStore
	close func() error
}

// contenders are the stores, each opened in a folder of its own.
var contenders = []struct {
	name string
	open func(dir string) (store, error)
}{
	{"raft-wal", openWAL},
	{"raft-boltdb", func(dir string) (store, error) { return openBolt(dir, &bbolt.Options{}) }},
	// As its largest user runs it: the list of free pages is found out at the start.
	{"raft-boltdb, no freelist sync", func(dir string) (store, error) {
		return openBolt(dir, &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	}},
}

// openWAL opens raft-wal as Millrace does.
func openWAL(dir string) (store, error) {
	meta := &metadb.BoltMetaDB{}
	l, err := wal.Open(dir, wal.WithLogger(hclog.NewNullLogger()), wal.WithSegmentSize(16<<20), wal.WithMetaStore(meta))
	if err != nil {
		return store{}, errors.Join(err, meta.Close())
	}
	return store{l, func() error { return errors.Join(l.Close(), meta.Close()) }}, nil
}

func openBolt(dir string, options *bbolt.Options) (store, error) {
	b, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(dir, "raft.db"), BoltOptions: options})
	if err != nil {
		return store{}, err
	}
	return store{b, b.Close}, nil
}

// figures is what appending took.
type figures struct {
	each []time.Duration // of each append, sorted
	cpu  time.Duration   // of the process, for one entry
}

func main() {
	dir := flag.String("dir", "", "folder for the logs: its `disk` is what is measured (default: the system's for temporary files)")
	appends := flag.Int("appends", 300, "how many `appends` each store makes in a round")
	rounds := flag.Int("rounds", 5, "how often each store has its turn")
	size := flag.Int("bytes", 407, "`size` of an entry: a submission's")
	flag.Parse()
	if *appends < 1 || *rounds < 1 || *size < 1 {
		log.Fatal("logstores: -appends, -rounds and -bytes must be at least 1")
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "entries at once\tstore\tmedian, ms\tp99, ms\tCPU an entry, µs")
	for _, batch := range []int{1, 64} {
		totals := make([]figures, len(contenders))
		for round := range *rounds {
			for turn := range contenders {
				n := (turn + round) % len(contenders)
				got, err := measure(*dir, n, *appends, batch, *size)
				if err != nil {
					log.Fatalf("logstores: %s: %v", contenders[n].name, err)
				}
				totals[n].each = append(totals[n].each, got.each...)
				totals[n].cpu += got.cpu / time.Duration(*rounds)
			}
		}
		for n, total := range totals {
			slices.Sort(total.each)
			fmt.Fprintf(out, "%d\t%s\t%.2f\t%.2f\t%.1f\n", batch, contenders[n].name,
				total.each[len(total.each)/2].Seconds()*1000, total.each[len(total.each)*99/100].Seconds()*1000,
				float64(total.cpu.Nanoseconds())/1000)
		}
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

// measure appends batches to a new store, each durable before the next.
func measure(in string, contender, appends, batch, size int) (_ figures, err error) {
	dir, err := os.MkdirTemp(in, "logstores-")
	if err != nil {
		return figures{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := contenders[contender].open(dir)
	if err != nil {
		return figures{}, err
	}
	entries := make([]*raft.Log, batch)
	for i := range entries {
		entries[i] = &raft.Log{Term: 1, Data: []byte(strings.Repeat("x", size)), Extensions: []byte("crc!")}
	}
	got := figures{each: make([]time.Duration, 0, appends)}
	used := cpuTime()
	for n := range appends {
		for i, entry := range entries {
			entry.Index = uint64(n*batch + i + 1)
		}
		begun := time.Now()
		if err := s.StoreLogs(entries); err != nil {
			return figures{}, errors.Join(err, s.close())
		}
		got.each = append(got.each, time.Since(begun))
	}
	got.cpu = (cpuTime() - used) / time.Duration(appends*batch)
	return got, s.close()
}

func cpuTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		log.Fatalf("logstores: read the CPU time: %v", err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
