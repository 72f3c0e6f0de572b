package api

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"millrace/cluster"
	"millrace/job"
)

// followed is a state that at times doesn't know what changed, as after a restore.
type followed struct {
	State
	unaware bool
}

func (f *followed) Stale() cluster.View {
	if f.unaware {
		return unaware{f.State.Stale()}
	}
	return f.State.Stale()
}

type unaware struct{ cluster.View }

func (unaware) ChangedJobs(uint64) ([]*job.Job, []job.ID, bool) { return nil, nil, false }

// scene is a hub whose looks a test makes itself, and what its streams should know.
type scene struct {
	t     *rapid.T
	f     *fixture
	state *followed
	hub   *hub
	jobs  []*job.Job
	known map[*subscriber]map[job.ID]uint64 // the revision that each stream knows
}

// Each stream is told of each change of its jobs, once, in the changes' order, and of
// nothing else, however late it comes and whatever the state knows of its past.
func TestStreamsAreToldOfEachChangeAndOfNothingElse(t *testing.T) {
	f := newFixture(t)
	progress := &movedTable{moved: make(map[job.ID]int)}
	told := 0
	rapid.Check(t, func(t *rapid.T) {
		s := &scene{t: t, f: f, state: &followed{State: f.peer}, known: make(map[*subscriber]map[job.ID]uint64)}
		s.hub = newHub(Config{State: s.state, Progress: progress, MaxStreams: 1000})
		begin := f.peer.Stale().Index()
		for range rapid.IntRange(1, 12).Draw(t, "looks") {
			for range rapid.IntRange(0, 3).Draw(t, "changes") {
				s.change(progress)
			}
			for range rapid.IntRange(0, 2).Draw(t, "streams") {
				s.come(rapid.Uint64Range(begin, f.peer.Stale().Index()).Draw(t, "last"))
			}
			s.state.unaware = rapid.IntRange(0, 4).Draw(t, "restored") == 0
			s.hub.tellStatus(s.state.Stale())
			told += s.checkStatus()
			s.hub.tellProgress()
			s.checkProgress(progress)
		}
	})
	if told < 50 {
		t.Errorf("%d changes were told: the test sees nothing", told)
	}
}

