package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"millrace/cluster"
	"millrace/hwaccel"
	"millrace/job"
	"millrace/scheduler"
)

const (
	// encoderGrace is how long no node may offer a job's encoder before the job
	// goes on with another: nodes restart, and a device that has come back is
	// tried before it gets work.
	encoderGrace = 30 * time.Second
	// deviceFailures is how many attempts of a task may fail on devices before
	// the job's renditions are made by another encoder: one less than end a job.
	deviceFailures = job.MaxFailures - 1
)

// fallBack looks for jobs whose renditions are bound to a device's encoder that
// can't be used any more, and binds them to the next-best encoder that a node
// offers: all chunks, since one rendition's must fit together. It says when it
// should look again at the latest.
func (l *leader) fallBack(ctx context.Context, view cluster.View) (time.Duration, error) {
	changes, next := l.encoderChanges(view)
	for id, change := range changes {
		l.log.Warn("the encoder is changed", "job", id, "from", change.From, "to", change.To, "err", change.Reason)
		_, err := l.state.Propose(ctx, cluster.ChangeEncoder{Job: id, Change: change, At: l.now()})
		if errors.Is(err, cluster.ErrUpgrading) {
			l.log.Warn("the encoder is changed once all peers are upgraded", "job", id)
			continue
		}
		if err != nil && !errors.Is(err, job.ErrTransition) && !errors.Is(err, cluster.ErrNotFound) {
			return next, fmt.Errorf("change the encoder of %s: %w", id, err)
		}
	}
	return next, nil
}

// encoderChanges decides which jobs change their encoder.
func (l *leader) encoderChanges(view cluster.View) (map[job.ID]job.EncoderChange, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, next := l.now(), idleStep
	changes := make(map[job.ID]job.EncoderChange)
	missing := make(map[made]time.Time)
	view = l.survey.look(view)
	type kept struct{ from, kind, labels string } // what the next best depends on
	best := make(map[kept]hwaccel.Row)
	giveUp := func(j *surveyed, from hwaccel.Row, reason string) {
		key := kept{from.Encoder, j.record.Job.Spec.RequiredKind(), labelsFor(j.record.Job.Spec)}
		to, known := best[key]
		if !known {
			to, _ = l.nextBest(view, from, j.record.Job.Spec)
			best[key] = to
		}
		if to.Encoder != "" {
			changes[j.record.Job.ID] = changeTo(j.record, from, to, reason)
		}
	}
	for j := range l.survey.worn {
		for _, m := range j.makings {
			if reason := cmp.Or(m.worn, l.noneLeft(view, m)); reason != "" {
				giveUp(j, m.row, reason)
			}
		}
	}
	for with, jobs := range l.survey.waiting {
		if l.offered(view, with) {
			continue
		}
		since, known := l.encoderMissing[with]
		if !known {
			since = now
		}
		missing[with] = since
		if wait := since.Add(encoderGrace).Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		others := l.offered(view, made{encoder: with.encoder, labels: with.labels})
		row, _ := hwaccel.Encoder(with.encoder)
		for j := range jobs {
			if others {
				changes[j.record.Job.ID] = changeTo(j.record, row, row, fmt.Sprintf(
					"no node has a device any more whose %s writes the headers of the chunks that were made", with.encoder))
			} else {
				giveUp(j, row, fmt.Sprintf("no node has a device with a working %s any more%s", with.encoder, l.whyNot(with.encoder)))
			}
		}
	}
	l.encoderMissing = missing
	return changes, next
}

// made is what chunks are made with: an encoder, the headers that it writes,
// empty for any, and the labels that nodes must have, with commas between them.
type made struct{ encoder, headers, labels string }

// labelsFor are the labels that a job's nodes must have, as in made.
func labelsFor(spec job.Spec) string { return strings.Join(spec.RequiredLabels(), ",") }

// making is an encoder that makes some renditions of a job.
type making struct {
	// renditions are those that one task makes of a chunk, and ladder the same for the
	// scheduler.
	renditions []string
	ladder     string
	row        hwaccel.Row
	with       made
	waits      bool // whether any of their chunks waits for a device
	// worn is why the encoder should be given up, and lost the chunks that may be a reason
	// (see noneLeft): the survey finds them.
	worn string
	lost []lostChunk
}

