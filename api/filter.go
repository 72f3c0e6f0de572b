package api

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"millrace/job"
)

// jobFilter is which jobs a list is of, and in which order.
type jobFilter struct {
	pageRequest
	statuses    map[job.Status]bool // empty: any
	drm         *bool
	from, to    time.Time // zero: open; to is exclusive
	oldestFirst bool
}

func (f *jobFilter) matches(j *job.Job) bool {
	switch {
	case len(f.statuses) > 0 && !f.statuses[j.Status]:
		return false
	case f.drm != nil && *f.drm: // no job has it
		return false
	case !f.from.IsZero() && j.Created.Before(f.from):
		return false
	case !f.to.IsZero() && !j.Created.Before(f.to):
		return false
	}
	return true
}

// parseJobFilter reads a list's parameters. An empty value is none, as clients
// of Django's filters send them; a parameter that isn't known is left alone.
func parseJobFilter(query url.Values) (*jobFilter, error) {
	wrong := fieldErrors{}
	filter := &jobFilter{pageRequest: parsePage(query, wrong), statuses: map[job.Status]bool{}}
	for _, given := range query["status"] {
		for name := range strings.SplitSeq(given, ",") {
			name = strings.TrimSpace(name)
			status, known := job.LegalStatus(name)
			switch {
			case known:
				filter.statuses[status] = true
			case name != "":
				wrong.add("status", "%s is not a valid choice; use Queued, Transcoding, Completed, Error or Cancelled.", quote(name))
			}
		}
	}
	if given := query.Get("enable_drm"); given != "" {
		drm, err := strconv.ParseBool(strings.ToLower(given))
		if err != nil {
			wrong.add("enable_drm", "%s is not a valid choice; use true or false.", quote(given))
		}
		filter.drm = &drm
	}
	if given := query.Get("created_from"); given != "" {
		from, _, valid := parseMoment(given)
		filter.from = from
		if !valid {
			wrong.add("created_from", "%s", notAMoment(given))
		}
	}
	if given := query.Get("created_to"); given != "" {
		_, end, valid := parseMoment(given)
		filter.to = end
		if !valid {
			wrong.add("created_to", "%s", notAMoment(given))
		}
	}
	switch given := query.Get("ordering"); given {
	case "", "-created":
	case "created":
		filter.oldestFirst = true
	default:
		wrong.add("ordering", "%s is not a valid choice; use created or -created.", quote(given))
	}
	return filter, wrong.problem()
}

// momentLayouts are the forms of ISO 8601 that are read, besides a date;
// without an offset the time is in UTC.
var momentLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02T15:04",
}

// parseMoment reads a date or a time: the first moment that it names, and the
// first after it, so that created_to=2026-11-24 has that whole day.
func parseMoment(text string) (start, end time.Time, valid bool) {
	if start, err := time.Parse(time.DateOnly, text); err == nil {
		return start, start.AddDate(0, 0, 1), true
	}
	// Some write a space for the T; and in a query "+12:00" reads as " 12:00"
	// unless the client escaped it.
	if len(text) > 10 && text[10] == ' ' {
		text = text[:10] + "T" + text[11:]
	}
	text = strings.ReplaceAll(text, " ", "+")
	for _, layout := range momentLayouts {
		if start, err := time.Parse(layout, text); err == nil {
			// Times are shown to the microsecond: the end has the job that is shown so.
			return start, start.Truncate(time.Microsecond).Add(time.Microsecond), true
		}
	}
	return time.Time{}, time.Time{}, false
}

func notAMoment(given string) string {
	return quote(given) + " is not a date or time; write 2006-01-02 or 2006-01-02T15:04:05Z."
}
