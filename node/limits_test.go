package node

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"millrace/cluster"
	"millrace/job"
)

func TestAnOrganisationRunsNoMoreJobsThanItMay(t *testing.T) {
	const second job.ID = "5KQfnXCg8Qi"
	r := newRig(t)
	r.propose(cluster.SetLimits{Org: "o", Limits: cluster.Limits{MaxRunning: 1}})
	spec := r.record().Job.Spec
	spec.Output = job.Location{URL: "file:///other/"}
	r.propose(cluster.CreateJob{ID: second, Org: "o", At: r.time.Add(time.Second), Spec: spec})
	r.poll("s1", nil)
	r.poll("s1", nil)
	if why := r.rack.engine.Explain(second); len(why) != 1 || !strings.Contains(why[0].Reason, "quota is 1 jobs at once") {
		t.Errorf("the second job: %+v", why)
	}
	r.propose(cluster.SetLimits{Org: "o"})
	r.poll("s1", nil)
	if why := r.rack.engine.Explain(second); len(why) != 1 || !why[0].Running {
		t.Errorf("the second job, once the limit is lifted: %+v", why)
	}
}

// metered is a rig whose jobs are as long as the test says.
type metered struct {
	*rig
	seconds map[job.ID]int64
}

// newMetered makes a rig whose organisation may begin some minutes of video each
// day, without jobs.
func newMetered(t *testing.T, minutes int) *metered {
	r := newRig(t)
	r.propose(cluster.CancelJob{Org: "o", ID: jobID, At: r.time})
	m := &metered{rig: r, seconds: map[job.ID]int64{}}
	m.allow(minutes)
	return m
}

func (m *metered) allow(minutes int) {
	m.t.Helper()
	m.propose(cluster.SetLimits{Org: "o", Limits: cluster.Limits{MinutesPerDay: minutes}, At: m.time})
}

// submit makes the next job, of so many seconds.
func (m *metered) submit(seconds int64) job.ID { return m.submitFor("o", seconds) }

func (m *metered) submitFor(org string, seconds int64) job.ID {
	m.t.Helper()
	n := len(m.seconds)
	id := job.ID(fmt.Sprintf("%011d", n))
	m.seconds[id] = seconds
	spec := m.record().Job.Spec
	spec.Output = job.Location{URL: fmt.Sprintf("file:///%d/", n)}
	m.propose(cluster.CreateJob{ID: id, Org: org, At: m.time.Add(time.Duration(n) * time.Microsecond), Spec: spec})
	return id
}

// work lets a worker do all that it is given, until it is given nothing.
func (m *metered) work() {
	m.t.Helper()
	var change func(*Report)
	for idle := 0; idle < 5; idle++ {
		orders := m.poll("s1", change)
		if len(orders.Start) > 0 {
			idle = -1
		}
		change = ends(orders.Start, m.finish)
	}
}

// finish makes up the result of any order.
func (m *metered) finish(order Order) Ended {
	ended := succeed(order)
	if plan := ended.Result.Plan; plan != nil {
		plan.Timeline.Frames = m.seconds[order.Ref.Job] * 25
	}
	return ended
}

func (m *metered) status(id job.ID) job.Status {
	m.t.Helper()
	record, found := m.peer.Stale().Record(id)
	if !found {
		m.t.Fatalf("job %s is gone", id)
	}
	return record.Job.Status
}

func (m *metered) used() time.Duration {
	org, _ := m.peer.Stale().Organisation("o")
	return org.UsedOn(m.time)
}

// want fails the test unless exactly these jobs are completed.
func (m *metered) want(when string, done ...job.ID) {
	m.t.Helper()
	wanted := map[job.ID]bool{}
	for _, id := range done {
		wanted[id] = true
	}
	for id := range m.seconds {
		if completed := m.status(id) == job.Completed; completed != wanted[id] {
			m.t.Fatalf("%s job %s of %d s is %s", when, id, m.seconds[id], m.status(id))
		}
	}
}

func (m *metered) why(id job.ID) string {
	m.t.Helper()
	told, err := m.explain(id)
	if err != nil || len(told) != 1 || told[0].Running {
		m.t.Fatalf("job %s is explained by %+v, %v", id, told, err)
	}
	return told[0].Reason
}

