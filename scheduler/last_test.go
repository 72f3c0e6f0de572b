package scheduler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"millrace/job"
)

// TestALongChunkDoesNotWaitForItsTurnAtTheEnd, where all else would be done before it;
// but what takes a moment doesn't wait for it either.
func TestALongChunkDoesNotWaitForItsTurnAtTheEnd(t *testing.T) {
	work := ladderWork(func(w *Work) { w.Encoders = "libx264" })
	for name, test := range map[string]struct {
		others int
		short  bool
		first  job.ID
	}{
		"near the end":          {20, false, "long"},
		"with much to do":       {2000, false, "before"},
		"where a short job is":  {20, true, "clip"},
		"where nothing is long": {2, false, "before"},
	} {
		t.Run(name, func(t *testing.T) {
			e := engineWith(cpuNode("a", 4, nil))
			queue(e, Job{ID: "before", Frames: 40_000}, work, slices.Repeat([]int64{60}, test.others)...)
			frames := int64(600)
			if test.others < 20 {
				frames = 60
			}
			queue(e, Job{ID: "long", Frames: 60_000}, work, frames)
			if test.short {
				queue(e, Job{ID: "clip", Frames: 60}, work, 60)
			}
			placed := e.Decide()
			if len(placed) == 0 || placed[0].Job != test.first {
				t.Errorf("placed %v, want %s first", where(placed), test.first)
			}
			if why := e.Explain(test.first)[0].Reason; strings.Contains(why, "it is long and went before its turn") != (test.first == "long") {
				t.Errorf("%s runs since %q", test.first, why)
			}
		})
	}
}

// TestSoundGoesBeforeALongChunk: it is one task, which must not be the last to end.
func TestSoundGoesBeforeALongChunk(t *testing.T) {
	e := engineWith(cpuNode("a", 1, nil))
	queue(e, Job{ID: "film", Frames: 1000}, ladderWork(func(w *Work) { w.Encoders = "libx264" }), 600)
	e.Queue(Task{Job: "film", Task: "audio", Attempt: 1, Work: Work{Kind: job.AudioTask}, Frames: 1000})
	if placed := e.Decide(); len(placed) != 1 || placed[0].Task != "audio" {
		t.Errorf("placed %v, want the sound first", where(placed))
	}
}

// TestAnOrganisationOfLongChunksDoesNotKeepOthersWaiting, however many of them come.
func TestAnOrganisationOfLongChunksDoesNotKeepOthersWaiting(t *testing.T) {
	work := ladderWork(func(w *Work) { w.Encoders = "libx264" })
	e := engineWith(cpuNode("a", 1, nil))
	now, n := noon, 0
	come := func(org string, frames int64) {
		n++
		queue(e, Job{ID: job.ID(fmt.Sprintf("%s%04d", org, n)), Org: org, Frames: frames, Queued: now}, work, frames)
	}
	come("long", 1200)
	come("modest", 450)
	had := make(map[byte]int)
	for range 60 {
		for _, a := range e.Decide() {
			had[a.Job[0]]++
			if a.Job[0] == 'l' {
				come("long", 1200)
			} else {
				come("modest", 450)
			}
			now = now.Add(a.Expected)
			e.Advance(now)
			e.End(job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}, a.Expected)
		}
	}
	if had['m'] < 20 || had['l'] < 10 {
		t.Errorf("%d long chunks and %d of the other organisation's began", had['l'], had['m'])
	}
}

// TestExplainSaysThatALongChunkGoesFirst, while there is no room and when there is some,
// and only of what it goes before.
func TestExplainSaysThatALongChunkGoesFirst(t *testing.T) {
	on := func(label string) Work {
		return ladderWork(func(w *Work) { w.Encoders, w.Requires = "libx264", label })
	}
	labelled := func(id string) Node { return cpuNode(id, 4, func(n *Node) { n.Labels = []string{id} }) }
	for name, test := range map[string]struct {
		of     job.ID
		others int
		room   bool
		org    string // the long one's, "o" if empty
		want   string
	}{
		"without room":          {of: "before", others: 20, want: "0.00 CPU threads free, 1.00 needed; then a long chunk of job long goes first"},
		"with room":             {of: "before", others: 20, room: true, want: "a long chunk of job long goes first"},
		"of another":            {of: "before", others: 20, room: true, org: "p", want: "a long chunk of a job of another organisation goes first"},
		"not with much to do":   {of: "before", others: 2000, want: "0.00 CPU threads free"},
		"not with little to do": {of: "before", others: 2, room: true, want: "it ends sooner"},
		"not before itself":     {of: "long", others: 20, room: true, want: "it ends sooner"},
		"not before short jobs": {of: "clip", others: 20, room: true, want: "it ends sooner"},
		"not before sound":      {of: "sound", others: 20, room: true, want: "it ends sooner"},
		"not on other devices":  {of: "elsewhere", others: 20, want: "0.00 CPU threads free"},
	} {
		t.Run(name, func(t *testing.T) {
			e := engineWith(labelled("a"), labelled("b"))
			queue(e, Job{ID: "running", Frames: 60_000}, on("a"), 900)
			queue(e, Job{ID: "there", Frames: 60_000}, on("b"), 900)
			runs := e.Decide()
			queue(e, Job{ID: "before", Frames: 40_000}, on("a"), slices.Repeat([]int64{60}, test.others)...)
			queue(e, Job{ID: "long", Org: test.org, Frames: 60_000}, on("a"), 600)
			queue(e, Job{ID: "elsewhere", Frames: 60_000}, on("b"), 60)
			if test.of == "clip" {
				queue(e, Job{ID: "clip", Frames: 60}, on("a"), 60)
			}
			queue(e, Job{ID: "sound", Frames: 60_000}, on("a"))
			e.Queue(Task{Job: "sound", Task: "audio", Attempt: 1, Work: Work{Kind: job.AudioTask, Requires: "a"}, Frames: 60})
			if placed := e.Decide(); len(runs) != 2 || len(placed) > 0 {
				t.Fatalf("placed %v and then %v, which doesn't fill the nodes", where(runs), where(placed))
			}
			if test.room {
				e.End(job.Ref{Job: "running", Task: runs[0].Task, Attempt: 1}, 0)
			}
			found := e.Explain(test.of)
			says := strings.Contains(test.want, "long chunk")
			if len(found) != 1 || !strings.Contains(found[0].Reason, test.want) || strings.Contains(found[0].Reason, "long chunk") != says {
				t.Errorf("explained by %+v, want %q", found, test.want)
			}
		})
	}
}