// id is of no job that there is.
func (s *scene) id() job.ID {
	id, err := job.NewID(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

// specOf is of a job whose output is its own.
func specOf(id job.ID) job.Spec {
	return job.Spec{Output: job.Location{URL: "s3://b/" + string(id)}, Resolutions: []job.Resolution{240}, Codec: job.H264}
}

func (s *scene) change(progress *movedTable) {
	number := len(s.jobs)
	kind := rapid.SampledFrom([]string{"create", "start", "fail", "cancel", "progress", "other"}).Draw(s.t, "change")
	if kind == "create" || number == 0 {
		made := s.f.propose(cluster.CreateJob{
			ID: s.id(), Org: rapid.SampledFrom([]string{"default", "other"}).Draw(s.t, "org"), At: noon, Spec: specOf(s.id()),
		}).(*job.Job)
		s.jobs = append(s.jobs, made)
		return
	}
	j := s.jobs[rapid.IntRange(0, number-1).Draw(s.t, "job")]
	inspect := job.Ref{Job: j.ID, Task: job.TaskID(job.InspectTask), Attempt: 1}
	ctx := context.Background()
	switch kind { // what the job's state doesn't allow is refused
	case "start":
		_, _ = s.f.peer.Propose(ctx, cluster.StartAttempts{At: noon, Assignments: []cluster.JobAssignment{{
			Job: j.ID, Assignment: job.Assignment{Task: inspect.Task, Attempt: 1, Node: "n", Session: "s", Device: "cpu"},
		}}})
	case "fail":
		_, _ = s.f.peer.Propose(ctx, cluster.FailTask{Ref: inspect, Failure: *job.Fail(job.InputEmpty, "empty"), At: noon})
	case "cancel":
		_, _ = s.f.peer.Propose(ctx, cluster.CancelJob{Org: j.Org, ID: j.ID, At: noon})
	case "progress":
		progress.move(j.ID)
	case "other":
		s.f.propose(cluster.SetDrain{Node: "n", Draining: true, At: noon})
	}
}

// come opens a stream of all or of one job, as from a revision on.
func (s *scene) come(last uint64) {
	org, id := rapid.SampledFrom([]string{"default", "other"}).Draw(s.t, "org"), job.ID("")
	if len(s.jobs) > 0 && rapid.Bool().Draw(s.t, "of one") {
		j := s.jobs[rapid.IntRange(0, len(s.jobs)-1).Draw(s.t, "job")]
		org, id = j.Org, j.ID
	}
	sub := &subscriber{org: org, job: id, last: last, wake: make(chan struct{}, 1), sent: make(map[job.ID]job.Progress), pending: make(map[job.ID]news)}
	if !s.hub.add(sub) {
		s.t.Fatal("it was refused")
	}
	s.known[sub] = make(map[job.ID]uint64)
	for _, j := range s.jobs { // it knows what there was at that revision
		s.known[sub][j.ID] = last
	}
}

// checkStatus compares what each stream was told with what it should know.
func (s *scene) checkStatus() (told int) {
	view := s.f.peer.Stale()
	for sub, known := range s.known {
		news, keepsUp := sub.take()
		if !keepsUp || !slices.IsSortedFunc(news, byRevision) {
			s.t.Fatalf("it is told %v", news)
		}
		for _, n := range news {
			if !n.status || n.job.Org != sub.org || sub.job != "" && sub.job != n.job.ID || n.job.Revision <= known[n.job.ID] {
				s.t.Fatalf("a stream of %q of %s, which knows %d of it, is told of %+v", sub.job, sub.org, known[n.job.ID], n.job)
			}
			known[n.job.ID] = n.job.Revision
			told++
		}
		for _, j := range s.jobs {
			now, _ := view.Job(j.Org, j.ID)
			if j.Org == sub.org && (sub.job == "" || sub.job == j.ID) && now.Revision > known[j.ID] {
				s.t.Fatalf("a stream of %q of %s isn't told that %s is %s since %d; it knows %d", sub.job, sub.org, j.ID, now.Status, now.Revision, known[j.ID])
			}
		}
	}
	return told
}

// checkProgress checks that each stream was last told of the progress that there is.
func (s *scene) checkProgress(progress *movedTable) {
	view := s.f.peer.Stale()
	for sub := range s.known {
		news, _ := sub.take()
		for _, n := range news {
			if n.status || n.job.Status != job.Transcoding || n.job.Org != sub.org || sub.job != "" && sub.job != n.job.ID {
				s.t.Fatalf("a stream of %q of %s is told of the progress of %+v", sub.job, sub.org, n.job)
			}
		}
		for _, j := range s.jobs {
			now, _ := view.Job(j.Org, j.ID)
			want, _ := progress.Progress(j.ID)
			if j.Org == sub.org && (sub.job == "" || sub.job == j.ID) && now.Status == job.Transcoding && !same(want, sub.sent[j.ID]) {
				s.t.Fatalf("a stream of %q of %s knows of the progress of %s %v, it is %v", sub.job, sub.org, j.ID, sub.sent[j.ID], want)
			}
			if _, is := sub.sent[j.ID]; is && now.Status != job.Transcoding {
				s.t.Fatalf("of %s, which is %s, the progress is still known", j.ID, now.Status)
			}
		}
	}
}

// movedTable is a source of progress that tells only what moved.
type movedTable struct {
	moved map[job.ID]int
	order []job.ID
}

func (m *movedTable) move(id job.ID) { m.moved[id], m.order = m.moved[id]+1, append(m.order, id) }

func (m *movedTable) Progress(id job.ID) (job.Progress, bool) {
	return job.Progress{Percent: float64(m.moved[id])}, m.moved[id] > 0
}

func (m *movedTable) Refresh(context.Context) {}

func (m *movedTable) Moved(since ProgressMark) ([]job.ID, ProgressMark) {
	return m.order[since.Version:], ProgressMark{Version: uint64(len(m.order))}
}

// BenchmarkStreams is what one look for event streams takes with 10,000 jobs that run,
// 10 streams of all of them and 1,000 of one: after one job has changed, and after the
// progress of one, or of all, has moved. Run it for at most some thousand rounds.
func BenchmarkStreams(b *testing.B) {
	f := newFixture(b)
	progress := &movedTable{moved: make(map[job.ID]int)}
	h := newHub(Config{State: f.peer, Progress: progress, MaxStreams: 1 << 20})
	ids := f.many(10_000)
	for i := range 1_010 {
		sub := &subscriber{org: "default", wake: make(chan struct{}, 1), sent: make(map[job.ID]job.Progress), pending: make(map[job.ID]news)}
		if i >= 10 {
			sub.job = ids[i]
		}
		h.add(sub)
	}
	look := func() {
		h.tellStatus(f.peer.Stale())
		h.tellProgress()
		for sub := range h.subs {
			sub.take()
		}
	}
	look()
	b.Run("a job changed", func(b *testing.B) {
		for i := len(ids) - 1; b.Loop(); i-- {
			b.StopTimer()
			f.propose(cluster.CancelJob{Org: "default", ID: ids[i], At: noon})
			b.StartTimer()
			look()
		}
	})
	b.Run("progress of one moved", func(b *testing.B) {
		for b.Loop() {
			progress.move(ids[0])
			look()
		}
	})
	b.Run("progress of all moved", func(b *testing.B) {
		for b.Loop() {
			for _, id := range ids {
				progress.move(id)
			}
			look()
		}
	})
}

// many makes jobs that run.
func (f *fixture) many(jobs int) []job.ID {
	ids := make([]job.ID, jobs)
	var proposals sync.WaitGroup
	free := make(chan struct{}, 64)
	for i := range jobs {
		ids[i] = job.ID(fmt.Sprintf("j%010d", i))
		free <- struct{}{}
		proposals.Go(func() {
			defer func() { <-free }()
			f.propose(cluster.CreateJob{ID: ids[i], Org: "default", At: noon, Spec: specOf(ids[i])})
			f.start(ids[i])
		})
	}
	proposals.Wait()
	return ids
}
