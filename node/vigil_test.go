package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"millrace/cluster"
	"millrace/job"
)

// scene is what the rest of the world says of worker a.
type scene struct {
	answer func(ctx context.Context) (string, error)
	hidden bool // gossip has lost it
	asked  atomic.Int64
}

func (s *scene) session(ctx context.Context, _ string) (string, error) {
	s.asked.Add(1)
	return s.answer(ctx)
}

func (s *scene) inSight(string) bool { return !s.hidden }

func answers(session string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return session, nil }
}

func refuses(context.Context) (string, error) {
	return "", fmt.Errorf("call it: %w: %w", cluster.ErrUnreachable, syscall.ECONNREFUSED)
}

func isSilent(ctx context.Context) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

// watched runs a vigil over worker a in the bubble's time.
func watched(t *testing.T, s *scene) *leader {
	t.Helper()
	l := newLeader(nil, slog.New(slog.DiscardHandler), time.Now)
	l.leading, l.losing = true, make(map[job.Ref]bool)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.vigil(ctx, s) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l
}

// verdict waits until the vigil takes worker a for dead, at most for a time.
func (l *leader) verdict(within time.Duration) (string, time.Duration) {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		l.mu.Lock()
		worker := l.workers["a"]
		dead := ""
		if worker != nil {
			dead = worker.dead
		}
		l.mu.Unlock()
		if took := time.Since(began); dead != "" || took >= within {
			return dead, took
		}
	}
}

func TestADeadWorkerIsFoundOutInTimeAndALivingOneNever(t *testing.T) {
	breaks := func(l *leader, w *workerSeen) { l.polled(w, true) }
	isAnswered := func(l *leader, w *workerSeen) { l.polled(w, false) }
	waits := func(*leader, *workerSeen) {}
	for name, test := range map[string]struct {
		poll   func(*leader, *workerSeen)
		scene  *scene
		dead   bool
		within time.Duration
	}{
		"killed in a poll, its machine lives":     {breaks, &scene{answer: refuses}, true, time.Second},
		"killed between polls":                    {isAnswered, &scene{answer: refuses}, true, 3 * time.Second},
		"killed and started again":                {breaks, &scene{answer: answers("s2")}, true, time.Second},
		"its machine lost power":                  {waits, &scene{answer: isSilent, hidden: true}, true, 8 * time.Second},
		"its machine lost power after a poll":     {isAnswered, &scene{answer: isSilent, hidden: true}, true, 6 * time.Second},
		"cut off, but others see it":              {breaks, &scene{answer: isSilent}, false, LeaseTime},
		"polls late on a busy machine":            {isAnswered, &scene{answer: answers("s1")}, false, LeaseTime},
		"breaks a poll off and is late":           {breaks, &scene{answer: answers("s1")}, false, LeaseTime},
		"late and lost by gossip, but answers":    {breaks, &scene{answer: answers("s1"), hidden: true}, false, LeaseTime},
		"its address is another peer's now":       {breaks, &scene{answer: answers("")}, false, LeaseTime},
		"refuses the call for some other reason":  {breaks, &scene{answer: func(context.Context) (string, error) { return "", errors.New("no such call") }}, false, LeaseTime},
		"waits in its poll for as long as it may": {waits, &scene{answer: refuses}, false, idlePoll},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := watched(t, test.scene)
				worker, err := l.note(Report{Node: "a", Session: "s1", Wait: idlePoll})
				if err != nil {
					t.Fatal(err)
				}
				test.poll(l, worker)
				reason, took := l.verdict(test.within)
				if dead := reason != ""; dead != test.dead {
					t.Errorf("after %s: dead: %v (%s), want %v", took, dead, reason, test.dead)
				}
				if asked := test.scene.asked.Load(); asked > int64(took/askEvery)+1 {
					t.Errorf("it was asked %d times in %s", asked, took)
				}
			})
		})
	}
}

func TestAWorkerThatPollsAgainIsNoLongerInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scene := &scene{answer: refuses}
		l := watched(t, scene)
		for range 100 { // it breaks each poll off with news
			worker, err := l.note(Report{Node: "a", Session: "s1", Wait: busyPoll})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
			l.polled(worker, true)
			time.Sleep(100 * time.Millisecond)
		}
		if asked := scene.asked.Load(); asked > 0 {
			t.Errorf("it was asked %d times", asked)
		}
	})
}

func TestANewLeaderAsksAfterWorkersThatDoNotReport(t *testing.T) {
	for name, test := range map[string]struct {
		answer  func(context.Context) (string, error)
		session string
		dead    bool
	}{
		"the former leader, which was killed": {refuses, "", true},
		"one that goes on working":            {answers("s1"), "s1", false},
		"one that was started again":          {answers("s2"), "s2", false}, // what it held as s1 is lost by that
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				scene := &scene{answer: test.answer}
				l := watched(t, scene)
				l.mu.Lock()
				l.workers["a"] = unheard("a", l.now())
				l.mu.Unlock()
				reason, took := l.verdict(2 * time.Second)
				l.mu.Lock()
				defer l.mu.Unlock()
				if dead := reason != ""; dead != test.dead || l.workers["a"].session != test.session {
					t.Errorf("after %s: dead: %v, session %q; want %v, %q", took, dead, l.workers["a"].session, test.dead, test.session)
				}
			})
		})
	}
}

func TestALeaderThatStoodStillBlamesNobody(t *testing.T) {
	r := newRig(t)
	ref := r.poll("s1", nil).Start[0].Ref
	r.awake = r.time
	r.time = r.time.Add(time.Minute) // SIGSTOP, SIGCONT
	r.schedule()
	if task := r.record().Task(ref.Task); task.State != job.TaskRunning {
		t.Fatalf("the task is %s (%s)", task.State, task.Last().Outcome)
	}
	for range 11 { // now it hears, and nothing comes
		r.time = r.time.Add(time.Second)
		r.schedule()
	}
	if task := r.record().Task(ref.Task); task.Attempts[0].Outcome != job.OutcomeLost {
		t.Errorf("the attempt of a worker that stays silent is %q", task.Attempts[0].Outcome)
	}
}

func TestAttemptsAreLostByWhatTheVigilFindsOut(t *testing.T) {
	for name, test := range map[string]struct {
		find func(*rig)
		lost bool
	}{
		"dead":                      {func(r *rig) { r.workers["a"].dead = reasonRefused }, true},
		"removed":                   {func(r *rig) { _ = r.expel("a") }, true},
		"new term, not yet heard":   {func(r *rig) { r.begin() }, false},
		"new term, same session":    {func(r *rig) { r.begin(); r.workers["a"].session = "s1" }, false},
		"new term, another session": {func(r *rig) { r.begin(); r.workers["a"].session = "s2" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			ref := r.poll("s1", nil).Start[0].Ref
			test.find(r)
			r.schedule()
			if lost := r.record().Task(ref.Task).Attempts[0].Outcome == job.OutcomeLost; lost != test.lost {
				t.Errorf("lost: %v, want %v", lost, test.lost)
			}
		})
	}
}

func TestANodeThatDrainsGetsNothingNew(t *testing.T) {
	r := newRig(t)
	r.propose(cluster.SetDrain{Node: "a", Draining: true, At: r.time})
	if orders := r.poll("s1", nil); len(orders.Start) > 0 {
		t.Fatalf("it is ordered %+v", orders.Start)
	}
	r.propose(cluster.SetDrain{Node: "a", Draining: false, At: r.time})
	if orders := r.poll("s1", nil); len(orders.Start) != 1 {
		t.Errorf("resumed, it is ordered %+v", orders.Start)
	}
}