func TestJobsBeyondTheDaysMinutesWaitForMidnight(t *testing.T) {
	m := newMetered(t, 1)
	one, two, three, four := m.submit(20), m.submit(30), m.submit(20), m.submit(10)
	m.work()
	m.want("with 60 s a day", one, two, four)
	if why := m.why(three); !strings.Contains(why, "20s of video don't fit") || !strings.Contains(why, "from 2026-01-02T00:00:00Z") {
		t.Errorf("the third: %s", why)
	}
	five := m.submit(5)
	m.work()
	if why := m.why(five); m.status(five) != job.Queued || !strings.Contains(why, "1 min of video per day are used up") || !strings.Contains(why, "from 2026-01-02T00:00:00Z") {
		t.Errorf("the fifth, which is %s: %s", m.status(five), why)
	}

	m.time = time.Date(2026, 1, 1, 23, 59, 50, 0, time.UTC)
	m.work()
	m.want("before midnight", one, two, four)
	if next, err := m.step(t.Context(), m.peer.Stale()); err != nil || next > 10*time.Second {
		t.Errorf("the next step is due in %s, %v", next, err)
	}
	m.time = m.time.Add(10 * time.Second)
	m.schedule() // as the leader does by itself then
	m.work()
	m.want("after midnight", one, two, three, four, five)
	if used := m.used(); used != 25*time.Second {
		t.Errorf("the new day had %s", used)
	}
}

func TestAJobLongerThanADaysMinutesHasADayForItself(t *testing.T) {
	m := newMetered(t, 1)
	short, film, last := m.submit(10), m.submit(300), m.submit(20)
	m.work()
	m.want("on the first day", short, last)
	m.time = m.time.Add(24 * time.Hour)
	late := m.submit(10)
	m.work()
	m.want("on the second", short, last, film)
	m.time = m.time.Add(24 * time.Hour)
	m.work()
	m.want("on the third", short, last, film, late)
}

func TestAnotherLeaderKeepsToTheSameMinutes(t *testing.T) {
	m := newMetered(t, 1)
	one, two := m.submit(40), m.submit(40)
	m.work()
	m.want("under the first leader", one)
	m.begin()
	m.work()
	m.want("under the second", one)
	m.allow(2)
	m.work()
	m.want("with two minutes", one, two)
}

func TestMinutesThatAreSetHoldForJobsThatHaveNotBegun(t *testing.T) {
	m := newMetered(t, 0)
	one := m.submit(40)
	inspect := m.poll("s1", func(report *Report) { report.Profiles[0].Room.Threads = 1 }).Start
	two := m.submit(40)
	if len(inspect) != 1 {
		t.Fatalf("orders %+v", inspect)
	}
	m.allow(1)
	m.work()
	if done := []job.Status{m.status(one), m.status(two)}; done[0] == done[1] {
		t.Errorf("with a minute for two jobs of 40 s they are %v", done)
	}
	m.allow(0)
	m.work()
	m.want("without a limit", one, two)
}

// TestMinutesHoldAndNoJobWaitsForEver plays days on which jobs of all lengths come
// and leaders change.
func TestMinutesHoldAndNoJobWaitsForEver(t *testing.T) {
	const minutes, days = 2, 6
	m := newMetered(t, minutes)
	random := rand.New(rand.NewPCG(5, 8))
	for day := range 20 {
		before := 0
		for id := range m.seconds {
			if m.status(id) == job.Completed {
				before++
			}
		}
		for range random.IntN(4) {
			if day < days {
				m.submit(1 + random.Int64N(1+random.Int64N(200)))
			}
		}
		if random.IntN(3) == 0 {
			m.poll("s1", nil)
			m.begin() // another leader, in the middle of it
		}
		m.work()
		after := 0
		for id := range m.seconds {
			if m.status(id) == job.Completed {
				after++
			}
		}
		if used := m.used(); used > minutes*time.Minute && after != before+1 {
			t.Fatalf("day %d had %s and %d jobs", day, used, after-before)
		}
		if day > days && after == len(m.seconds) {
			return
		}
		m.time = m.time.Add(24 * time.Hour)
	}
	for id, seconds := range m.seconds {
		t.Logf("job %s of %d s is %s", id, seconds, m.status(id))
	}
	t.Error("some jobs were never done")
}

func TestWeightsDivideTheRack(t *testing.T) {
	m := newMetered(t, 0)
	m.propose(cluster.CreateOrganisation{Organisation: cluster.Organisation{ID: "p", Created: m.time}})
	m.propose(cluster.SetLimits{Org: "o", Limits: cluster.Limits{Weight: 3}, At: m.time})
	owner := map[job.ID]string{}
	for range 30 {
		for _, org := range []string{"o", "p"} {
			owner[m.submitFor(org, 20)] = org
		}
	}
	encoded := map[string]int{}
	var change func(*Report)
	for encoded["o"]+encoded["p"] < 40 {
		orders := m.poll("s1", change)
		for _, order := range orders.Start {
			if order.Task.Kind == job.EncodeTask {
				encoded[owner[order.Ref.Job]]++
			}
		}
		change = ends(orders.Start, m.finish)
	}
	if o, p := encoded["o"], encoded["p"]; o < 2*p || o > 4*p {
		t.Errorf("with the weights 3 and 1, %d and %d chunks were encoded", o, p)
	}
}
