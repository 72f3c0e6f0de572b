package node

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"millrace/api"
	"millrace/cluster"
	"millrace/job"
)

func TestMovesAreToldOnceToEachWhoAsks(t *testing.T) {
	var m moves
	if jobs, mark, _ := m.since(api.ProgressMark{}); len(jobs) > 0 || mark.Version != 0 {
		t.Fatalf("without a move it tells %v", jobs)
	}
	m.touch("a")
	m.touch("b")
	jobs, first, all := m.since(api.ProgressMark{})
	if !slices.Equal(jobs, []job.ID{"b", "a"}) || !all {
		t.Errorf("at first it tells %v, all: %t", jobs, all)
	}
	m.touch("c")
	m.touch("a")
	m.forget("c")
	jobs, second, all := m.since(first)
	if !slices.Equal(jobs, []job.ID{"a"}) || all {
		t.Errorf("then it tells %v, all: %t", jobs, all)
	}
	if jobs, _, _ = m.since(second); len(jobs) > 0 {
		t.Errorf("without a move since it tells %v", jobs)
	}
	if jobs, _, all = m.since(api.ProgressMark{Source: "another", Version: 99}); len(jobs) != 2 || !all {
		t.Errorf("to the mark of another it tells %v, all: %t", jobs, all)
	}
}

// A peer that is only told what moves shows the same as the leader, of each job.
func TestAFollowerThatIsToldOfMovesKnowsAllThatTheLeaderKnows(t *testing.T) {
	r := newRig(t)
	board := &progressBoard{
		leader: newLeader(r.peer.Office(), slog.New(slog.DiscardHandler), r.now), now: r.now,
		ask: func(_ context.Context, since api.ProgressMark) (Moved, error) { return r.progresses(since) },
	}
	var mark api.ProgressMark
	heard := make(map[job.ID]float64) // by one who asks the board what moved
	jobs, told := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		for step := range rapid.IntRange(1, 8).Draw(t, "steps") {
			for range rapid.IntRange(0, 3).Draw(t, "changes") {
				r.randomChange(t, &jobs)
			}
			r.time = r.time.Add(boardFresh)
			board.Refresh(t.Context())
			moved, next := board.Moved(mark)
			mark, told = next, told+len(moved)
			for _, id := range moved {
				progress, _ := board.Progress(id)
				heard[id] = progress.Percent
			}
			running := 0
			for record := range r.peer.Stale().Unsettled() {
				id := record.Job.ID
				want, runs := r.Progress(id)
				got, known := board.Progress(id)
				if got.Percent != want.Percent || known != runs {
					t.Fatalf("step %d: of %s it knows %v, %t, the leader %v, %t", step, id, got.Percent, known, want.Percent, runs)
				}
				if runs {
					running++
					if heard[id] != want.Percent {
						t.Fatalf("step %d: who asks what moved heard of %s %v last, it is at %v", step, id, heard[id], want.Percent)
					}
				}
			}
			if len(board.known) != running {
				t.Fatalf("it knows of %d jobs, %d run: %v", len(board.known), running, slices.Sorted(maps.Keys(board.known)))
			}
		}
	})
	if jobs < 10 || told < 10 {
		t.Errorf("of %d jobs %d moves were told: the test sees nothing", jobs, told)
	}
}

// randomChange is something that changes what progress there is.
func (r *rig) randomChange(t *rapid.T, jobs *int) {
	held := r.attempts()
	switch rapid.SampledFrom([]string{"job", "report", "report", "report", "end", "cancel", "term", "silence"}).Draw(t, "change") {
	case "job":
		if len(r.survey.byID) < 6 {
			*jobs++
			r.planOne(job.ID(fmt.Sprintf("j%010d", *jobs)), 3, nil)
		}
		r.poll("s1", runs(held))
	case "report":
		frames := rapid.Int64Range(0, 120).Draw(t, "frames")
		r.poll("s1", func(report *Report) {
			for _, order := range held {
				report.Running = append(report.Running, Running{Ref: order.Ref, Frames: frames})
			}
		})
	case "end":
		r.poll("s1", ends(held, succeed))
	case "cancel":
		for record := range r.peer.Stale().Unsettled() {
			if !record.Job.Status.Terminal() {
				r.propose(cluster.CancelJob{Org: "o", ID: record.Job.ID, At: r.time})
				return
			}
		}
	case "term":
		r.end()
		r.begin()
	case "silence":
		r.time = r.time.Add(LeaseTime + 1)
		r.schedule()
	}
}

// attempts are those that hold their tasks, as orders.
func (r *rig) attempts() []Order {
	var all []Order
	for record := range r.peer.Stale().Unsettled() {
		for _, task := range record.Tasks {
			for attempt := range task.Holders() {
				all = append(all, orderFor(record, task, attempt))
			}
		}
	}
	return all
}

// Peers of the version before ask for progress without a mark and answer with all.
func TestProgressIsToldToAndByPeersThatKnowNoMarks(t *testing.T) {
	r := newRig(t)
	r.planOne("jrunning", 2, nil)
	for _, question := range []json.RawMessage{nil, json.RawMessage("null")} {
		answer, err := r.tellMoved(question)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		var old map[job.ID]struct {
			Run     int     `json:"run"`
			Percent float64 `json:"percent"`
		}
		if err := json.Unmarshal(text, &old); err != nil || len(old) != 1 || old["jrunning"].Percent != inspectedPercent {
			t.Errorf("one that asks %q understands %v, %v", question, old, err)
		}
		told, err := readMoved(text)
		if err != nil || !told.All || told.Mark != (api.ProgressMark{}) || told.Jobs["jrunning"].Percent != inspectedPercent {
			t.Errorf("of such an answer a new one understands %+v, %v", told, err)
		}
	}
	answerCalls(r.peer, r.leader, "s1")
	if told, err := (leaderCalls{r.peer}).progresses(t.Context(), api.ProgressMark{}); err != nil || !told.All || told.Mark.Source == "" || len(told.Jobs) != 1 {
		t.Errorf("by a call one learns %+v, %v", told, err)
	}
	answer, err := r.tellMoved(json.RawMessage("{}"))
	if told, is := answer.(Moved); err != nil || !is || !told.All || told.Mark.Source == "" || len(told.Jobs) != 1 {
		t.Errorf("the first mark is answered by %+v, %v", answer, err)
	}
	if _, err := r.tellMoved(json.RawMessage("[")); err == nil {
		t.Error("nonsense is answered")
	}
	if _, err := readMoved(json.RawMessage(`{"j": 1}`)); err == nil {
		t.Error("nonsense is understood")
	}
}
