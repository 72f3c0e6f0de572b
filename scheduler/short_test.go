package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/job"
)

// mixedQueue is a node of four threads with jobs of ten lengths from two
// organisations before it, so that the engine knows what is short.
func mixedQueue(t *testing.T) (*Engine, Work) {
	t.Helper()
	work := ladderWork(func(w *Work) { w.Encoders = "libx264" })
	e := engineWith(cpuNode("a", 4, nil))
	for i := range 10 {
		queue(e, Job{ID: job.ID(fmt.Sprint("long", i)), Org: fmt.Sprint("o", i%2), Frames: 9000}, work, 300, 300, 300)
	}
	return e, work
}

// next ends the attempt that began first and returns which job got its place.
func next(e *Engine, running *[]Assignment) job.ID {
	if len(*running) == 0 {
		*running = e.Decide()
	}
	a := (*running)[0]
	*running = (*running)[1:]
	e.End(job.Ref{Job: a.Job, Task: a.Task, Attempt: a.Attempt}, a.Expected)
	placed := e.Decide()
	*running = append(*running, placed...)
	if len(placed) == 0 {
		return ""
	}
	return placed[0].Job
}

func TestAShortJobGoesFirstAlsoIfItsOrganisationHasHadMore(t *testing.T) {
	e, work := mixedQueue(t)
	var running []Assignment
	for range 8 {
		next(e, &running)
	}
	e.charge(e.org("o0").lanes[0], 60) // a film took it far ahead of the other
	queue(e, Job{ID: "clip", Org: "o0", Frames: 600, Queued: noon.Add(time.Minute)}, work, 300)
	why := ""
	for _, p := range e.Explain("long9") {
		why += p.Reason
	}
	if got := next(e, &running); got != "clip" {
		t.Errorf("%s got the free thread, not the short job", got)
	}
	if !strings.Contains(why, "room") && !strings.Contains(why, "short") {
		t.Errorf("the long job waits because %q", why)
	}
}

// TestShortJobsGainTheirOrganisationNothing floods the queue with the short jobs
// of one organisation while another has long ones only: both get half.
func TestShortJobsGainTheirOrganisationNothing(t *testing.T) {
	e, work := mixedQueue(t)
	for i := range 400 {
		queue(e, Job{ID: job.ID(fmt.Sprint("clip", i)), Org: "clips", Frames: 300, Queued: noon.Add(time.Duration(i) * time.Second)}, work, 60)
		queue(e, Job{ID: job.ID(fmt.Sprint("film", i)), Org: "films", Frames: 9000}, work, 60)
	}
	var running []Assignment
	clips, films := 0, 0
	for range 500 {
		switch id := next(e, &running); {
		case strings.HasPrefix(string(id), "clip"):
			clips++
		case strings.HasPrefix(string(id), "film"):
			films++
		}
	}
	if clips > films+films/5 {
		t.Errorf("the organisation of short jobs got %d tasks done, the other %d", clips, films)
	}
}

// TestLongJobsGoOnWhileShortOnesKeepComing is within one organisation.
func TestLongJobsGoOnWhileShortOnesKeepComing(t *testing.T) {
	e, work := mixedQueue(t)
	for i := range 10 {
		queue(e, Job{ID: job.ID(fmt.Sprint("longest", i)), Org: "o0", Frames: 9000}, work, slices.Repeat([]int64{60}, 60)...)
	}
	var running []Assignment
	long := 0
	for i := range 600 {
		for k := range 2 {
			queue(e, Job{ID: job.ID(fmt.Sprint("clip", i, "-", k)), Org: "o0", Frames: 300, Queued: noon.Add(time.Duration(20*i) * time.Second)}, work, 60)
		}
		if strings.HasPrefix(string(next(e, &running)), "long") {
			long++
		}
	}
	if long < 150 {
		t.Errorf("of 600 tasks only %d were of long jobs", long)
	}
}