// TestTheLongOneIsFoundAsByLookingAtAll: whatever came and went, moved to another pile or
// was withdrawn.
func TestTheLongOneIsFoundAsByLookingAtAll(t *testing.T) {
	found := 0
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		var works []Work
		for density := range 3 {
			works = append(works, ladderWork(func(w *Work) { w.Density = density }))
		}
		e := engineWith(gpuNode("a", 4, 1, nil), cpuNode("b", 3, nil))
		e.SetOrg(Org{ID: "o0", Weight: 0.01}) // is soon too far ahead
		now, n := noon, 0
		var runs []Assignment
		for range 80 {
			id := job.ID(fmt.Sprint("j", random.IntN(max(1, n))))
			switch random.IntN(8) {
			case 0, 1, 2:
				n++
				id = job.ID(fmt.Sprint("j", n))
				frames := make([]int64, 1+random.IntN(4))
				for i := range frames {
					frames[i] = int64(60 * (1 + random.IntN(8)*random.IntN(3)))
				}
				queue(e, Job{ID: id, Org: fmt.Sprint("o", random.IntN(3)), Frames: int64(1000 * random.IntN(60)), Queued: now}, works[random.IntN(len(works))], frames...)
			case 3:
				e.Withdraw(id, job.EncodeTaskID(random.IntN(2)))
			case 4:
				e.RemoveJob(id)
			case 5:
				e.Bind(id, works[0].Ladder, []string{"libx264", "h264_nvenc"}[random.IntN(2)], "")
			case 6:
				runs = append(runs, e.Decide()...)
			default:
				if len(runs) > 0 {
					a := runs[0]
					runs = runs[1:]
					now = now.Add(a.Expected)
					e.Advance(now)
					e.End(job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}, a.Expected)
				}
			}
			e.horizon = 20 + 20*random.Float64()
			for _, turn := range e.orgs {
				got, want := e.longOne(turn), e.longOfAll(turn)
				if got != want {
					t.Fatalf("seed %d: found %v, want %v", seed, got, want)
				}
				if got != nil {
					found++
				}
			}
		}
	}
	if found < 1000 {
		t.Errorf("a long one was found %d times only: the test tests little", found)
	}
}

// longOfAll is longOne by looking at all groups.
func (e *Engine) longOfAll(turn *org) *group {
	var long *group
	longest := lastPart * e.horizon
	most := turn.had + lastAhead*float64(max(1, e.threads))*e.worth()
	for _, p := range e.active {
		if c := e.rated(p); p.tasks > 0 && !p.full && p.work.Kind == job.EncodeTask && c.perSecond > 0 {
			for _, l := range p.lanes.items {
				for _, g := range l.jobs.items {
					if run := c.run(g.tasks[0].frames); l.org.had <= most && run > longest {
						long, longest = g, run
					}
				}
			}
		}
	}
	return long
}

// BenchmarkPlacingNearTheEnd places one chunk after another while as many jobs wait as
// may be planned, and a minute of all that is to go.
func BenchmarkPlacingNearTheEnd(b *testing.B) {
	work := ladderWork(func(w *Work) { w.Encoders = "libx264" })
	var nodes []Node
	for i := range 40 {
		nodes = append(nodes, cpuNode(fmt.Sprint("n", i), 64, nil))
	}
	e := engineWith(nodes...)
	for i := range 10 * e.aheadLimit() {
		queue(e, Job{ID: job.ID(fmt.Sprint("j", i)), Org: fmt.Sprint("o", i%10), Frames: 60_000}, work, 600, 600, 600, 600, 600)
	}
	runs := e.Decide()
	if e.horizon > lastFrom || e.horizon < lastUntil {
		b.Fatalf("%.0f s are to go", e.horizon)
	}
	for b.Loop() {
		a := runs[0]
		runs = runs[1:]
		e.End(job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}, 0)
		e.Queue(Task{Job: a.Job, Task: a.Task, Attempt: a.Attempt + 1, Work: work, Frames: 600})
		runs = append(runs, e.Decide()...)
	}
}
