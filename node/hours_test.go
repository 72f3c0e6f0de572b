package node

import (
	"strings"
	"testing"
	"time"
)

func TestWorkHoursAreOpenAsTheyRead(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	day := func(d, hour, minute int) time.Time { return time.Date(2026, 11, d, hour, minute, 30, 0, paris) } // the 23rd is a Monday
	const nights = "Mon-Fri 19:00-07:00,Sat-Sun"
	for _, c := range []struct {
		hours string
		at    time.Time
		open  bool
	}{
		{"", day(23, 12, 0), true},
		{nights, day(23, 12, 0), false},
		{nights, day(23, 18, 59), false},
		{nights, day(23, 19, 0), true},
		{nights, day(23, 6, 59), false}, // the night from Sunday isn't a working day's
		{nights, day(24, 6, 59), true},
		{nights, day(24, 7, 0), false},
		{nights, day(28, 12, 0), true},
		{"20:00-24:00", day(25, 23, 59), true},
		{"20:00-24:00", day(25, 0, 0), false},
		{"Fri-Mon 08:00-09:00", day(29, 8, 30), true},
		{"Fri-Mon 08:00-09:00", day(25, 8, 30), false},
		{"wed", day(25, 3, 0), true},
		{"wed", day(26, 3, 0), false},
	} {
		hours, err := ParseWorkHours(c.hours)
		if err != nil {
			t.Fatal(err)
		}
		if open := hours.Closed(c.at) == ""; open != c.open {
			t.Errorf("%q is open at %s: %v", c.hours, c.at, open)
		}
	}
	hours, _ := ParseWorkHours(nights)
	if why := hours.Closed(day(23, 12, 0)); !strings.HasSuffix(why, "until Mon 19:00 CET") {
		t.Error(why)
	}
}

func TestWorkHoursFollowTheClocksOfTheirPlace(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	hours, err := ParseWorkHours("19:00-07:00")
	if err != nil {
		t.Fatal(err)
	}
	// In the night in which clocks go back, an hour comes twice, and 07:00 is later.
	before := time.Date(2026, 10, 25, 5, 59, 0, 0, time.UTC) // 06:59 CET
	if why := hours.Closed(before.In(paris)); why != "" {
		t.Error(why)
	}
	if hours.Closed(before.Add(time.Minute).In(paris)) == "" {
		t.Error("at 07:00 it still works")
	}
}

func TestWorkHoursThatSayNothingAreRefused(t *testing.T) {
	for _, text := range []string{",", "Mon-", "Mo", "7-9", "07:00", "07:00-07:00", "24:00-07:00", "19:00-25:00", "19:00-07:00 Mon", "Mon 19:00-07:00 x"} {
		if _, err := ParseWorkHours(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestANodeOutsideItsWorkHoursTakesNothingNew(t *testing.T) {
	r := newRig(t)
	closed := func(report *Report) { report.Closed = "it is outside its work hours until Mon 19:00" }
	if orders := r.poll("s1", closed); len(orders.Start) > 0 {
		t.Fatalf("it was given %v", orders.Start)
	}
	if why := r.rack.explain(jobID); len(why) != 1 || !strings.Contains(why[0].Reason, "outside its work hours") {
		t.Errorf("the job waits because of %+v", why)
	}
	orders := r.poll("s1", nil)
	if len(orders.Start) != 1 {
		t.Fatal("it was given nothing when it opened")
	}
	// What runs goes on.
	if orders := r.poll("s1", func(report *Report) { closed(report); runs(orders.Start)(report) }); len(orders.Stop) > 0 {
		t.Errorf("it was told to stop %v", orders.Stop)
	}
}
