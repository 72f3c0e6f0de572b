package scheduler

import (
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/job"
)

// straggler has a job of some chunks running, each on a node of one thread, of
// which all but the first end after ten seconds; then it is as much later as late.
func straggler(t *testing.T, chunks int, late time.Duration, nodes ...Node) (*Engine, job.Ref) {
	t.Helper()
	e := engineWith(nodes...)
	work := ladderWork(func(w *Work) { w.Encoders = "libx264"; w.Ladder = "1920x1080" })
	queue(e, Job{ID: "j"}, work, slices.Repeat([]int64{300}, chunks)...)
	placed := e.Decide()
	if len(placed) != chunks {
		t.Fatalf("placed %v", where(placed))
	}
	var slow job.Ref
	e.Advance(noon.Add(10 * time.Second))
	for _, a := range placed {
		ref := job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}
		if a.Node == "a" {
			slow = ref
			continue
		}
		e.End(ref, a.Expected)
	}
	e.Advance(noon.Add(10*time.Second + late))
	return e, slow
}

func one(id string) Node { return cpuNode(id, 1, nil) }

func TestASlowAttemptGetsABackupOnlyWhereThatHelps(t *testing.T) {
	for name, test := range map[string]struct {
		late   time.Duration
		nodes  []Node
		chunks int
		change func(e *Engine, slow job.Ref)
		want   []string
	}{
		"one that stands still": {
			50 * time.Second, []Node{one("a"), one("b")}, 2, nil, []string{"j/encode-00000@b/cpu×1"},
		},
		"one that crawls": {
			50 * time.Second, []Node{one("a"), one("b")}, 2,
			func(e *Engine, slow job.Ref) { e.Progress(slow, 30) }, []string{"j/encode-00000@b/cpu×1"},
		},
		"one that is nearly done": {
			50 * time.Second, []Node{one("a"), one("b")}, 2,
			func(e *Engine, slow job.Ref) { e.Progress(slow, 295) }, nil,
		},
		"one that was nearly done and has stood still since": {
			50 * time.Second, []Node{one("a"), one("b")}, 2,
			func(e *Engine, slow job.Ref) {
				e.Progress(slow, 295)
				e.Advance(noon.Add(2 * time.Minute))
				e.Progress(slow, 295)
			}, []string{"j/encode-00000@b/cpu×1"},
		},
		"one that is hardly late": {1 * time.Second, []Node{one("a"), one("b")}, 2, nil, nil},
		"no other node":           {50 * time.Second, []Node{cpuNode("a", 2, nil)}, 1, nil, nil},
		"the other node is closed": {
			50 * time.Second, []Node{one("a"), one("b")}, 2,
			func(e *Engine, _ job.Ref) { closed := one("b"); closed.Closed = "it is draining"; e.SetNode(closed) }, nil,
		},
		"the other node is kept for other jobs": {
			50 * time.Second, []Node{one("a"), one("b")}, 2,
			func(e *Engine, _ job.Ref) { e.SetNode(labelled(one("b"), "", "film")) }, nil,
		},
		"another job has taken the room": {
			50 * time.Second, []Node{one("a"), one("b")}, 2,
			func(e *Engine, _ job.Ref) { queue(e, Job{ID: "k"}, ladderWork(nil), 300); e.Decide() }, nil,
		},
		"another task waits for the room": {
			50 * time.Second, []Node{one("a"), one("b")}, 2,
			func(e *Engine, _ job.Ref) { queue(e, Job{ID: "k"}, ladderWork(nil), 300) }, nil,
		},
		"chunks of the job still wait": {
			50 * time.Second, []Node{one("a"), one("b")}, 2,
			func(e *Engine, _ job.Ref) {
				queue(e, Job{ID: "j"}, ladderWork(func(w *Work) { w.Encoders = "h264_nvenc" }), 300)
			}, nil,
		},
		"a device that would take longer still": {
			50 * time.Second, []Node{one("a"), one("b")}, 2,
			func(e *Engine, _ job.Ref) {
				e.RemoveNode("b")
				e.SetNode(cpuNode("c", 1, func(n *Node) {
					n.Devices[0].Encoders = []Speed{{Codec: "libx264", FramesPerSecond: map[int]float64{fullHD1: 0.5}}}
				}))
			}, nil,
		},
		"of two free devices the faster": {
			50 * time.Second, []Node{one("a"), one("b")}, 2,
			func(e *Engine, _ job.Ref) { e.SetNode(cpuNode("c", 4, nil)) }, []string{"j/encode-00000@c/cpu×4"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, slow := straggler(t, test.chunks, test.late, test.nodes...)
			if test.change != nil {
				test.change(e, slow)
			}
			got := e.Backups()
			for i := range got { // whichever chunk it was
				if got[i].Task != slow.Task || got[i].BackupOf != 1 || got[i].Attempt != 2 {
					t.Errorf("a backup %+v of %s", got[i], slow)
				}
				got[i].Task = "encode-00000"
			}
			if !slices.Equal(where(got), test.want) {
				t.Errorf("backups %v, want %v", where(got), test.want)
			}
			if again := e.Backups(); len(again) > 0 {
				t.Errorf("then again %v", where(again))
			}
		})
	}
}

