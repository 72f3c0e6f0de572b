package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"millrace/cluster"
	"millrace/hwaccel"
	"millrace/job"
	"millrace/scheduler"
)

// step makes one round of decisions from the state and says when the next is
// due at the latest.
func (l *leader) step(ctx context.Context, view cluster.View) (time.Duration, error) {
	lost, next := l.lostAttempts(view)
	if len(lost) > 0 {
		if err := l.lose(ctx, lost); err != nil {
			return next, err
		}
		view = l.state.Stale()
	}
	due, err := l.fallBack(ctx, view)
	if err != nil {
		return next, err
	}
	next, view = min(next, due), l.state.Stale()
	placed, due := l.place(view)
	next = min(next, due)
	if _, err := l.start(ctx, placed); err != nil {
		return next, err
	}
	return next, l.backUp(ctx)
}

// start puts what was decided into the state, and answers what it took.
func (l *leader) start(ctx context.Context, placed []scheduler.Assignment) ([]job.Ref, error) {
	if len(placed) == 0 {
		return nil, nil
	}
	command := cluster.StartAttempts{At: l.now()}
	for _, a := range placed {
		command.Assignments = append(command.Assignments, cluster.JobAssignment{Job: a.Job, Assignment: a.Assignment})
		l.log.Info("attempt starts", "job", a.Job, "task", a.Task, "attempt", a.Attempt, "backup_of", a.BackupOf, "node", a.Node, "device", a.Device, "threads", a.Threads)
	}
	answer, err := l.state.Propose(ctx, command)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, cluster.ErrUpgrading): // backups only
		if l.rack != nil {
			l.rack.refused(placed, nil)
		}
		return nil, err
	case err != nil:
		l.rack = nil // whether they started isn't known: the state will say
		return nil, fmt.Errorf("start attempts: %w", err)
	}
	started, known := answer.([]job.Ref)
	if known && l.rack != nil {
		l.rack.refused(placed, started)
	}
	return started, nil
}

// place brings the engine up to date and lets it decide.
func (l *leader) place(view cluster.View) ([]scheduler.Assignment, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rack == nil {
		l.rack = newRack(l.now())
	}
	next := l.rack.follow(view, l)
	return l.rack.decide(), next
}

// idleStep is how often the leader looks at the state when nothing happens.
const idleStep = 30 * time.Second

// lose declares attempts lost, by the reason why.
func (l *leader) lose(ctx context.Context, lost map[string][]job.Ref) error {
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		clear(l.losing)
	}()
	for reason, refs := range lost {
		l.log.Warn("attempts lost", "attempts", refs, "err", reason)
		if _, err := l.state.Propose(ctx, cluster.LoseAttempts{Refs: refs, Outcome: job.OutcomeLost, Reason: reason, At: l.now()}); err != nil {
			return fmt.Errorf("declare attempts lost: %w", err)
		}
	}
	return nil
}

// lostAttempts finds the attempts whose worker is silent for longer than the
// lease, has ended or has restarted, by the reason why.
func (l *leader) lostAttempts(view cluster.View) (map[string][]job.Ref, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, next := l.now(), idleStep
	l.forgive(now)
	lost := make(map[string][]job.Ref)
	lose := func(ref job.Ref, reason string) {
		lost[reason] = append(lost[reason], ref)
		l.losing[ref] = true
	}
	l.survey.look(view)
	for node, held := range l.survey.held {
		worker := l.workers[node]
		if worker != nil && worker.dead == "" && now.Sub(worker.seen) <= LeaseTime && held.only(worker.session) {
			next = min(next, LeaseTime-now.Sub(worker.seen)+time.Millisecond)
			continue
		}
		for h := range l.survey.holdings(node) {
			switch {
			case worker == nil:
				lose(h.ref, "the node is not in the cluster")
			case worker.session != "" && worker.session != h.attempt.Session:
				lose(h.ref, reasonRestarted)
			case worker.dead != "":
				lose(h.ref, worker.dead)
			case now.Sub(worker.seen) > LeaseTime:
				lose(h.ref, fmt.Sprintf("the node was silent for more than %s", LeaseTime))
			case h.task.State == job.TaskStopping && !worker.unheard && worker.gone(h.ref):
				lose(h.ref, "the node had no such attempt")
			default:
				next = min(next, LeaseTime-now.Sub(worker.seen)+time.Millisecond)
			}
		}
	}
	for _, refs := range lost { // the nodes came in no order
		slices.SortFunc(refs, func(a, b job.Ref) int {
			return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.Task, b.Task), cmp.Compare(a.Attempt, b.Attempt))
		})
	}
	return lost, next
}

// forget drops what is remembered of jobs that are settled, of those that are news.
func (l *leader) forget(news map[job.ID]bool) {
	settled := func(id job.ID) bool { return news[id] && l.survey.byID[id] == nil }
	maps.DeleteFunc(l.retryAt, func(key taskKey, _ time.Time) bool { return settled(key.job) })
	for id := range news {
		if settled(id) {
			delete(l.shown, id)
		}
	}
}

// audioPixels is what encoding a frame's worth of AAC in stereo costs, as pixels of
// x264 veryfast: 90 times real time on one core against 1080p30 at once.
const audioPixels = 1920 * 1080 / 90

