package cluster

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"millrace/job"
)

// BenchmarkPropose measures acknowledged jobs a second, each on disk.
func BenchmarkPropose(b *testing.B) {
	for _, clients := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("%d clients", clients), func(b *testing.B) {
			p, err := Open(b.Context(), quick(b.TempDir()))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = p.Close() }()
			if err := p.Ready(b.Context()); err != nil {
				b.Fatal(err)
			}
			if _, err := p.Propose(b.Context(), createOrg("default")); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			var clientsDone sync.WaitGroup
			for client := range clients {
				clientsDone.Go(func() {
					for n := client; n < b.N; n += clients {
						if _, err := p.Propose(context.Background(), createJob("default", job.ID(fmt.Sprintf("%011d", n)))); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			clientsDone.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}

// BenchmarkApply measures the state machine alone, by how many commands an entry has.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{1, 8, maxGrouped} {
		b.Run(fmt.Sprintf("groups of %d", size), func(b *testing.B) {
			machine := newBench(b)
			machine.do(createOrg("default"))
			envelopes := make([][]byte, size)
			for n := uint64(0); b.Loop(); n++ { // each of a group
				if n%uint64(size) != 0 {
					continue
				}
				b.StopTimer()
				index := n/uint64(size) + 2
				for i := range envelopes {
					var err error
					id := fmt.Sprintf("%011d", n+uint64(i))
					if envelopes[i], err = encodeEnvelope(createJob("default", job.ID(id)), proposal{ID: id, Base: index - 1}); err != nil {
						b.Fatal(err)
					}
				}
				entry := groupOf(envelopes)
				entry.Index = index
				b.StartTimer()
				machine.m.ApplyBatch([]*raft.Log{&entry})
			}
		})
	}
}

// BenchmarkHistory measures what a long history costs: completed jobs of nine
// tasks each.
func BenchmarkHistory(b *testing.B) {
	const jobs = 10_000
	for b.Loop() {
		machine := newBench(b)
		machine.do(createOrg("default"))
		before := heap()
		machine.do(createOrg("default"))
		for n := range jobs {
			machine.longJob(job.ID(fmt.Sprintf("%011d", n)))
		}
		b.ReportMetric(float64(heap()-before)/jobs, "B/job")
		begun := time.Now()
		data := machine.bytes()
		b.ReportMetric(time.Since(begun).Seconds(), "s/snapshot")
		b.ReportMetric(float64(len(data))/jobs, "snapshotB/job")
		begun = time.Now()
		if _, _, err := readSnapshot(bytes.NewReader(data), newDB()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(begun).Seconds(), "s/restore")
		runtime.KeepAlive(machine)
	}
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// longJob takes a job of seven chunks to its end.
func (b *bench) longJob(id job.ID) {
	create := createJob("default", id)
	b.do(create)
	b.do(start(id, "inspect", 1))
	plan := planOf(1400, 100, 2, 2, 2, 2, 2, 2, 2)
	b.do(PlanJob{Ref: job.Ref{Job: id, Task: "inspect", Attempt: 1}, Plan: plan, Tasks: job.PlanTasks(id, create.Spec, plan), At: noon})
	for n := range 7 {
		task := job.EncodeTaskID(n)
		b.do(start(id, task, 1))
		b.do(FinishTask{Ref: job.Ref{Job: id, Task: task, Attempt: 1}, At: noon})
	}
	b.do(start(id, "package", 1))
	b.do(FinishTask{Ref: job.Ref{Job: id, Task: "package", Attempt: 1}, At: noon})
}
