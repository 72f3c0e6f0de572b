package scheduler

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/job"
)

// drill drives an engine with random events and checks after each what must
// always hold.
type drill struct {
	*Engine
	now      time.Time
	nodes    map[string]Node
	queued   map[job.Ref]Task
	running  map[job.Ref]Assignment
	attempts map[job.Ref]int     // by job and task: the last that started
	tried    map[job.Ref][]Place // by job and task: where it ran, as if it had failed there
	made     map[job.ID]binding
	log      []string
}

func newDrill() *drill {
	return &drill{
		Engine: NewEngine(noon), now: noon, nodes: make(map[string]Node), queued: make(map[job.Ref]Task),
		running: make(map[job.Ref]Assignment), attempts: make(map[job.Ref]int), tried: make(map[job.Ref][]Place), made: make(map[job.ID]binding),
	}
}

func (d *drill) step(t *rapid.T) {
	switch rapid.SampledFrom([]string{"node", "job", "job", "end", "end", "end", "withdraw", "lose", "time", "time", "slow"}).Draw(t, "event") {
	case "node":
		id := fmt.Sprint("n", rapid.IntRange(0, 4).Draw(t, "node"))
		node := cpuNode(id, rapid.IntRange(1, 6).Draw(t, "threads"), nil)
		if rapid.Bool().Draw(t, "gpus") {
			node = gpuNode(id, rapid.IntRange(1, 6).Draw(t, "threads"), rapid.IntRange(1, 3).Draw(t, "gpus"), func(g *Device) {
				g.Sessions = rapid.SampledFrom([]int{0, 5, 8}).Draw(t, "sessions")
				g.Encoders[0].Headers = rapid.SampledFrom([]string{"turing", "ada"}).Draw(t, "headers")
			})
		}
		node.Host[Scratch] = rapid.SampledFrom([]int64{0, 200 << 20, 512 << 20}).Draw(t, "scratch")
		node.Host[Memory] = int64(rapid.IntRange(1, 4).Draw(t, "memory")) << 30
		if rapid.IntRange(0, 3).Draw(t, "closed") == 0 {
			node.Closed = "it is draining"
		}
		d.SetNode(node)
		d.nodes[id] = node
	case "job":
		id := job.ID(fmt.Sprint("j", rapid.IntRange(0, 9).Draw(t, "job")))
		d.SetJob(Job{
			ID: id, Org: fmt.Sprint("o", id[1]%3), Queued: d.now, Priority: rapid.IntRange(-10, 10).Draw(t, "priority"),
			Frames: rapid.Int64Range(0, 100_000).Draw(t, "frames"),
		})
		for range rapid.IntRange(1, 5).Draw(t, "tasks") {
			d.queue(id, job.EncodeTaskID(rapid.IntRange(0, 9).Draw(t, "task")), rapid.Int64Range(1, 2000).Draw(t, "chunk"))
		}
	case "end", "lose":
		ref, found := d.any(t)
		if !found {
			return
		}
		if !d.End(ref, time.Duration(rapid.IntRange(0, 60).Draw(t, "took"))*time.Second) {
			t.Fatalf("%s isn't known to run", ref)
		}
		delete(d.running, ref)
	case "withdraw":
		for ref := range d.queued {
			if rapid.Bool().Draw(t, "this") {
				if !d.Withdraw(ref.Job, ref.Task) {
					t.Fatalf("%s isn't in the queue", ref)
				}
				delete(d.queued, ref)
			}
			break
		}
	case "slow":
		if rapid.Bool().Draw(t, "nothing waits") {
			for ref := range d.queued {
				d.Withdraw(ref.Job, ref.Task)
			}
			clear(d.queued)
			d.now = d.now.Add(time.Hour)
			d.Advance(d.now)
		}
		if ref, found := d.any(t); found {
			d.Progress(ref, rapid.Int64Range(0, 2000).Draw(t, "done"))
		}
		d.backUp(t)
	case "time":
		d.now = d.now.Add(time.Duration(rapid.IntRange(1, 100_000).Draw(t, "seconds")) * time.Second)
		d.Advance(d.now)
	}
}

// queue adds a task unless it waits or runs already.
func (d *drill) queue(id job.ID, task job.TaskID, frames int64) {
	key := job.Ref{Job: id, Task: task}
	for ref := range d.running {
		if ref.Job == id && ref.Task == task {
			return
		}
	}
	next := job.Ref{Job: id, Task: task, Attempt: d.attempts[key] + 1}
	if _, waits := d.queued[next]; waits {
		return
	}
	added := Task{Job: id, Task: task, Attempt: next.Attempt, Work: ladderWork(nil), Frames: frames, FailedOn: slices.Clone(d.tried[key])}
	d.queued[next] = added
	d.Queue(added)
}