// planCommand binds a plan's renditions to encoders and cuts its timeline, for the
// rack as it is: what its inspection was given is what the rack does most with, and
// if all jobs took that the other devices would have nothing to do. A job that is
// planned again keeps its encoders while they are offered, and its cuts where the
// timeline is the same, so that finished chunks can be kept.
func (l *leader) planCommand(ref job.Ref, plan job.Plan, at time.Time) cluster.Command {
	record, _ := l.state.Stale().Record(ref.Job)
	var whole []int
	if record.Job != nil && record.Job.Plan != nil && record.Job.Plan.Timeline == plan.Timeline {
		plan.Chunks, plan.Groups = record.Job.Plan.Chunks, groupsOf(plan, record.Job.Plan.Groups)
		plan = l.asBefore(plan, record.Job)
		whole = record.Whole()
	} else {
		arranged, err := l.arranged(record, plan)
		if err != nil { // a timeline that Inspect made can be cut; if not, it is a bug
			return cluster.FailTask{Ref: ref, Failure: *job.Fail(job.InternalError, "%v", err), At: at}
		}
		plan, whole = arranged.Plan, arranged.Whole
	}
	var spec job.Spec
	if record.Job != nil {
		spec = record.Job.Spec
	}
	return cluster.PlanJob{Ref: ref, Plan: plan, Tasks: job.PlanTasks(ref.Job, spec, plan, whole...), At: at}
}

// arranged cuts a plan and binds its renditions for the rack as it is.
func (l *leader) arranged(record job.Record, plan job.Plan) (scheduler.Arranged, error) {
	outlook := l.outlook(record, plan)
	arranged, err := scheduler.Arrange(plan, outlook)
	if err != nil || record.Job == nil {
		return arranged, err
	}
	made := madeBy(arranged.Plan, arranged.Encoders, record.Job.Spec.Quality)
	if !l.state.Understands(cluster.PlanJob{Plan: made}) { // a peer that may lead next isn't upgraded yet
		outlook.Parts = nil
		if arranged, err = scheduler.Arrange(plan, outlook); err != nil {
			return arranged, err
		}
		made = madeBy(arranged.Plan, arranged.Encoders, record.Job.Spec.Quality)
	}
	arranged.Plan = made
	return arranged, nil
}

// groupsOf are the groups of an earlier plan for a plan that may have other
// renditions: nil, the whole ladder, if it has any that is in none of them.
func groupsOf(plan job.Plan, groups [][]string) [][]string {
	var kept [][]string
	found := 0
	for _, group := range groups {
		group = slices.DeleteFunc(slices.Clone(group), func(name string) bool {
			return !slices.ContainsFunc(plan.Renditions, func(r job.Rendition) bool { return r.Name == name })
		})
		if found += len(group); len(group) > 0 {
			kept = append(kept, group)
		}
	}
	if found < len(plan.Renditions) {
		return nil
	}
	return kept
}

// madeBy is a plan whose renditions are made by these encoders, of the codec that they
// have; the plan as it is where one isn't such an encoder.
func madeBy(plan job.Plan, encoders []string, quality job.Quality) job.Plan {
	made := plan
	made.Renditions, made.DelayFrames = slices.Clone(plan.Renditions), 0
	for i, encoder := range encoders {
		rendition := &made.Renditions[i]
		row, known := hwaccel.Encoder(encoder)
		if !known || rendition.Codec != row.Codec {
			return plan
		}
		if rendition.Encoder != row.Encoder {
			rendition.Encoder, rendition.CRF = row.Encoder, constantQuality(row, quality)
		}
		made.DelayFrames = max(made.DelayFrames, row.DelayFrames)
	}
	return made
}

// asBefore is a plan whose renditions are made by the encoders of the job's plan before
// it, if nodes offer those; all by the first of them where the ladder stays whole.
func (l *leader) asBefore(plan job.Plan, before *job.Job) job.Plan {
	had := before.Plan.Renditions
	if len(had) == 0 {
		return plan
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	encoders := make([]string, len(plan.Renditions))
	for i, rendition := range plan.Renditions {
		encoders[i] = had[0].Encoder
		if at := slices.IndexFunc(had, func(r job.Rendition) bool { return r.Name == rendition.Name }); at >= 0 && len(plan.Groups) > 0 {
			encoders[i] = had[at].Encoder
		}
		if !l.offered(l.state.Stale(), made{encoder: encoders[i], labels: labelsFor(before.Spec)}) {
			return plan
		}
	}
	plan = madeBy(plan, encoders, before.Spec.Quality)
	plan.DelayFrames = max(plan.DelayFrames, before.Plan.DelayFrames) // that of an encoder before this one
	return plan
}

// outlook is what a job that was just inspected can expect of the rack, with
// whichever encoder it may have. A job that prefers energy has its inspection's, which
// was chosen by that.
func (l *leader) outlook(record job.Record, plan job.Plan) scheduler.Outlook {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rack == nil || record.Job == nil {
		return scheduler.Outlook{Slots: 1}
	}
	work := encodeWork(record.Job.Spec, &plan, plan.Renditions)
	if record.Job.Spec.Prefer != job.PreferEnergy {
		work.Encoders = encodersFor(record.Job.Spec)
	}
	return l.rack.engine.Outlook(record.Job.ID, work, plan.Timeline.Frames)
}