func TestABackupKeepsToWhatItsLadderIsMadeWith(t *testing.T) {
	e := engineWith(generation("a", "T4", "turing", 1), generation("b", "L4", "ada", 1))
	onNVENC(e, "j", 1)
	placed := e.Decide()
	e.Advance(noon.Add(time.Hour))
	if got := e.Backups(); len(got) > 0 {
		t.Errorf("%v with other headers than %s", where(got), placed[0].Headers)
	}
	other := "T4"
	if placed[0].Headers == "ada" {
		other = "L4"
	}
	e.SetNode(generation("c", other, placed[0].Headers, 1))
	if got := e.Backups(); len(got) != 1 || got[0].Node != "c" || got[0].Headers != placed[0].Headers {
		t.Errorf("backups %v, want one on c", where(got))
	}
}

func TestABackupTakesRoomAndEndsLikeAnyAttempt(t *testing.T) {
	e, slow := straggler(t, 2, time.Minute, one("a"), one("b"))
	a := e.Backups()[0]
	if e.Running() != 2 {
		t.Errorf("%d attempts run", e.Running())
	}
	queue(e, Job{ID: "k"}, ladderWork(nil), 300)
	if placed := e.Decide(); len(placed) > 0 {
		t.Errorf("placed %v where the backup runs", where(placed))
	}
	told := e.Explain("j")
	if len(told) != 2 || !strings.HasSuffix(told[0].Reason, "; it is slow, and attempt 2 on b has begun the same") || !strings.Contains(told[1].Reason, "it is a backup of attempt 1 on a, which is slow: it has taken 70 s of the") {
		t.Errorf("explained by %+v", told)
	}
	// The slow one ends without success: the backup goes on alone, and may be slow itself.
	e.End(slow, 0)
	e.End(job.Ref{Job: "k"}, 0)
	e.RemoveJob("k")
	e.Advance(noon.Add(time.Hour))
	if again := e.Backups(); len(again) != 1 || again[0].Attempt != 3 || again[0].BackupOf != a.Attempt || again[0].Node != "a" {
		t.Errorf("backups of the backup are %+v", again)
	}
}

func TestADeviceThatWasOutrunIsExpectedToTakeLongerByALittle(t *testing.T) {
	e, slow := straggler(t, 2, time.Hour, one("a"), one("b"))
	backup := e.Backups()[0]
	before := e.runs[slow].expected
	e.Outrun(slow, time.Hour)
	e.End(job.Ref{Job: backup.Job, Task: backup.Task, Attempt: backup.Attempt}, backup.Expected)
	if e.Running() != 0 {
		t.Errorf("%d attempts still run", e.Running())
	}
	expected := make(map[string]float64)
	queue(e, Job{ID: "k"}, ladderWork(func(w *Work) { w.Encoders = "libx264"; w.Ladder = "1920x1080" }), 300, 300)
	for _, a := range e.Decide() {
		expected[a.Node] = a.Expected.Seconds()
	}
	if len(expected) != 2 || expected["a"] < 1.2*before || expected["a"] > slowTimes*before || expected["b"] > 1.1*before {
		t.Errorf("%.1f s were expected, and now %v", before, expected)
	}
}

func TestAnAdoptedAttemptHasHadTheBackupsThatTheStateHas(t *testing.T) {
	run := func(number, of int, node string, backed bool) Run {
		return Run{
			Ref: job.Ref{Job: "j", Task: "encode-00000", Attempt: number}, Work: ladderWork(nil), Frames: 300, Node: node, Device: "cpu",
			Encoder: "libx264", Started: noon, BackupOf: of, BackedUp: backed,
		}
	}
	for name, test := range map[string]struct {
		runs []Run
		want int
	}{
		"one that has had none": {[]Run{run(1, 0, "a", false)}, 1},
		"one that has had one":  {[]Run{run(1, 0, "a", true)}, 0},
		"both":                  {[]Run{run(1, 0, "a", true), run(2, 1, "b", false)}, 0},
	} {
		e := engineWith(one("a"), one("b"), one("c"))
		e.SetJob(Job{ID: "j", Org: "o", Queued: noon, Started: true})
		for _, r := range test.runs {
			if !e.Adopt(r) {
				t.Fatalf("%s: %+v isn't adopted", name, r.Ref)
			}
		}
		e.Advance(noon.Add(time.Hour))
		if got := e.Backups(); len(got) != test.want {
			t.Errorf("%s gets %v", name, where(got))
		}
	}
}