// any is one of the running attempts, the same for the same draw.
func (d *drill) any(t *rapid.T) (job.Ref, bool) {
	var first job.Ref
	found := false
	for ref := range d.running {
		if !found || ref.String() < first.String() {
			first, found = ref, true
		}
	}
	_ = t
	return first, found
}

func (d *drill) decide(t *rapid.T) {
	for _, a := range d.Decide() {
		ref := job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}
		if _, waits := d.queued[ref]; !waits {
			t.Fatalf("%s is placed and didn't wait", ref)
		}
		delete(d.queued, ref)
		key := job.Ref{Job: a.Job, Task: a.Task}
		if a.Attempt <= d.attempts[key] {
			t.Fatalf("attempt %d of %s after %d", a.Attempt, key, d.attempts[key])
		}
		d.attempts[key] = a.Attempt
		d.tried[key] = append(d.tried[key], Place{a.Node, a.Device})
		node := d.nodes[a.Node]
		if node.Closed != "" {
			t.Fatalf("%s is placed on %s, which is closed", ref, a.Node)
		}
		d.running[ref] = a
		d.checkMade(t, a)
		d.log = append(d.log, where([]Assignment{a})...)
	}
	d.checkRoom(t)
	if d.Waiting() != len(d.queued) {
		t.Fatalf("%d tasks wait by the engine's count, %d do", d.Waiting(), len(d.queued))
	}
	if d.Running() != len(d.running) {
		t.Fatalf("%d attempts run by the engine's count, %d do", d.Running(), len(d.running))
	}
}

// backUp takes the engine's backups: of attempts that run, on other nodes, with
// nothing waiting for the room.
func (d *drill) backUp(t *rapid.T) {
	before := d.free()
	for _, a := range d.Backups() {
		ref := job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}
		slow, runs := d.running[job.Ref{Job: a.Job, Task: a.Task, Attempt: a.BackupOf}]
		key := job.Ref{Job: a.Job, Task: a.Task}
		if !runs || slow.Node == a.Node || d.nodes[a.Node].Closed != "" || a.Attempt != d.attempts[key]+1 {
			t.Fatalf("%+v is a backup of %+v, which runs: %v", a, slow, runs)
		}
		for other := range d.running {
			if other.Job == a.Job && other.Task == a.Task && other.Attempt != a.BackupOf {
				t.Fatalf("%s is a third attempt beside %s", ref, other)
			}
		}
		d.attempts[key] = a.Attempt
		d.running[ref] = a
		d.checkMade(t, a)
	}
	for key, room := range d.free() {
		for dim, left := range room {
			if left < 0 && left < before[key][dim] {
				t.Fatalf("a backup left %s with %d of dimension %d", key, left, dim)
			}
		}
	}
	d.checkRoom(t)
}

// checkMade checks that all of a job's chunks have one encoder and its headers.
func (d *drill) checkMade(t *rapid.T, a Assignment) {
	with := binding{a.Encoder, a.Headers}
	if had, begun := d.made[a.Job]; begun && had != with {
		t.Fatalf("%s of %s is made with %v, what came before with %v", a.Task, a.Job, with, had)
	}
	d.made[a.Job] = with
}

// checkRoom adds up what runs by itself, on nodes that were not made smaller
// under what runs there.
func (d *drill) checkRoom(t *rapid.T) {
	for id, h := range d.Engine.nodes {
		used, devices := Room{}, make(map[string]Room)
		for _, r := range d.runs {
			if r.device.host == h {
				used.give(&r.need, firstOfHost, dims)
				own := devices[r.device.spec.ID]
				own.give(&r.need, 0, firstOfHost)
				devices[r.device.spec.ID] = own
			}
		}
		left := h.whole
		left.take(&used, firstOfHost, dims)
		if left != h.free {
			t.Fatalf("%s has %v left by the engine's count, %v by what runs", id, h.free, left)
		}
		for _, device := range h.devices {
			whole, own := wholeDevice(&device.spec), devices[device.spec.ID]
			whole.take(&own, 0, firstOfHost)
			if whole != device.free {
				t.Fatalf("%s has %v left by the engine's count, %v by what runs", device.key(), device.free, whole)
			}
		}
	}
}

