package node

import (
	"fmt"
	"strings"
	"time"
)

// WorkHours are the times of a week in which a node takes work. The zero value
// is always.
type WorkHours struct {
	text  string
	spans []span
}

// span is from a minute of the day to another on some days of the week; where it
// ends no later than it begins, it goes on into the next day.
type span struct {
	days     [7]bool // by time.Weekday
	from, to int     // minutes
}

const minutesPerDay = 24 * 60

var weekdays = map[string]time.Weekday{
	"mon": time.Monday, "tue": time.Tuesday, "wed": time.Wednesday, "thu": time.Thursday,
	"fri": time.Friday, "sat": time.Saturday, "sun": time.Sunday,
}

// ParseWorkHours reads times like "Mon-Fri 19:00-07:00,Sat-Sun": days, hours or
// both, and several of them separated by commas; "" is always. A span that ends
// the next morning belongs to the day on which it begins.
func ParseWorkHours(text string) (WorkHours, error) {
	hours := WorkHours{text: text}
	if strings.TrimSpace(text) == "" {
		return WorkHours{}, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		s := span{days: [7]bool{true, true, true, true, true, true, true}, to: minutesPerDay}
		words := strings.Fields(part)
		if len(words) == 0 || len(words) > 2 {
			return hours, fmt.Errorf("%q is not days and hours, like Mon-Fri 19:00-07:00", part)
		}
		if !strings.Contains(words[0], ":") {
			var err error
			if s.days, err = parseDays(words[0]); err != nil {
				return hours, err
			}
			words = words[1:]
		}
		if len(words) > 0 {
			var err error
			if s.from, s.to, err = parseHours(words[0]); err != nil {
				return hours, err
			}
			words = words[1:]
		}
		if len(words) > 0 {
			return hours, fmt.Errorf("%q: days come before hours, like Mon-Fri 19:00-07:00", part)
		}
		hours.spans = append(hours.spans, s)
	}
	return hours, nil
}

// String is the hours as they were written, "" for always.
func (h WorkHours) String() string { return h.text }

// UnmarshalText reads them as ParseWorkHours does.
func (h *WorkHours) UnmarshalText(text []byte) (err error) {
	*h, err = ParseWorkHours(string(text))
	return err
}

func parseDays(text string) (days [7]bool, err error) {
	first, last, isRange := strings.Cut(strings.ToLower(text), "-")
	if !isRange {
		last = first
	}
	from, known := weekdays[first]
	to, too := weekdays[last]
	if !known || !too {
		return days, fmt.Errorf("%q is not a day or a range of them: use Mon, Tue, Wed, Thu, Fri, Sat, Sun, like Mon-Fri", text)
	}
	for day := from; ; day = (day + 1) % 7 {
		days[day] = true
		if day == to {
			return days, nil
		}
	}
}

func parseHours(text string) (from, to int, err error) {
	begin, end, isRange := strings.Cut(text, "-")
	from, ok := minuteOf(begin)
	to, too := minuteOf(end)
	if !isRange || !ok || !too || from == minutesPerDay || from == to {
		return 0, 0, fmt.Errorf("%q is not a range of hours: use 00:00 to 24:00, like 19:00-07:00", text)
	}
	return from, to, nil
}

func minuteOf(text string) (int, bool) {
	if text == "24:00" {
		return minutesPerDay, true
	}
	at, err := time.Parse("15:04", text)
	return at.Hour()*60 + at.Minute(), err == nil
}

// Closed says why a node takes nothing at a moment, in the moment's own time
// zone; empty if it works.
func (h WorkHours) Closed(at time.Time) string {
	if len(h.spans) == 0 || h.open(at) {
		return ""
	}
	// Hours turn at whole minutes, and within a week at the latest.
	next := at.Truncate(time.Minute)
	for range 8 * minutesPerDay {
		if next = next.Add(time.Minute); h.open(next) {
			return fmt.Sprintf("it is outside its work hours (%s) until %s", h.text, next.Format("Mon 15:04 MST"))
		}
	}
	return fmt.Sprintf("it is outside its work hours (%s)", h.text)
}

func (h WorkHours) open(at time.Time) bool {
	minute, today := at.Hour()*60+at.Minute(), at.Weekday()
	yesterday := (today + 6) % 7
	for _, s := range h.spans {
		switch {
		case s.from < s.to:
			if s.days[today] && minute >= s.from && minute < s.to {
				return true
			}
		case s.days[today] && minute >= s.from, s.days[yesterday] && minute < s.to:
			return true
		}
	}
	return false
}
