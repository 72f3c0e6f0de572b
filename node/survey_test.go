package node

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"millrace/cluster"
	"millrace/job"
)

// A survey that has followed the state from change to change knows the same as one
// that looks at it for the first time.
func TestASurveyThatFollowsKnowsWhatANewOneFinds(t *testing.T) {
	r := newRig(t)
	var followed survey
	check := func(when string) {
		t.Helper()
		var fresh survey
		fresh.look(r.peer.Stale())
		before := make(map[job.ID]job.Record)
		for id, j := range followed.byID {
			before[id] = j.record
		}
		followed.takeNews()
		followed.look(r.peer.Stale())
		if got, want := described(&followed), described(&fresh); !reflect.DeepEqual(got, want) {
			t.Fatalf("%s the survey that followed has\n%v, a new one\n%v", when, got, want)
		}
		news := followed.takeNews()
		for id := range fresh.byID {
			if changed := before[id].Job == nil || !same(before[id], fresh.byID[id].record); changed != news[id] {
				t.Errorf("%s it is %t that %s is in the news", when, news[id], id)
			}
			delete(before, id)
		}
		for id := range before {
			if !news[id] {
				t.Errorf("%s %s has gone and isn't in the news", when, id)
			}
		}
	}
	check("at first")
	r.plan(5, 3)
	check("after jobs came")
	r.propose(cluster.CancelJob{Org: "o", ID: "j0000000002", At: r.time})
	check("after one in their midst was cancelled")
	before := r.peer.Stale()
	r.propose(cluster.CancelJob{Org: "o", ID: "j0000000003", At: r.time})
	r.planOne("jlate", 2, nil)
	check("after one was cancelled and one came")
	if now := followed.look(before); now.Index() <= before.Index() { // as a step does whose view a poll was faster than
		t.Error("it went back to an older state")
	}
	r.propose(cluster.CancelJob{Org: "o", ID: "j0000000001", At: r.time})
	r.planOne("jlater", 2, nil)
	followed.look(unaware{r.peer.Stale()})
	check("after the state didn't know what changed")
	var change func(*Report)
	for i := range 40 {
		r.time = r.time.Add(time.Second)
		orders := r.poll("s1", change)
		check(fmt.Sprintf("after poll %d", i))
		change = ends(orders.Start, succeed)
		if i == 10 {
			change = ends(orders.Start, func(Order) Ended { return Ended{Failure: job.Fail(job.EncoderFailed, "it broke")} })
		}
		if i == 20 { // it forgets what it had
			orders = r.poll("s2", nil)
			check("after the node restarted")
			change = ends(orders.Start, succeed)
		}
	}
	if len(followed.byID) > 0 {
		t.Errorf("%d jobs haven't ended: the test doesn't see them go", len(followed.byID))
	}
	if len(followed.held)+len(followed.waiting)+len(followed.worn)+len(followed.moves.of) > 0 {
		t.Errorf("with no job it still has %v, %v, %v and %v", followed.held, followed.waiting, followed.worn, followed.moves.of)
	}
}

// unaware is a view that doesn't know what changed before it.
type unaware struct{ cluster.View }

func (unaware) ChangedJobs(uint64) ([]*job.Job, []job.ID, bool) { return nil, nil, false }

// A peer that leads again has seen nothing of what was done while another led.
func TestALeaderThatComesBackKnowsWhatAnotherDid(t *testing.T) {
	r := newRig(t)
	first := r.poll("s1", nil).Start
	r.end()
	if r.rack != nil || r.survey.byID != nil {
		t.Error("a peer that doesn't lead still holds the state of when it did")
	}
	// The other leader took the attempt for lost, and one of a job that came since runs.
	r.propose(cluster.LoseAttempts{Refs: []job.Ref{first[0].Ref}, Outcome: job.OutcomeLost, Reason: "of another leader", At: r.time})
	r.planOne("jnew", 2, nil)
	r.propose(cluster.StartAttempts{At: r.time, Assignments: []cluster.JobAssignment{{Job: "jnew", Assignment: job.Assignment{
		Task: r.firstChunk("jnew"), Attempt: 1, Node: "a", Session: "s1", Device: "cpu", Threads: 1,
	}}}})
	r.begin()
	orders := r.poll("s1", runs(first))
	if !slices.Contains(orders.Stop, first[0].Ref) {
		t.Errorf("the lost attempt isn't stopped: %+v", orders.Stop)
	}
	started := make(map[job.Ref]bool)
	for _, order := range orders.Start {
		started[order.Ref] = true
	}
	adopted, again := job.Ref{Job: "jnew", Task: r.firstChunk("jnew"), Attempt: 1}, first[0].Ref
	again.Attempt++
	if len(started) != 2 || !started[adopted] || !started[again] {
		t.Errorf("on two threads run %v, want %s, which the other leader started, and %s", started, adopted, again)
	}
}

func (r *rig) firstChunk(id job.ID) job.TaskID {
	record, _ := r.peer.Stale().Record(id)
	for _, task := range record.Tasks {
		if task.Kind == job.EncodeTask {
			return task.ID
		}
	}
	r.t.Fatalf("%s has no chunk", id)
	return ""
}

// described is a survey without what may differ: pointers.
func described(s *survey) []string {
	list := []string{fmt.Sprint(len(s.held), len(s.worn))}
	for _, j := range s.all() {
		list = append(list, fmt.Sprint(j.record.Job.ID, s.worn[j], s.moves.of[j.record.Job.ID] != nil))
		for _, m := range j.makings {
			list = append(list, fmt.Sprint(j.record.Job.ID, m, s.waiting[m.with][j]))
		}
		for _, h := range j.holders {
			held := s.held[h.attempt.Node]
			list = append(list, fmt.Sprint(h.ref, h.task.State, held.jobs[j], held.sessions, held.stopping))
		}
	}
	for with, jobs := range s.waiting {
		list = append(list, fmt.Sprint(with, len(jobs)))
	}
	slices.Sort(list)
	return list
}