// makingsOf lists what the renditions of a job are bound to, while it is transcoded:
// one for each list of renditions that its tasks make.
func makingsOf(record job.Record) (list []making) {
	plan := record.Job.Plan
	if record.Job.Status != job.Transcoding || plan == nil {
		return nil
	}
	last := -1
	for _, task := range record.Tasks {
		if task.Kind != job.EncodeTask {
			continue
		}
		if last < 0 || !slices.Equal(list[last].renditions, task.Renditions) {
			last = slices.IndexFunc(list, func(m making) bool { return slices.Equal(m.renditions, task.Renditions) })
		}
		if last < 0 {
			m, known := makingOf(record, plan, task.Renditions)
			if !known {
				continue
			}
			last, list = len(list), append(list, m)
		}
		list[last].waits = list[last].waits || task.State == job.TaskWaiting
	}
	return list
}

func makingOf(record job.Record, plan *job.Plan, names []string) (making, bool) {
	renditions := renditionsOf(plan, names)
	if len(renditions) == 0 {
		return making{}, false
	}
	row, known := hwaccel.Encoder(renditions[0].Encoder)
	return making{
		renditions: names, ladder: scheduler.Ladder(renditions), row: row,
		with: made{row.Encoder, record.Headers(names), labelsFor(record.Job.Spec)},
	}, known
}

// worn says why a job should give up a device's encoder by what has become of
// its attempts; empty if it shouldn't.
func worn(record job.Record, encoder string) string {
	for _, task := range record.Tasks {
		if task.Kind != job.EncodeTask || task.State != job.TaskWaiting || task.Failures == 0 {
			continue
		}
		last := task.Last()
		if last == nil || last.Encoder != encoder || last.Failure == nil {
			continue
		}
		switch remedy := hwaccel.RemedyFor(last.Failure.Code); {
		case remedy == hwaccel.NextEncoder:
			return last.Failure.Message
		case remedy == hwaccel.InputsFault || remedy == hwaccel.NotOurs:
		case task.Failures >= deviceFailures:
			return fmt.Sprintf("%s failed %d times, the last time: %s", task.ID, task.Failures, last.Failure.Message)
		}
	}
	return ""
}

// offered says whether an open node with such labels has a device on which the
// encoder works and writes such headers.
func (l *leader) offered(view cluster.View, with made) bool { return l.offeredBesides(view, with, nil) }

// whyNot is what the nodes say of an encoder that works nowhere, for people.
func (l *leader) whyNot(encoder string) string {
	for _, worker := range l.workers {
		for _, profile := range worker.report.Profiles {
			if tried, listed := profile.Encoder(encoder); listed && !tried.Works {
				return fmt.Sprintf(" (%s: %s)", profile.Device.Name, tried.Reason)
			}
		}
	}
	return ""
}

// nextBest is the encoder of the same codec that the rack does most with, of
// those that are less preferred than row: so a job never comes back to one.
func (l *leader) nextBest(view cluster.View, row hwaccel.Row, spec job.Spec) (hwaccel.Row, bool) {
	var names []string
	after := false
	for _, other := range hwaccel.Rows() {
		if after && other.Codec == row.Codec && job.OfKind(other.Encoder, spec.RequiredKind()) && l.offered(view, made{encoder: other.Encoder, labels: labelsFor(spec)}) {
			names = append(names, other.Encoder)
		}
		after = after || other.Encoder == row.Encoder
	}
	if len(names) == 0 {
		return hwaccel.Row{}, false
	}
	if l.rack != nil {
		work := wanted(spec)
		work.Encoders = strings.Join(names, ",")
		if best := l.rack.engine.Encoder(work); best != "" {
			return hwaccel.Encoder(best)
		}
	}
	return hwaccel.Encoder(names[0])
}

func changeTo(record job.Record, from, to hwaccel.Row, reason string) job.EncoderChange {
	change := job.EncoderChange{
		From: from.Encoder, To: to.Encoder, DelayFrames: to.DelayFrames, Reason: reason, CRF: make(map[string]float64),
	}
	for _, rendition := range record.Job.Plan.Renditions {
		change.CRF[rendition.Name] = constantQuality(to, record.Job.Spec.Quality)
	}
	return change
}

// constantQuality is a job's quality on an encoder's own scale.
func constantQuality(row hwaccel.Row, quality job.Quality) float64 {
	return row.CRF[cmp.Or(quality, job.Standard)]
}