func TestNoRoomIsExceededAndNothingIsPlacedTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDrill()
		var before map[string]Room
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			d.step(t)
			before = d.free()
			spare := make(map[string]int64)
			for id, h := range d.Engine.nodes {
				spare[id] = h.spare()
			}
			d.decide(t)
			for id, h := range d.Engine.nodes {
				if left := h.spare(); d.full && left < 0 && left < spare[id] {
					t.Fatalf("a decision left the GPUs of %s %d thousandths of a thread too few, it had %d", id, -left, spare[id])
				}
			}
			for key, room := range d.free() {
				for dim, left := range room {
					if left < 0 && left < before[key][dim] {
						t.Fatalf("a decision left %s with %d of dimension %d, it had %d", key, left, dim, before[key][dim])
					}
				}
			}
		}
	})
}

// free is what is left of every host and device.
func (d *drill) free() map[string]Room {
	free := make(map[string]Room)
	for id, h := range d.Engine.nodes {
		free[id] = h.free
		for _, device := range h.devices {
			free[device.key()] = device.free
		}
	}
	return free
}

func TestTheSameEventsGiveTheSameDecisions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		run := func() []string {
			e, now := NewEngine(noon), noon
			var log []string
			var running []Assignment
			x := seed
			random := func(n int) int {
				x = x*6364136223846793005 + 1442695040888963407
				return int(x>>33) % n
			}
			for i := range 4 {
				e.SetNode(gpuNode(fmt.Sprint("n", i), 2+random(8), random(3), nil))
			}
			for i := range 60 {
				now = now.Add(time.Duration(random(5000)) * time.Millisecond)
				e.Advance(now)
				queue(e, Job{ID: job.ID(fmt.Sprint("j", i)), Org: fmt.Sprint(random(3)), Queued: now, Priority: random(5)}, ladderWork(nil), int64(1+random(900)), 300)
				for len(running) > 0 && random(2) == 0 {
					a := running[0]
					running = running[1:]
					e.End(job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}, time.Duration(1+random(60))*time.Second)
				}
				placed := e.Decide()
				running = append(running, placed...)
				log = append(log, where(placed)...)
			}
			return log
		}
		if first, second := run(), run(); !reflect.DeepEqual(first, second) {
			t.Fatalf("the same events gave %v and then %v", first, second)
		}
	})
}

// TestNoJobWaitsForEver lets a job of low priority wait while newer ones of the
// highest keep coming faster than the rack can do them, in its own and in
// another organisation: it ends all the same.
func TestNoJobWaitsForEver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, now := engineWith(cpuNode("a", rapid.IntRange(1, 4).Draw(t, "threads"), nil)), noon
		work := ladderWork(func(w *Work) { w.Encoders = "libx264" })
		queue(e, Job{ID: "patient", Org: "o0", Priority: -10, Frames: rapid.Int64Range(1, 100_000).Draw(t, "frames")}, work, 900)
		var running []Assignment
		for i := range 20_000 {
			now = now.Add(15 * time.Second)
			e.Advance(now)
			// Two new jobs for each task that ends.
			for k := range 2 {
				queue(e, Job{ID: job.ID(fmt.Sprintf("j%d-%d", i, k)), Org: fmt.Sprint("o", k), Queued: now, Priority: 10, Frames: 900}, work, 900)
			}
			if len(running) > 0 {
				a := running[0]
				running = running[1:]
				e.End(job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}, 30*time.Second)
				e.RemoveJob(a.Job)
			}
			for _, a := range e.Decide() {
				if a.Job == "patient" {
					return
				}
				running = append(running, a)
			}
		}
		t.Fatalf("the job still waits after %s", now.Sub(noon))
	})
}

// TestWhatFitsIsPlaced: with nothing running nothing is worth waiting for.
func TestWhatFitsIsPlaced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDrill()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			d.step(t)
			d.decide(t)
		}
		// Everything ends in the end, whatever the events were, if a node is open.
		open := cpuNode("last", 4, nil)
		d.SetNode(open)
		d.nodes["last"] = open
		for round := 0; len(d.queued)+len(d.running) > 0; round++ {
			if round > 1000 {
				t.Fatalf("%d tasks still wait and %d run", len(d.queued), len(d.running))
			}
			d.now = d.now.Add(10 * time.Second)
			d.Advance(d.now)
			if ref, found := d.any(t); found {
				d.End(ref, 10*time.Second)
				delete(d.running, ref)
			}
			bound := 0
			for _, q := range d.jobs {
				for ladder, made := range q.bound {
					if made.encoder != "libx264" && !d.offers(made) {
						bound++
						delete(q.bound, ladder)
					}
				}
			}
			if bound > 0 { // what is bound to an encoder that is gone waits for it
				return
			}
			d.decide(t)
		}
	})
}

// offers says whether an open device can make chunks as others were made.
func (d *drill) offers(made binding) bool {
	return slices.ContainsFunc(d.classes, func(c *class) bool {
		return c.devices > 0 && c.can(made.encoder) && c.spec.headers(made.encoder) == made.headers
	})
}
